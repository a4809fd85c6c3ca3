"""Every way in which a rehearsed program can end is one clear finding, and leaves nothing behind."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from preflight import config as configuration
from preflight.causes.endings import ending_of
from preflight.model import Finding, Severity, Status
from preflight.rehearsal.program import Rehearsed, Way
from preflight.rehearsal.standard import standard_run
from preflight.rehearsal.view import ViewRefused
from preflight.run import run
from preflight.worker.request import Selection

# How each program ends: the finding that says so (none for a healthy one), words of it, and the line that it points at.
PROGRAMS = {
    "healthy": ("print(1)", "", "", 0),
    "leaves by os._exit without a mistake": ("import os\nos._exit(0)", "", "", 0),
    "has an exit code": ("import os\ndef end():\n    os._exit(4)\nend()", "rehearsal.exits", "os._exit(4)", 3),
    "ends in a shell's way": ("sh: echo no room; exit 5", "rehearsal.exits", "exit code 5: no room", 0),
    "segmentation fault": (
        "import ctypes\ndef crash():\n    ctypes.string_at(0)\ncrash()",
        "rehearsal.dies",
        "SIGSEGV",
        3,
    ),
    "killed": ("import os\nos.kill(os.getpid(), 9)", "rehearsal.dies", "SIGKILL", 0),
    "hangs": (
        "import threading\ndef wait():\n    lock = threading.Lock()\n    lock.acquire()\n    lock.acquire()\nwait()",
        "rehearsal.hangs",
        "it waits in wait (",
        5,
    ),
    "hangs with all signals blocked": (
        "import signal, time\nsignal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())\ntime.sleep(600)",
        "rehearsal.hangs",
        "does nothing",
        0,
    ),
    "computes on and on": ("while True: pass", "rehearsal.not-shortened", "lives for the", 0),
    "bomb": ("import os\nwhile True: os.fork()", "rehearsal.too-many-processes", "more and more", 0),
    "flood": ("import sys\nwhile True: sys.stdout.write('x' * 100_000)", "rehearsal.floods", "prints", 0),
    "daemon": (
        "import os, time\nif os.fork(): os._exit(0)\nos.setsid()\nif os.fork(): os._exit(0)\ntime.sleep(600)",
        "rehearsal.leaves-processes",
        "leaves 1 process running",
        0,
    ),
    "asks for input": ("def ask():\n    return input('sure? ')\nask()", "rehearsal.asks", "nobody who answers", 2),
    "no such command": ("sh: trian --fast", "rehearsal.exits", "exit code 127", 0),
    "no such program": ("trian --fast", "rehearsal.no-command", "trian: no such file", 0),
    "no such script": ("python trian.py", "rehearsal.no-command", "can't open file", 0),
}
# Others are said in passing.
ALSO = {"flood": {"rehearsal.not-shortened"}}


def command_of(text: str) -> str:
    """Return the command line of an entry: a program of Python, a line of shell, or a command as it is."""
    if text.startswith("sh: "):
        return f"sh -c '{text[4:]}'"
    return "python ends.py" if "\n" in text or "(" in text or "while" in text else text


def rehearsed(folder: Path, text: str, **more: object) -> tuple[Rehearsed, list[Finding]]:
    """Rehearse a program in a project of its own; return what it did and what is said of that."""
    project = folder / "project"
    project.mkdir(parents=True)
    (project / "ends.py").write_text(text)
    command = command_of(text)
    section = {"command": command, "time": "5s", **more}
    (project / "foo.yaml").write_text(json.dumps({"preflight": {"rehearsal": section}}))
    config = configuration.load(project / "foo.yaml", root=project)
    done = standard_run(config, folder / "scratch")
    assert sorted(path.name for path in project.iterdir()) == ["ends.py", "foo.yaml"]
    return done, list(ending_of(config, done, command))


@pytest.fixture(scope="module")
def all_of_them(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, tuple[Rehearsed, list[Finding]]]:
    """What is said of each program; they run side by side, the bomb by itself."""
    folder = tmp_path_factory.mktemp("endings")
    with ThreadPoolExecutor(4) as pool:
        runs = {
            name: pool.submit(rehearsed, folder / str(number), text)
            for number, (name, (text, *_)) in enumerate(PROGRAMS.items())
            if name != "bomb"
        }
    found = {name: run.result() for name, run in runs.items()}
    return {**found, "bomb": rehearsed(folder / "bomb", PROGRAMS["bomb"][0], time="30s")}


@pytest.mark.parametrize("name", PROGRAMS)
def test_each_ending(all_of_them: Mapping[str, tuple[Rehearsed, list[Finding]]], name: str) -> None:
    _, wanted, words, line = PROGRAMS[name]
    done, findings = all_of_them[name]
    findings = [each for each in findings if each.id not in ALSO.get(name, ())]
    assert [each.id for each in findings] == ([wanted] if wanted else []), done.output[-2000:]
    if findings:
        [finding] = findings
        assert words in f"{finding.message} {finding.cause}"
        assert finding.line == line if line else finding.file.endswith("foo.yaml")
        assert (finding.severity is Severity.ERROR) == (name not in {"computes on and on", "flood"})
    assert done.way is Way.VIEW
    assert len(done.output) < 3_000_000


def test_nothing_lives_on(all_of_them: object, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Neither the daemon, nor what the bomb started, nor what blocked all signals."""
    place = str(tmp_path_factory.getbasetemp() / "endings")
    folders = [each.info["cwd"] or "" for each in psutil.process_iter(["cwd"])]
    assert not [each for each in folders if each.startswith(place)]


