"""Passes over a DataLoader are cut to their first batches and their last, and the program cannot tell."""

import sys
from collections.abc import Sequence
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from preflight.rehearsal.command import Command
from preflight.rehearsal.events import Event
from preflight.rehearsal.orders import Orders
from preflight.rehearsal.program import Rehearsed, rehearse

DATA = """
import sys, torch
from torch.utils.data import BatchSampler, DataLoader, Dataset, IterableDataset, RandomSampler, SequentialSampler
from sklearn.datasets import load_digits

class Digits(Dataset):
    def __init__(self, count=None):
        self.images, self.labels = load_digits(return_X_y=True)
        self.images, self.labels = self.images[:count], self.labels[:count]
        self.read = 0
    def __len__(self):
        return len(self.labels)
    def __getitem__(self, index):
        self.read += 1
        return torch.tensor(self.images[index], dtype=torch.float32), int(self.labels[index])

def sizes(batches):
    return [len(labels) for images, labels in batches]
"""


def run(folder: Path, program: str, **settings: Any) -> Rehearsed:
    project = folder / "project"
    project.mkdir()
    (project / "train.py").write_text(DATA + dedent(program))
    features = ("loaders",)
    orders = Orders(root=project, answers=folder / "answers", features=features, settings={"loaders": settings})
    done = rehearse(Command(words=(sys.executable, "-W", "error", "train.py")), orders, seconds=60)
    assert done.code == 0, done.output
    assert not of("unable", done.events), of("unable", done.events)
    return done


def of(kind: str, events: Sequence[Event]) -> list[Event]:
    return [event for event in events if event["kind"] == kind]


def test_the_first_batches_and_the_last(tmp_path: Path) -> None:
    done = run(
        tmp_path,
        """
        digits = Digits(961)
        loader = DataLoader(digits, batch_size=32, shuffle=True)
        for epoch in range(3):
            print(sizes(loader))
        print(digits.read)
        """,
        batches=3,
    )
    assert done.output.splitlines() == ["[32, 32, 32, 1]", "[32, 1]", "[32, 1]", str(97 + 33 + 33)]
    (loader,) = of("loader", done.events)
    wanted = {"length": 31, "shown": 4, "batch_size": 32, "samples": 961, "last": 1, "workers": 0, "iterable": False}
    assert wanted.items() <= loader.items()
    assert loader["place"]["line"] == 21
    batches = of("batch", done.events)
    assert [(each["pass"], each["index"], each["size"], each["last"]) for each in batches[:5]] == [
        (1, 0, 32, False),
        (1, 1, 32, False),
        (1, 2, 32, False),
        (1, 3, 1, True),
        (2, 0, 32, False),
    ]
    assert [each["batches"] for each in of("pass-end", done.events)] == [4, 2, 2]


def test_the_last_batch_is_the_true_one(tmp_path: Path) -> None:
    done = run(
        tmp_path,
        """
        class Numbers(Dataset):
            def __len__(self):
                return 10
            def __getitem__(self, index):
                return index
        for options in (dict(), dict(drop_last=True), dict(batch_size=None), dict(batch_size=20)):
            print([batch.tolist() if torch.is_tensor(batch) else batch
                   for batch in DataLoader(Numbers(), **{"batch_size": 4, **options})])
        """,
        batches=1,
    )
    assert done.output.splitlines() == [
        "[[0, 1, 2, 3], [8, 9]]",
        "[[0, 1, 2, 3], [4, 5, 6, 7]]",
        "[0, 9]",
        "[[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]]",
    ]


def test_the_length_agrees_with_what_is_shown(tmp_path: Path) -> None:
    done = run(
        tmp_path,
        """
        loader = DataLoader(Digits(), batch_size=32)
        total = len(loader)
        for epoch in range(2):
            for step, batch in enumerate(loader):
                if step + 1 == len(loader):
                    print("saved", len(batch[1]))
            assert step + 1 == total
        batches = iter(loader)
        for step in range(len(batches)):
            next(batches)
        print(total, step + 1)
        """,
        batches=2,
    )
    assert done.output.splitlines() == ["saved 5", "saved 5", "3 3"]


@pytest.mark.parametrize("context", ["fork", "spawn"])
@pytest.mark.parametrize("persistent", [False, True])
def test_workers(tmp_path: Path, context: str, persistent: bool) -> None:
    done = run(
        tmp_path,
        f"""
        if __name__ == "__main__":
            loader = DataLoader(Digits(961), 32, num_workers=2, multiprocessing_context="{context}",
                                persistent_workers={persistent})
            for epoch in range(2):
                print(sizes(loader))
        """,
        batches=2,
    )
    assert done.output.splitlines() == ["[32, 32, 1]", "[32, 1]"]
    (loader,) = of("loader", done.events)
    assert (loader["workers"], loader["context"], loader["persistent"]) == (2, context, persistent)
    assert len(of("pass", done.events)) == 2


