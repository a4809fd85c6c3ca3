"""The gate: what stands in front of a command, and is gone once the command runs."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

GATE = [sys.executable, "-m", "preflight", "gate", "--config", "foo.yaml", "--only"]
PASSING, FAILING = [*GATE, "mine.holds", "--"], [*GATE, "mine.fails", "--"]
# What a process has from the one that it was, as far as a program can see it.
TRACES = """
import ctypes, json, os, resource, signal, sys
orphans = ctypes.c_int(-1)
ctypes.CDLL(None).prctl(37, ctypes.byref(orphans), 0, 0, 0)
signals = [line.split()[1] for line in open("/proc/self/status") if line.startswith(("SigBlk", "SigIgn"))]
print(json.dumps({
    "pid": os.getpid(), "argv": sys.argv[1:], "stdin": sys.stdin.read(), "environment": sorted(os.environ.items()),
    "signals": signals, "limits": resource.getrlimit(resource.RLIMIT_NOFILE), "folder": os.getcwd(),
    "files": sorted(os.listdir("/proc/self/fd")), "children": open("/proc/self/task/%d/children" % os.getpid()).read(),
    "group": os.getpgid(0) == os.getppid() or os.getpgid(0), "session": os.getsid(0), "orphans": orphans.value,
}))
"""
HOSTILE = ["a b", "'", '"', "new\nline", "$(id)", "`id`", "--", "-x", "*", "", "ünï→", "\\", "a;b", "&", "#"]


def traces(command: list[str], **more: str) -> dict[str, object]:
    """Run `command` with an awkward environment; its own output is JSON."""
    environment = {**os.environ, "LC_ALL": "", "LANG": "C", "ODD": "two\nlines $(x) ü", **more}
    environment.pop("LC_CTYPE", None)
    process = subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    out, _ = process.communicate("what stdin says", timeout=60)
    told = json.loads(out)
    assert told.pop("pid") == process.pid, "the job has another process id than the gate had"
    assert process.returncode == 0
    return told


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_job_is_as_if_the_gate_had_not_been_there(project: Path) -> None:
    python = ["/usr/bin/env", sys.executable, "-c", TRACES, *HOSTILE]
    assert traces([*PASSING, *python]) == traces(python)


def test_the_jobs_output_is_its_own(project: Path) -> None:
    done = subprocess.run([*PASSING, "echo", "hello"], capture_output=True, text=True, timeout=60)
    assert done.stdout == "hello\n"
    assert done.stderr.startswith("GO  1 passed in ")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(("ending", "code"), [("exit 0", 0), ("exit 7", 7), ("kill -9 $$", -9), ("kill -INT $$", -2)])
def test_the_exit_code_is_the_jobs(project: Path, ending: str, code: int) -> None:
    assert subprocess.run([*PASSING, "bash", "-c", ending], timeout=60).returncode == code


def test_a_no_go_starts_nothing_and_says_why(project: Path) -> None:
    done = subprocess.run([*FAILING, "touch", "started"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 125
    assert not Path("started").exists()
    assert done.stdout == ""
    assert "x is not there" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("NO-GO ")


def test_warnings_are_told_and_count_under_strict(project: Path) -> None:
    warned = subprocess.run([*GATE, "mine.warns", "--", "true"], capture_output=True, text=True, timeout=60)
    assert (warned.returncode, "it is not well" in warned.stderr) == (0, True)
    assert subprocess.run([*GATE, "mine.warns", "--strict", "--", "true"], timeout=60).returncode == 125


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["gate", "--config", "foo.yaml"], 125, "the command to start is missing"),
        (["gate", "--config", "foo.yaml", "--"], 125, "the command to start is missing"),
        (["gate", "--config", "nowhere.yaml", "--", "true"], 125, "nowhere.yaml: the file does not exist"),
        (["gate", "--nonsense", "--", "true"], 125, "unrecognized arguments: --nonsense"),
        (["gate", "--config", "foo.yaml", "--report", "no/where.json", "--", "true"], 125, "there is no folder"),
        (["gate", "--config", "foo.yaml", "--only", "mine.holds", "--", "no-such"], 127, "no-such cannot be started"),
        (["gate", "--config", "foo.yaml", "--only", "mine.holds", "--", "./foo.yaml"], 126, "Permission denied"),
    ],
)
def test_what_cannot_be_started_is_told(
    project: Path, preflight: Callable[..., subprocess.CompletedProcess[str]], words: list[str], code: int, said: str
) -> None:
    done = preflight(*words)
    assert (done.returncode, said in done.stderr) == (code, True), done.stderr
    assert "Traceback" not in done.stderr


def test_the_report_is_written_either_way(project: Path) -> None:
    for gate, code in ((PASSING, 0), (FAILING, 125)):
        words = [*gate[:-1], "--report", "report.json", "--", "true"]
        assert subprocess.run(words, timeout=60, capture_output=True).returncode == code
        [result] = json.loads(Path("report.json").read_text())["results"]
        assert result["check"] == gate[-2]


def test_an_interruption_while_checking_starts_nothing(project: Path) -> None:
    begun = Path("begun").absolute()
    Path("preflight_checks/check_slow.py").write_text(
        f"import pathlib, time\ndef check_sleeps():\n    pathlib.Path({str(begun)!r}).touch()\n    time.sleep(60)\n"
    )
    process = subprocess.Popen([*GATE, "slow", "--", "touch", "started"], stderr=subprocess.DEVNULL)
    until = time.monotonic() + 30
    while not begun.exists():
        assert time.monotonic() < until
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 130
    assert not Path("started").exists()


@pytest.fixture
def node(project: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A node of its own, on which every check leaves a line in `checked`."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    text = "import pathlib, time\ndef check_it():\n    with open({0!r}, 'a') as f: f.write('x')\n    time.sleep(0.5)\n"
    text += "    assert not pathlib.Path({1!r}).exists(), 'this node is bad'\n"
    counted, bad = str(tmp_path / "checked"), str(tmp_path / "bad")
    Path("preflight_checks/check_count.py").write_text(text.format(counted, bad))
    return tmp_path


def ranks(count: int, **variables: str) -> list[subprocess.Popen[str]]:
    """Start the gate as a step of Slurm with so many tasks on this node would."""
    step = {"SLURM_JOB_ID": "7", "SLURM_STEP_ID": "0", "SLURM_NODEID": "0", **variables}
    words = [*GATE, "count", "--", "bash", "-c", "echo $SLURM_LOCALID"]
    return [
        subprocess.Popen(
            words,
            env={**os.environ, **step, "SLURM_LOCALID": str(number)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in reversed(range(count))
    ]


def ended(tasks: list[subprocess.Popen[str]]) -> list[tuple[int, str, str]]:
    """Wait for all, and return what each exited with and what it said."""
    outputs = [task.communicate(timeout=60) for task in tasks]
    return [(task.returncode, *output) for task, output in zip(tasks, outputs, strict=True)]


def test_a_node_is_checked_once(node: Path) -> None:
    assert {(code, out) for code, out, _ in ended(ranks(3))} == {(0, "0\n"), (0, "1\n"), (0, "2\n")}
    assert (node / "checked").read_text() == "x"
    (node / "bad").touch()  # and nobody takes the answer of the first time
    assert {(code, out) for code, out, _ in ended(ranks(3))} == {(125, "")}
    assert (node / "checked").read_text() == "xx"


def test_who_waits_learns_that_the_first_process_died(node: Path) -> None:
    tasks = ranks(2)
    while not (node / "checked").exists():
        time.sleep(0.02)
    tasks[-1].kill()
    (code, _, errors), _ = ended(tasks)
    assert code == 125
    assert "the first process on this node died before it had checked" in errors


def test_other_nodes_and_restarts_are_other_decisions(node: Path) -> None:
    groups = [ranks(2), ranks(2, SLURM_NODEID="1"), ranks(2, SLURM_RESTART_COUNT="1")]
    assert {code for group in groups for code, _, _ in ended(group)} == {0}
    assert (node / "checked").read_text() == "xxx"


def test_a_process_that_meets_nobody_checks_by_itself(node: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from preflight.launch import meeting
    from preflight.launch.ranks import Rank

    monkeypatch.setattr(meeting, "_COMES", 0.2)
    assert meeting.once_per_node(Rank(1, "alone"), "foo.yaml", lambda: 5) == 5


def test_a_folder_that_another_user_can_write_is_no_place_to_meet(node: Path) -> None:
    from preflight.launch import meeting
    from preflight.launch.ranks import Rank

    (node / f"preflight-gate-{os.getuid()}").mkdir(mode=0o777)
    (node / f"preflight-gate-{os.getuid()}").chmod(0o777)
    assert meeting.once_per_node(Rank(1, "key"), "foo.yaml", lambda: 6) == 6
