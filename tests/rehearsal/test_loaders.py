"""Passes over a DataLoader are cut to their first batches and their last, and the program cannot tell."""

import json
import sys
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from preflight.rehearsal.command import Command
from preflight.rehearsal.orders import Orders
from preflight.rehearsal.program import Rehearsed, rehearse

DATA = """
import json, numpy, pathlib, sklearn, sys, time, torch
from torch.utils.data import DataLoader, Dataset, IterableDataset

class Digits(Dataset):
    def __init__(self, count=None):
        file = pathlib.Path(sklearn.__file__).parent / "datasets/data/digits.csv.gz"
        self.rows = numpy.loadtxt(file, delimiter=",", max_rows=count)
        self.read = 0
    def __len__(self):
        return len(self.rows)
    def __getitem__(self, index):
        self.read += 1
        return torch.tensor(self.rows[index, :64], dtype=torch.float32), int(self.rows[index, 64])

class Numbers(Dataset):
    def __init__(self, count=10):
        self.count = count
    def __len__(self):
        return self.count
    def __getitem__(self, index):
        return index, 0

class Stream(IterableDataset):
    def __init__(self, count):
        self.count = count
    def __iter__(self):
        return ((torch.zeros(3), number) for number in range(self.count))

class Sized(Stream):
    def __len__(self):
        return self.count

def sizes(batches):
    return [len(labels) for images, labels in batches]
"""
# Each puts what it has to tell into `told`; `batches` is 2.
PARTS = {
    "passes": """
        digits = Digits(961)
        loader = DataLoader(digits, batch_size=32, shuffle=True)
        told = [sizes(loader) for epoch in range(3)] + [digits.read]
        """,
    "true last": """
        told = [
            [batch[0].tolist() if torch.is_tensor(batch[0]) else batch[0]
             for batch in DataLoader(Numbers(), **{"batch_size": 3, **options})]
            for options in (dict(), dict(drop_last=True), dict(batch_size=None), dict(batch_size=20))
        ]
        """,
    "length": """
        loader = DataLoader(Digits(), batch_size=32)
        told = [len(loader)]
        for epoch in range(2):
            for step, batch in enumerate(loader):
                if step + 1 == len(loader):
                    told.append(["saved", step, len(batch[1])])
        batches = iter(loader)
        for step in range(len(batches)):
            next(batches)
        """,
    "samplers": """
        class Buckets:
            def __iter__(self):
                yield from ([index] * (index + 1) for index in range(20))
        class Known(Buckets):
            def __len__(self):
                return 20
        class Endless:
            def __iter__(self):
                while True:
                    yield [1, 2, 3]
        told = [sizes(DataLoader(Digits(), batch_sampler=each)) for each in (Known(), Buckets(), Endless())]
        """,
    "too long to walk": """
        class Slow:
            def __len__(self):
                return 100_000
            def __iter__(self):
                for number in range(100_000):
                    time.sleep(0.01)
                    yield [number]
        began = time.monotonic()
        told = [sizes(DataLoader(Numbers(30_000_001), batch_size=2)),
                sizes(DataLoader(Numbers(100_000), batch_sampler=Slow())), time.monotonic() - began < 20]
        """,
    "streams": """
        told = [sizes(DataLoader(data, batch_size=10)) for data in (Sized(101), Sized(11), Stream(11), Stream(101))]
        told += [len(DataLoader(Sized(101), batch_size=10)), len(list(DataLoader(Sized(101), batch_size=None)))]
        """,
    "counting": """
        batches, told = iter(DataLoader(Digits(), batch_size=32)), []
        for step in range(1797 // 32):
            next(batches)
        told = [step + 1, len(next(batches)[1])]
        try:
            next(batches)
        except StopIteration:
            told.append("the end")
        told.append(next(batches, None))
        """,
    "waiting for the end": """
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
        told = [ends > 3, len(list(Prefetcher())), len([next(endless) for _ in range(100)])]
        """,
    "for ever": """
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
        told = [sizes(loader) for epoch in range(3)]
        """,
    "a look": """
        loader = DataLoader(Digits(), 32)
        next(iter(loader))
        told = sizes(loader)
        """,
    "whole": """
        loader = DataLoader(Digits(), 32)  # whole
        told = len(sizes(loader))
        """,
}


def run(folder: Path, program: str) -> Rehearsed:
    project = folder / "project"
    project.mkdir()
    (project / "train.py").write_text(program)
    whole = [number for number, line in enumerate(program.splitlines(), 1) if line.endswith("# whole")]
    settings = {"loaders": {"batches": 2, "whole": [f"{project / 'train.py'}:{number}" for number in whole]}}
    orders = Orders(root=project, answers=folder / "answers", features=("loaders",), settings=settings)
    done = rehearse(Command(words=(sys.executable, "-W", "error", "train.py")), orders, seconds=100)
    assert done.code == 0, done.output
    assert not done.of("unable")
    return done


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Rehearsed:
    program = DATA
    for name, part in PARTS.items():
        program += dedent(part) + f"print(json.dumps([{name!r}, told]))\n"
    return run(tmp_path_factory.mktemp("loaders"), program)


@pytest.fixture(scope="module")
def told(done: Rehearsed) -> dict[str, Any]:
    return dict(map(json.loads, done.output.splitlines()))


