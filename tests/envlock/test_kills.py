"""A kill between any two steps leaves the old or the new, and what comes after it ends well."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path

import psutil
import pytest

Judge = Callable[[Path, str], None]
WORLDS = Path(__file__).parents[1] / "worlds"
COMMIT = """
from pathlib import Path
from preflight.envlock import commit
commit._BUSY = 0
files = {Path(name): f"{name} new\\n".encode() for name in ("environment.yml", "conda-lock.yml")}
print(commit.commit(Path(), files, []))
"""
WRITE = """
from pathlib import Path
from preflight import writing
writing.save({Path(name): f"{name} new\\n".encode() for name in ("environment.yml", "conda-lock.yml")})
"""
SETUP = """
git init -q; git config user.name A; git config user.email a@example.org; git config gc.auto 0
for name in conda-lock.yml staged.py both.py dirty.py; do echo "$name old" >$name; done
git add .; git commit -qm first
for name in staged.py both.py; do echo staged >$name; git add $name; done
for name in both.py dirty.py untracked.py; do echo dirty >$name; done
"""
UNFINISHED = {"MM both.py", " M dirty.py", "M  staged.py", "?? untracked.py"}


@pytest.fixture(scope="module")
def killer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not shutil.which("cc") or not shutil.which("git") or sys.platform != "linux":
        pytest.skip("needs Linux, git and a compiler")
    library = tmp_path_factory.mktemp("killer") / "killer.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, WORLDS / "killer.c", "-ldl"], check=True)
    return library


@pytest.fixture
def each_kill(tmp_path: Path, killer: Path) -> Callable[..., int]:
    """Return `each_kill(program, judge, group=…)`: calls `judge(top, said)` after a kill at each step in turn."""
    first = tmp_path / "first"
    first.mkdir()
    unwanted = ("CI", "GIT_", "PYTHONDONTWRITEBYTECODE")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(unwanted)}
    environment["PYTHONPYCACHEPREFIX"] = str(tmp_path / "compiled")
    subprocess.run(["bash", "-euc", SETUP], cwd=first, check=True, env=environment)

    def kill(program: str, judge: Judge, group: bool, at: int) -> int:
        top, counter = tmp_path / f"{at}/top", tmp_path / f"counter{at}"
        top.parent.mkdir()
        subprocess.run(["cp", "-a", first, top], check=True)
        counter.write_bytes(bytes(4))
        # One that dies alone is also waited for: there it is enough to stop where git's own objects are not written.
        mode = {"GROUP": "1"} if group else {"SKIP": "/objects/"}
        settings = {"BELOW": f"{top}/", "AT": str(at), "COUNTER": str(counter), **mode}
        process = subprocess.Popen(
            [sys.executable, "-c", program],
            cwd=top,
            env={**environment, "LD_PRELOAD": str(killer), **{f"KILLER_{name}": it for name, it in settings.items()}},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        said = process.communicate()[1]
        assert process.returncode in ((0, 1, -signal.SIGKILL) if at else (0,)), said
        while process.returncode < 0 and not group and lives(process.pid):
            time.sleep(0.01)
        judge(top, said)
        shutil.rmtree(top)
        return int.from_bytes(counter.read_bytes(), sys.byteorder)

    def kill_at_each(program: str, judge: Judge, *, group: bool) -> int:
        steps = kill(program, judge, group, 0)
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(partial(kill, program, judge, group), range(1, steps + 1)))
        return steps

    return kill_at_each


def lives(session: int) -> bool:
    """Say whether a git that has lost its parent still goes on."""
    for process in psutil.process_iter():
        with suppress(psutil.Error, ProcessLookupError):
            if os.getsid(process.pid) == session and process.status() != psutil.STATUS_ZOMBIE:
                return True
    return False


def git(folder: Path, *words: str) -> str:
    return subprocess.run(["git", "-C", folder, *words], check=True, capture_output=True, text=True).stdout


def assert_whole(top: Path) -> set[str]:
    """Make sure that each file is the old one or the new one; return the lines of git's status."""
    lock, environment = top / "conda-lock.yml", top / "environment.yml"
    assert lock.read_text() in ("conda-lock.yml old\n", "conda-lock.yml new\n")
    assert not environment.exists() or environment.read_text() == "environment.yml new\n"
    return {line for line in git(top, "status", "--porcelain").splitlines() if ".preflight-" not in line}


def test_the_files_are_old_or_new(each_kill: Callable[..., int]) -> None:
    found = set()

    def judge(top: Path, said: str) -> None:
        found.add(frozenset(assert_whole(top)) - UNFINISHED)
        assert len(list(top.glob(".preflight-*.part"))) <= 2

    assert each_kill(WRITE, judge, group=True) >= 9
    assert found == {
        frozenset(),
        frozenset({"?? environment.yml"}),
        frozenset({" M conda-lock.yml", "?? environment.yml"}),
    }


@pytest.mark.slow
@pytest.mark.parametrize("group", [True, False], ids=["all at once", "one process"])
def test_a_commit_is_made_or_not_and_the_next_one_completes_it(each_kill: Callable[..., int], group: bool) -> None:
    seen = set()

    def judge(top: Path, said: str) -> None:
        status, committed = assert_whole(top), git(top, "rev-list", "--count", "HEAD") == "2\n"
        if "UserError" in said and not committed:
            assert "not committed" in said or "not complete" in said or "nothing can be committed" in said, said
        locks = sorted((top / ".git").rglob("*.lock"))
        # Git itself stages last, by renaming its lock.
        late = {"MM conda-lock.yml", "DA environment.yml"} if locks and committed else set()
        assert status >= UNFINISHED
        assert status - UNFINISHED <= {" M conda-lock.yml", "?? environment.yml", " A environment.yml", *late}
        assert git(top, "show", ":both.py") == "staged\n"
        if (state := (committed, *(lock.name for lock in locks), *sorted(status))) not in seen:
            seen.add(state)
            assert_next_completes(top, locks)

    assert each_kill(COMMIT, judge, group=group) > 20
    assert len(seen) > 4


def assert_next_completes(top: Path, locks: list[Path]) -> None:
    """Commit again, after removing what a killed git has left locked, and make sure that all is right."""
    for lock in locks:
        lock.unlink()
    again = {name: value for name, value in os.environ.items() if name != "CI"}
    subprocess.run([sys.executable, "-c", COMMIT], cwd=top, check=True, capture_output=True, env=again)
    assert assert_whole(top) == UNFINISHED
    assert git(top, "rev-list", "--count", "HEAD") == "2\n"
    assert git(top, "show", "--name-only", "--format=").split() == ["conda-lock.yml", "environment.yml"]
    assert git(top, "fsck", "--strict", "--no-dangling") == ""