def test_a_command_that_goes_on_sees_what_was_saved(tmp_path: Path) -> None:
    program = """
import os, sys
if "--resume" in sys.argv:
    print(open("runs/last.pt").read())
    sys.exit("cannot go on")
os.makedirs("runs")
open("runs/last.pt", "w").write("state")
"""
    done, findings = rehearsed(tmp_path, program, resume="python ends.py --resume")
    assert done.code == 0
    assert not findings
    assert done.resumed is not None
    assert done.resumed.code == 1
    assert done.resumed.output.splitlines()[0] == "state"


def test_the_checks_of_one_run_share_one_run(tmp_path: Path) -> None:
    (tmp_path / "ends.py").write_text("open('/dev/null'); print(open('count').read())")
    (tmp_path / "count").write_text("1")
    checks = tmp_path / "preflight_checks"
    checks.mkdir()
    (checks / "check_mine.py").write_text("""
from preflight import check, info

@check(when="rehearsal", runs=1)
def check_one(rehearsed):
    yield info(repr(rehearsed.events[0]["at"]))

@check(when="rehearsal", runs=1)
def check_two(rehearsed):
    yield info(repr(rehearsed.events[0]["at"]))
""")
    config = configuration.load(
        Path("foo.yaml"), text="preflight: {rehearsal: {command: python ends.py}}", root=tmp_path
    )
    results = run(config, selection=Selection(only=("mine",))).results
    assert [each.status for each in results] == [Status.PASSED] * 2
    assert len({each.findings[0].message for each in results}) == 1


def test_without_a_view_the_configs_own_paths_lead_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or the user says that the real folders will do; else nothing is run."""

    def refuse(*_: object, **__: object) -> None:
        raise ViewRefused("new namespaces: Operation not permitted")

    monkeypatch.setattr("preflight.rehearsal.view.open_view", refuse)
    program = """