def test_the_first_batches_and_the_last(told: dict[str, Any], done: Rehearsed) -> None:
    assert told["passes"] == [[32, 32, 1], [32, 1], [32, 1], 65 + 33 + 33]
    loader = done.of("loader")[0]
    wanted = {"length": 31, "shown": 3, "batch_size": 32, "samples": 961, "last": 1, "workers": 0, "iterable": False}
    assert wanted.items() <= loader.items()
    assert loader["place"]["function"] == "<module>"
    batches = [each for each in done.of("batch") if each["loader"] == loader["loader"]]
    assert [(each["pass"], each["index"], each["size"], each["last"]) for each in batches[:4]] == [
        (1, 0, 32, False),
        (1, 1, 32, False),
        (1, 2, 1, True),
        (2, 0, 32, False),
    ]
    ends = [each["batches"] for each in done.of("pass-end") if each["loader"] == loader["loader"]]
    assert ends == [3, 2, 2]


def test_the_last_batch_is_the_true_one(told: dict[str, Any]) -> None:
    assert told["true last"] == [
        [[0, 1, 2], [3, 4, 5], [9]],
        [[0, 1, 2], [3, 4, 5], [6, 7, 8]],
        [0, 1, 9],
        [list(range(10))],
    ]


def test_the_length_agrees_with_what_is_shown(told: dict[str, Any]) -> None:
    assert told["length"] == [3, ["saved", 2, 5], ["saved", 2, 5]]


def test_samplers_of_the_program(told: dict[str, Any]) -> None:
    assert told["samplers"] == [[1, 2, 20], [1, 2, 20], [3, 3, 3]]


def test_samplers_too_long_to_walk(told: dict[str, Any]) -> None:
    assert told["too long to walk"] == [[2, 2, 1], [1, 1, 1], True]


def test_streams(told: dict[str, Any]) -> None:
    assert told["streams"] == [[10, 10, 1], [10, 1], [10, 1], [10, 10, 10], 3, 3]


def test_who_counts_the_batches_gets_them_all(told: dict[str, Any]) -> None:
    assert told["counting"] == [56, 32, "the end", None]


def test_who_waits_for_the_end_gets_it_early(told: dict[str, Any]) -> None:
    assert told["waiting for the end"] == [True, 2, 100]


def test_a_loader_that_repeats_its_sampler_for_ever(told: dict[str, Any]) -> None:
    assert told["for ever"] == [[32, 32, 32]] * 3


def test_a_look_at_one_batch_is_no_pass(told: dict[str, Any]) -> None:
    assert told["a look"] == [32, 32, 5]


def test_what_is_to_be_whole_is_not_cut(told: dict[str, Any]) -> None:
    assert told["whole"] == 57


@pytest.mark.slow
def test_workers(tmp_path: Path) -> None:
    program = """
        for persistent in (False, True):
            loader = DataLoader(Digits(961), 32, num_workers=2, persistent_workers=persistent,
                                multiprocessing_context="fork")
            for epoch in range(2):
                print(sizes(loader))
        print(sizes(DataLoader(Sized(101), batch_size=10, num_workers=2)))
        batches = iter(DataLoader(Numbers(50), batch_size=4, num_workers=1))
        for step in range(12):
            next(batches)
        print(step + 1)
        """
    done = run(tmp_path, DATA + dedent(program))
    assert done.output.splitlines() == ["[32, 32, 1]", "[32, 1]"] * 2 + ["[10, 10, 10]", "12"]
    wanted = [(2, "fork", False), (2, "fork", True)]
    assert [(each["workers"], each["context"], each["persistent"]) for each in done.of("loader")[:2]] == wanted
    assert {each["size"] for each in done.of("fetched")} >= {32, 1, 10}


@pytest.mark.slow
def test_workers_that_are_spawned(tmp_path: Path) -> None:
    program = """
        if __name__ == "__main__":
            loader = DataLoader(Digits(961), 32, num_workers=1, multiprocessing_context="spawn")
            print(sizes(loader))
        """
    done = run(tmp_path, DATA + dedent(program))
    assert done.output == "[32, 32, 1]\n"
    assert [each["context"] for each in done.of("loader")] == ["spawn"]
    assert len({each["pid"] for each in done.of("fetched")}) == 1


@pytest.mark.slow
def test_ranks_see_as_many_batches(tmp_path: Path) -> None:
    program = """
        import os
        import torch.distributed as dist
        import torch.multiprocessing as mp
        from torch.utils.data.distributed import DistributedSampler

        def rank(number, place):
            dist.init_process_group("gloo", init_method=f"file://{place}", rank=number, world_size=2)
            data = Numbers(101)
            loader = DataLoader(data, 8, sampler=DistributedSampler(data))
            if number == 0:
                print("length", len(loader), flush=True)
            for epoch in range(2):
                for batch in loader:
                    dist.all_reduce(torch.ones(1))
            dist.destroy_process_group()

        if __name__ == "__main__":
            mp.start_processes(rank, (os.path.abspath("rendezvous"),), nprocs=2, start_method="fork")
        """
    done = run(tmp_path, DATA + dedent(program))
    assert done.output == "length 3\n"
    assert [each["batches"] for each in done.of("pass-end")] == [3] * 4
    assert {each["last"] for each in done.of("loader")} == {3}