def test_samplers_of_the_program(tmp_path: Path) -> None:
    done = run(
        tmp_path,
        """
        class Buckets:
            def __init__(self, known):
                if known:
                    self.__class__ = type("Known", (Buckets,), {"__len__": lambda self: 20})
            def __iter__(self):
                yield from ([index] * (index + 1) for index in range(20))
        class Endless:
            def __iter__(self):
                while True:
                    yield [1, 2, 3]
        for sampler in (Buckets(True), Buckets(False), Endless()):
            print(sizes(DataLoader(Digits(), batch_sampler=sampler)))
        """,
        batches=2,
    )
    assert done.output.splitlines() == ["[1, 2, 20]", "[1, 2, 20]", "[3, 3, 3]"]
    assert [each["last"] for each in of("batch", done.events)] == [False, False, True] * 2 + [False] * 3


def test_samplers_too_long_to_walk(tmp_path: Path) -> None:
    done = run(
        tmp_path,
        """
        import time
        class Long(Dataset):
            def __len__(self):
                return 30_000_001
            def __getitem__(self, index):
                return index, 0
        began = time.monotonic()
        print(sizes(DataLoader(Long(), batch_size=2)), time.monotonic() - began < 5)
        class Slow:
            def __len__(self):
                return 100_000
            def __iter__(self):
                for number in range(100_000):
                    time.sleep(0.01)
                    yield [number]
        print(sizes(DataLoader(Long(), batch_sampler=Slow())), time.monotonic() - began < 15)
        """,
        batches=1,
    )
    assert done.output.splitlines() == ["[2, 1] True", "[1, 1] True"]


def test_streams(tmp_path: Path) -> None:
    done = run(
        tmp_path,
        """
        class Stream(IterableDataset):
            def __init__(self, count):
                self.count = count
            def __iter__(self):
                return ((torch.zeros(3), number) for number in range(self.count))
        class Sized(Stream):
            def __len__(self):
                return self.count
        print(sizes(DataLoader(Sized(101), batch_size=10)), len(DataLoader(Sized(101), batch_size=10)))
        print(sizes(DataLoader(Sized(11), batch_size=10)))
        print(sizes(DataLoader(Stream(11), batch_size=10)))
        print(sizes(DataLoader(Stream(101), batch_size=10)))
        print(sizes(DataLoader(Sized(101), batch_size=10, num_workers=2)))
        print(len(list(DataLoader(Sized(101), batch_size=None))))
        """,
        batches=2,
    )
    assert done.output.splitlines() == ["[10, 10, 1] 3", "[10, 1]", "[10, 1]", "[10, 10, 10]", "[10, 10, 10]", "3"]


@pytest.mark.parametrize("workers", [0, 2])
def test_who_counts_the_batches_gets_them_all(tmp_path: Path, workers: int) -> None:
    done = run(
        tmp_path,
        f"""
        loader = DataLoader(Digits(), batch_size=32, num_workers={workers})
        batches = iter(loader)
        for step in range(1797 // 32):
            next(batches)
        print(step + 1)
        print(len(next(batches)[1]))
        try:
            next(batches)
        except StopIteration:
            print("the end")
        print(next(batches, None))
        """,
        batches=1,
    )
    assert done.output.splitlines() == ["56", "32", "the end", "None"]


def test_who_waits_for_the_end_gets_it_early(tmp_path: Path) -> None:
    done = run(
        tmp_path,
        """
        loader = DataLoader(Digits(), batch_size=32)
        batches, ends = iter(loader), 0
        for step in range(20):
            try:
                next(batches)
            except StopIteration:
                batches, ends = iter(loader), ends + 1
        class Prefetcher:
            def __init__(self):
                self.batches = iter(loader)
            def __iter__(self):
                return self
            def __next__(self):
                return next(self.batches)
        def cycle():
            while True:
                for batch in loader:
                    yield batch
        endless = cycle()
        print(ends, len(list(Prefetcher())), len([next(endless) for _ in range(100)]))
        """,
        batches=1,
    )
    assert done.output.split()[0] != "0"
    assert done.output.split()[1:] == ["2", "100"]


def test_a_loader_that_repeats_its_sampler_for_ever(tmp_path: Path) -> None:
    done = run(
        tmp_path,
        """
        class Repeated:
            def __init__(self, sampler):
                self.sampler = sampler
            def __iter__(self):
                while True:
                    yield from iter(self.sampler)
        class Reused(DataLoader):
            def __init__(self, *arguments, **named):
                super().__init__(*arguments, **named)
                object.__setattr__(self, "batch_sampler", Repeated(self.batch_sampler))
                self.iterator = super().__iter__()
            def __len__(self):
                return len(self.batch_sampler.sampler)
            def __iter__(self):
                for _ in range(len(self)):
                    yield next(self.iterator)
        loader = Reused(Digits(), batch_size=32)
        print([sizes(loader) for epoch in range(3)][0][:3])
        """,
        batches=2,
    )
    assert done.output.splitlines() == ["[32, 32, 32]"]


def test_a_look_at_one_batch_is_no_pass(tmp_path: Path) -> None:
    program = "loader = DataLoader(Digits(), 32)\nnext(iter(loader))\nprint(sizes(loader))"
    assert run(tmp_path, program, batches=3).output == "[32, 32, 32, 5]\n"


def test_what_is_to_be_whole_is_not_cut(tmp_path: Path) -> None:
    place = f"{tmp_path / 'project' / 'train.py'}:19"
    program = "loader = DataLoader(Digits(), 32)\nprint(len(sizes(loader)))"
    assert run(tmp_path, program, batches=1, whole=[place]).output == "57\n"
