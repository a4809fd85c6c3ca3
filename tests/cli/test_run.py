"""The command that all is for: selection, formats, exit codes, mistakes."""

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from xml.etree.ElementTree import fromstring

import pytest


def test_no_go_is_shown_and_answered(project: Path, preflight) -> None:
    ended = preflight("run", "--config", "foo.yaml", "--only", "mine")
    lines = ended.stdout.splitlines()
    assert (ended.returncode, ended.stderr) == (1, "")
    assert lines[-1].startswith("NO-GO  1 failed, 2 passed, 1 warning in ")
    assert "    preflight run --config foo.yaml --only mine.fails" in lines
    assert "                touch x" in lines
    assert "    | looking" in lines


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        (["--only", "mine.holds"], 0, "GO"),
        (["--only", "mine.h*"], 0, "GO"),
        (["--only", "mine.holds", "mine.warns", "--strict"], 1, "NO-GO"),
        (["--only", "mine", "-k", "holds"], 0, "GO"),
        (["--only", "mine", "--tag", "slow"], 0, "GO"),
        (["--only", "mine", "--tag", "slow", "--strict"], 1, "NO-GO"),
    ],
)
def test_selection_and_strict(arguments: list[str], code: int, word: str, project: Path, preflight) -> None:
    ended = preflight("run", "--config", "foo.yaml", *arguments)
    assert (ended.returncode, ended.stdout.splitlines()[-1].split("  ")[0]) == (code, word)


def test_several_formats_from_one_run(project: Path, preflight) -> None:
    ended = preflight(
        *("run", "--config", "foo.yaml", "--only", "mine"),
        *("--format", "junit", "--output", "a.xml", "--format", "json", "--output", "b.json"),
    )
    assert ended.returncode == 1
    assert ended.stdout.splitlines()[-1].startswith("NO-GO")
    assert fromstring(Path("a.xml").read_text()).get("failures") == "2"
    assert json.loads(Path("b.json").read_text())["verdict"]["exit_code"] == 1
    assert preflight("show", "b.json").stdout == ended.stdout


def test_a_name_that_chooses_nothing_is_a_mistake(project: Path, preflight) -> None:
    ended = preflight("run", "--config", "foo.yaml", "--only", "mine.holds", "mine.wars")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "--only mine.wars chooses no check\n  Do you mean mine.warns?" in ended.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--config", "missing.yaml"], "missing.yaml"),
        (["--config", "foo.yaml", "--format", "json", "--output", "none/x.json"], "there is no folder"),
    ],
)
def test_mistakes_are_told_before_anything_runs(arguments: list[str], said: str, project: Path, preflight) -> None:
    ended = preflight("run", *arguments)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("preflight: ")
    assert said in ended.stderr


def test_on_a_terminal_it_tells_while_it_runs(project: Path) -> None:
    (project / "preflight_checks" / "check_mine.py").write_text(
        "import time\ndef check_waits():\n    time.sleep(0.7)\ndef check_fails():\n    assert False, 'no'\n"
    )
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "preflight", "run", "--config", "foo.yaml", "--only", "mine"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=theirs, env={**os.environ, "TERM": "xterm"}
    ) as process:
        os.close(theirs)
        seen = drained(ours)
        assert b"1/2  mine.waits" in seen
        assert b"mine.fails  no" in seen
        assert process.wait(timeout=60) == 1
    os.close(ours)


def drained(screen: int) -> bytes:
    seen = b""
    while True:
        try:
            data = os.read(screen, 65536)
        except OSError:  # what Linux says when the other side is closed
            return seen
        if not data:
            return seen
        seen += data


def test_ctrl_c_shows_what_is_known(project: Path) -> None:
    (project / "preflight_checks" / "check_mine.py").write_text(
        "import time\ndef check_holds():\n    pass\ndef check_hangs():\n    print('here')\n    time.sleep(50)\n"
    )
    command = [sys.executable, "-m", "preflight", "run", "--config", "foo.yaml", "--only", "mine"]
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=theirs, env={**os.environ, "TERM": "xterm"}
    ) as process:
        os.close(theirs)
        seen = b""
        while b"1/2  mine.hangs" not in seen:
            assert select.select([ours], [], [], 30)[0]
            seen += os.read(ours, 65536)
        process.send_signal(signal.SIGINT)
        began = time.monotonic()
        stdout, _ = process.communicate(timeout=30)
    os.close(ours)
    assert time.monotonic() - began < 10
    assert process.returncode == 130
    assert stdout.splitlines()[-1].startswith(b"NO VERDICT  1 passed")


def test_lists_of_nodes_want_many_nodes(project: Path, preflight) -> None:
    done = preflight("run", "--config", "foo.yaml", "--failing-nodes", "bad")
    assert (done.returncode, Path("bad").exists()) == (2, False)
    assert "Add --on slurm" in done.stderr


def test_a_list_that_cannot_be_written_is_told_before_the_run(project: Path, preflight) -> None:
    done = preflight("run", "--config", "foo.yaml", "--on", "slurm", "--passing-nodes", "nowhere/good")
    assert done.returncode == 2
    assert "there is no folder" in done.stderr