import json, sys
folder = json.load(open(sys.argv[2]))["output_dir"]
import os; os.makedirs(folder, exist_ok=True)
open(folder + "/last.pt", "w").write("state")
"""
    (tmp_path / "ends.py").write_text(program)
    section = {
        "paths": [{"path": "${output_dir}", "access": "write"}],
        "rehearsal": {"command": "python ends.py --config foo.yaml"},
    }
    for number, in_place in enumerate((False, True)):
        section["rehearsal"]["in_place"] = in_place  # type: ignore[call-overload]
        (tmp_path / "foo.yaml").write_text(json.dumps({"output_dir": "runs/a", "preflight": section}))
        config = configuration.load(tmp_path / "foo.yaml", root=tmp_path)
        done = standard_run(config, tmp_path / f"scratch-{number}")
        assert (done.code, done.way) == (0, Way.PATHS)
        assert done.refused == "new namespaces: Operation not permitted"
        assert not (tmp_path / "runs").exists()
        assert list((tmp_path / f"scratch-{number}").rglob("last.pt"))
    section.pop("paths")
    (tmp_path / "foo.yaml").write_text(json.dumps({"output_dir": "runs/a", "preflight": section}))
    done = standard_run(configuration.load(tmp_path / "foo.yaml", root=tmp_path), tmp_path / "scratch-2")
    assert (done.code, done.way) == (0, Way.IN_PLACE)
    assert (tmp_path / "runs" / "a" / "last.pt").exists()
    section["rehearsal"]["in_place"] = False  # type: ignore[call-overload]
    (tmp_path / "foo.yaml").write_text(json.dumps({"output_dir": "runs/a", "preflight": section}))
    with pytest.raises(ViewRefused):
        standard_run(configuration.load(tmp_path / "foo.yaml", root=tmp_path), tmp_path / "scratch-3")


def test_what_runs_elsewhere_is_not_started(tmp_path: Path) -> None:
    """Neither a scheduler's tasks nor those of another machine see the view."""
    with pytest.raises(ViewRefused, match="srun starts the program where no view is"):
        rehearsed(tmp_path, "srun --ntasks 4 python train.py")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted(tmp_path: Path, nothing_left: Callable[[], list[str]], number: int) -> None:
    """The program, what it started and what it wrote go at once."""
    (tmp_path / "scratch").mkdir()
    (tmp_path / "ends.py").write_text(
        "import subprocess, time\nopen('big', 'wb').write(bytes(10**7))\n"
        "subprocess.Popen(['sleep', '600'], start_new_session=True)\ntime.sleep(600)"
    )
    (tmp_path / "foo.yaml").write_text("preflight: {rehearsal: {command: python ends.py}}")
    command = [sys.executable, "-m", "preflight", "run", "--config", "foo.yaml", "--only", "rehearsal"]
    process = subprocess.Popen(
        command,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(tmp_path / "scratch")},
    )
    until = time.monotonic() + 30
    while not list((tmp_path / "scratch").rglob("big")) and time.monotonic() < until:
        time.sleep(0.05)
    process.send_signal(number)
    began = time.monotonic()
    _, errors = process.communicate(timeout=20)
    assert time.monotonic() - began < 10
    assert process.returncode == 130, errors
    assert nothing_left() == []
    assert not list((tmp_path / "scratch").iterdir())
    assert not (tmp_path / "big").exists()


RANKS = """
import os
import torch
from torch import distributed

torch.set_num_threads(1)

def save():
    if distributed.get_rank() == 0:
        distributed.barrier()

def train(rank):
    distributed.init_process_group("gloo", init_method="file://" + os.path.abspath("meeting"), rank=rank, world_size=2)
    distributed.all_reduce(torch.ones(2))
    save()
    distributed.all_reduce(torch.ones(3))

rank = 0 if os.fork() else 1
train(rank)
"""


@pytest.mark.slow
def test_ranks_that_wait_for_each_other(tmp_path: Path) -> None:
    """A barrier that one rank alone comes to is named, however long the start of the program has taken."""
    slow_start = "import time\nuntil = time.monotonic() + 22\nwhile time.monotonic() < until: pass\n"
    done, findings = rehearsed(tmp_path, slow_start + RANKS, time="45s")
    assert [(each.id, each.severity) for each in findings] == [("rehearsal.hangs", Severity.ERROR)], done.stacks
    [finding] = findings
    assert "ranks wait for each other" in finding.message
    assert "barrier (" in finding.cause
    assert "all_reduce (" in finding.cause
    assert "distributed." in (tmp_path / "project/ends.py").read_text().splitlines()[finding.line - 1]
