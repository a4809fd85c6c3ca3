"""What is told while checks run: on a terminal a line that changes, elsewhere a line when it takes long."""

import io
import os
import pty
from dataclasses import replace

import pytest

from preflight.model import Finding, Result, Severity, Status
from preflight.reports.progress import ERASE, Progress

FAILED = Result(
    check="data.is-there[a]",
    status=Status.FAILED,
    findings=[Finding(severity=Severity.ERROR, message="a\nb is not there")],
)


class Screen(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


class Clock:
    """Time that passes only when told."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    return Clock()


def test_on_a_terminal_one_line_changes(clock: Clock) -> None:
    screen = Screen()
    progress = Progress(screen, clock)
    progress.tick()
    progress.planned(["imports.works[torch]"])
    progress.planned(["data.is-there[a]"])
    progress.started("imports.works[torch]")
    progress.tick()
    clock.now = 4.2
    progress.started("data.is-there[a]")
    progress.tick()
    progress.tick()
    progress.ended(FAILED)
    progress.tick()
    progress.close()
    lines = screen.getvalue().split(ERASE)
    assert lines == [
        "",
        "starting",
        "0/2  imports.works[torch]",
        "0/2  still running: imports.works[torch] 4 s",
        "FAILED data.is-there[a]  a\\nb is not there\n",
        "1/2  still running: imports.works[torch] 4 s",
        "",
    ]


def test_elsewhere_only_what_takes_long_is_told(clock: Clock) -> None:
    stream = io.StringIO()
    progress = Progress(stream, clock)
    progress.planned(["seeds.same", "data.is-there[a]"])
    progress.started("data.is-there[a]")
    progress.ended(FAILED)
    progress.started("seeds.same")
    for clock.now in range(1, 25):
        progress.tick()
    progress.close()
    assert stream.getvalue().splitlines() == [
        "preflight: 1/2 done, still running: seeds.same 10 s",
        "preflight: 1/2 done, still running: seeds.same 20 s",
    ]


def test_the_line_never_wraps(clock: Clock) -> None:
    ours, theirs = pty.openpty()
    with open(theirs, "w", encoding="utf-8") as screen, open(ours, "rb", buffering=0) as seen:
        progress = Progress(screen, clock)
        progress.planned(["mine.holds"])
        progress.started("mine.holds[" + "数据" * 200 + "]")
        progress.tick()
        line = seen.read(4096).removeprefix(ERASE.encode())
        columns = os.get_terminal_size(theirs).columns or 80
    assert line.isascii()
    assert len(line) == columns - 1


def test_a_stream_that_goes_away_ends_nothing(clock: Clock) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w", encoding="utf-8", buffering=1) as stream:
        progress = Progress(stream, clock)
        progress.started("mine.holds")
        for clock.now in (11.0, 22.0):
            progress.tick()
        progress.close()
        os.dup2(os.open(os.devnull, os.O_WRONLY), writer)


def test_a_thousand_failures_of_one_function_do_not_flood(clock: Clock) -> None:
    screen = Screen()
    progress = Progress(screen, clock)
    for _ in range(1_000):
        progress.ended(FAILED)
    assert screen.getvalue().count("FAILED") == 3


def test_nodes_are_named_where_a_check_is_slow(clock: Clock) -> None:
    """The line says where a check still runs, as long as those are few."""
    screen = Screen()
    progress = Progress(screen, clock)
    for number in range(1, 21):
        progress.planned(["data.is-there[a]", "gpu.works"], f"n{number}")
        progress.started("data.is-there[a]", f"n{number}")
    clock.now = 5
    progress.tick()
    for number in range(4, 21):
        progress.ended(replace(FAILED, status=Status.PASSED, findings=(), place=f"n{number}"))
    progress.tick()
    progress.ended(replace(FAILED, place="n1"))
    progress.tick()
    assert screen.getvalue().split(ERASE)[1:] == [
        "0/40  still running: data.is-there[a] at 20 nodes 5 s",
        "17/40  still running: data.is-there[a] at n[1-3] 5 s",
        "FAILED data.is-there[a] at n1  a\\nb is not there\n",
        "18/40  still running: data.is-there[a] at n[2-3] 5 s",
    ]
