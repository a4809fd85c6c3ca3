"""What the page for a terminal owes its reader beyond what the goldens show."""

import io
import re

import pytest

from preflight.model import Finding, Report, Result, Severity, Status
from preflight.reports.terminal import colored, render
from preflight.reports.text import clipped, has_colors, is_live, printable, visible
from preflight.verdict import decide

FAILED = Result(
    check="mine.holds",
    status=Status.FAILED,
    findings=[Finding(severity=Severity.ERROR, message="[bold]no[/bold] \x1b[5m", cause="ünlesbar")],
)
REPORT = Report(results=[FAILED, Result(check="a.b", status=Status.PASSED)])


def test_colors_are_all_that_color_adds() -> None:
    verdict = decide(REPORT)
    page = render(REPORT, verdict, colored)
    assert re.sub(r"\x1b\[[\d;]*m", "", page) == render(REPORT, verdict)
    assert page.splitlines()[-1].startswith("\x1b[1;31mNO-GO\x1b[0m  1 failed")


class Screen(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("environment", "stream", "wanted"),
    [
        ({}, Screen(), True),
        ({}, io.StringIO(), False),
        ({"TERM": "dumb"}, Screen(), False),
        ({"NO_COLOR": "1"}, Screen(), False),
        ({"NO_COLOR": ""}, Screen(), True),
        ({"FORCE_COLOR": "1"}, io.StringIO(), True),
        ({"FORCE_COLOR": "0"}, io.StringIO(), False),
        ({"FORCE_COLOR": "1", "TERM": "dumb"}, io.StringIO(), True),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, Screen(), False),
    ],
)
def test_when_colors_are_wanted(
    environment: dict[str, str], stream: io.StringIO, wanted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert has_colors(stream) is wanted


def test_a_dumb_terminal_is_not_live(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    assert not is_live(Screen())


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-8"])
def test_every_encoding_can_print_the_page(encoding: str) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    stream.write(printable(render(REPORT, decide(REPORT)), stream))
    stream.flush()


@pytest.mark.parametrize("code", [*range(0x20), 0x7F, 0x9B, 0x202E, 0x200B, 0x2028, 0xDCFF, 0xFEFF, 0xFFFE])
def test_what_is_not_seen_is_shown(code: int) -> None:
    shown = visible(f"a{chr(code)}b")
    assert shown == "a       b" if code == 9 else re.fullmatch(r"a\\(n|r|x..|u....)b", shown)


def test_what_is_seen_is_left_alone() -> None:
    assert visible("größer 数据 é́ \\n 'x' [y]") == "größer 数据 é́ \\n 'x' [y]"


def test_nobody_reads_two_megabytes() -> None:
    assert clipped("x" * 2_000_000).endswith("xx ... 1,998,000 characters more")


def test_of_a_stack_the_innermost_frames_are_shown() -> None:
    stack = "Current thread 0x1 (most recent call first):\n" + "".join(
        f'  File "a.py", line {n} in f\n' for n in range(40)
    )
    broken = Result(check="a.b", status=Status.BROKEN, reason="segmentation fault", traceback=stack)
    page = render(Report(results=[broken]), decide(Report(results=[broken])))
    assert "traceback, the first 15 of 41 lines:" in page
    assert "line 0 in f" in page
    assert "line 39 in f" not in page
