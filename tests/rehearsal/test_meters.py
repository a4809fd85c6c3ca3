"""What a program takes is measured while it runs: memory, open files, what it saves."""

import itertools
import sys
from pathlib import Path

import pytest

from preflight.rehearsal import forecasts
from preflight.rehearsal.command import Command
from preflight.rehearsal.orders import Orders
from preflight.rehearsal.passes import loaders_of
from preflight.rehearsal.program import Rehearsed, rehearse

PROGRAM = """
import io, time
import numpy, torch
from torch.utils.data import DataLoader, Dataset

class Slow(Dataset):
    def __len__(self):
        return 64
    def __getitem__(self, index):
        time.sleep(0.02)
        return torch.full((4,), float(index))

if __name__ == "__main__":
    kept, opened = [], []
    for batch in DataLoader(Slow(), 4):
        kept.append(torch.ones(1 << 20))
        opened.append(open(__file__))
        time.sleep(0.2)
    for batch in DataLoader(Slow(), 4, num_workers=2):
        time.sleep(0.001)
    torch.save({"kept": kept[0]}, "kept.pt")
    torch.save({"kept": kept[0]}, io.BytesIO())
    with open("other.pt", "wb") as file:
        torch.save({}, file)
    numpy.save("array", numpy.zeros(1000))
    numpy.savez(file="arrays.npz", zeros=numpy.zeros(1000))
"""


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Rehearsed:
    folder = tmp_path_factory.mktemp("meters")
    (folder / "project").mkdir()
    (folder / "project" / "train.py").write_text(PROGRAM)
    features, settings = ("loaders", "meters"), {"loaders": {"batches": 6}}
    orders = Orders(root=folder / "project", answers=folder / "answers", features=features, settings=settings)
    done = rehearse(Command(words=(sys.executable, "train.py")), orders, seconds=60)
    assert done.code == 0, done.output
    assert not done.of("unable")
    return done


def test_memory_and_files_of_each_batch(done: Rehearsed) -> None:
    first = [event for event in done.of("batch") if event["loader"] == 1]
    heaps = [event["heap"] for event in first]
    steps = [after - before for before, after in itertools.pairwise(heaps[1:])]
    assert all(4e6 < step < 4.5e6 for step in steps)
    files = [event["files"] for event in first]
    assert files == list(range(files[0], files[0] + 7))
    assert first[-1]["rss"] > first[0]["rss"] + 20e6


def test_time_of_each_batch(done: Rehearsed) -> None:
    (loaders,) = loaders_of(done.events).values()
    one, workers = loaders
    times = one.times()
    # Four samples of 20 ms, and 200 ms of work.
    assert all(0.27 < each < 0.6 for each in times), times
    # Two workers make a batch in 80 ms, one in 40 ms: more than the work on it.
    assert len(workers.fetched) == 7
    assert all(0.03 < each < 0.2 for each in workers.times()), workers.times()
    assert workers.stall() > 0.7  # type: ignore[operator]


def test_workers_are_counted_in(done: Rehearsed) -> None:
    most = max(len(event["processes"]) for event in done.of("memory"))
    assert most == 3
    taken = forecasts.memory(done)
    assert taken is not None
    assert taken.processes == 3
    # Pages that forked workers share with their parent count once.
    assert taken.process <= taken.together < 2 * taken.process


def test_what_is_kept_of_each_batch(done: Rehearsed) -> None:
    taken = forecasts.memory(done)
    assert taken is not None
    assert taken.growth is not None
    assert 4e6 < taken.growth.each < 4.5e6
    # One pass of 16 batches, of which 7 were shown.
    assert (taken.growth.batches, taken.growth.persists) == (16, None)
    files = forecasts.growth(done, lambda batch: batch.facts.get("files"), noise=1, clear=1)
    assert files is not None
    assert files.each == 1


def test_what_is_saved(done: Rehearsed) -> None:
    saved = {Path(event["path"]).name: event for event in done.of("saved")}
    assert set(saved) == {"kept.pt", "other.pt", "array.npy", "arrays.npz"}
    assert saved["kept.pt"]["bytes"] > 4 << 20
    assert saved["kept.pt"]["place"]["function"] == "<module>"
