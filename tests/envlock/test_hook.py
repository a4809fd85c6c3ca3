"""A hook that stops git where the environment is not the locked one, and lets everything else be."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from preflight.envlock import hook
from preflight.envlock.hook import install
from preflight.errors import UserError

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
PYTHON = sys.executable
REPOSITORY = Path(__file__).parents[2]


def git(folder: Path, *words: str, status: int = 0) -> str:
    done = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, text=True)
    assert done.returncode == status, done.stderr
    return done.stdout + done.stderr


@pytest.fixture(autouse=True)
def person(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    home = tmp_path / "home"
    home.mkdir()
    (home / ".gitconfig").write_text("[user]\nname = A\nemail = a@example.org\n[init]\ndefaultBranch = trunk\n")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Return a function that sets how `env check` ends in the hooks that are installed after this."""
    python = tmp_path / "bin/python"
    python.parent.mkdir()

    def ends(status: int) -> None:
        python.write_text(f'#!/bin/sh\necho "$PWD" >> {tmp_path}/seen\nexit {status}\n')
        python.chmod(0o755)

    ends(0)
    monkeypatch.setattr(sys, "executable", str(python))
    return ends


@pytest.fixture
def top(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    git(folder, "init")
    (folder / "conda-lock.yml").write_text("version: 1\n")
    git(folder, "add", ".")
    git(folder, "commit", "--message=first")
    return folder


def seen(top: Path) -> int:
    """Return how often the environment was checked."""
    file = top.parent / "seen"
    return len(file.read_text().splitlines()) if file.exists() else 0


def commits(folder: Path) -> bool:
    return (
        subprocess.run(
            ["git", "-C", folder, "commit", "-q", "--allow-empty", "-m", "x"], capture_output=True
        ).returncode
        == 0
    )


Told = Callable[[int], None]


def test_a_commit_is_stopped_where_the_environment_is_another(top: Path, told: Told) -> None:
    assert install(top).endswith("hooks/pre-commit checks the environment")
    assert commits(top)
    told(1)
    assert not commits(top)
    assert seen(top) == 2
    git(top, "commit", "--no-verify", "--allow-empty", "--message=x")


def test_again_is_nothing_new(top: Path, told: Told) -> None:
    install(top)
    before = sorted((top / ".git/hooks").iterdir())
    assert install(top).endswith("pre-commit is installed already")
    assert sorted((top / ".git/hooks").iterdir()) == before
    script = top / ".git/hooks/pre-commit"
    script.write_text(script.read_text().replace("found=yes", "found=no"))
    script.chmod(0o644)
    assert install(top).endswith("pre-commit checks the environment")
    assert "found=yes" in script.read_text()
    assert os.access(script, os.X_OK)


@pytest.mark.parametrize("is_link", [False, True], ids=["file", "link"])
def test_a_hook_that_is_there_runs_first(top: Path, told: Told, is_link: bool) -> None:
    there = top / ".git/hooks/pre-commit"
    script = top / "scripts-hook" if is_link else there
    text = f"#!/bin/sh\necho first >> {top.parent}/seen\n[ ! -e {top}/refuse ]\n"
    script.write_text(text)
    script.chmod(0o755)
    if is_link:
        there.symlink_to("../../scripts-hook")
    assert "the hook that was there is pre-commit.before-preflight now, and runs first" in install(top)
    assert script.read_text() == text or not is_link
    assert commits(top)
    assert (top.parent / "seen").read_text() == f"first\n{top}\n"
    (top / "refuse").touch()
    assert not commits(top)
    assert seen(top) == 3
    assert install(top).endswith("installed already")


def test_two_hooks_that_were_there_are_not_mixed_up(top: Path, told: Told) -> None:
    for name in ("pre-commit", "pre-commit.before-preflight"):
        (top / ".git/hooks" / name).write_text("#!/bin/sh\n")
    with pytest.raises(UserError, match=r"another one in pre-commit\.before-preflight"):
        install(top)


def test_a_hook_that_is_switched_off_stays_so(top: Path, told: Told) -> None:
    (top / ".git/hooks/pre-commit").write_text(f"#!/bin/sh\necho off >> {top.parent}/seen\n")
    install(top)
    assert commits(top)
    assert seen(top) == 1


def test_before_a_push(top: Path, told: Told) -> None:
    git(top.parent, "init", "--bare", "remote")
    before = top / ".git/hooks/pre-push"
    before.write_text(f"#!/bin/sh\ncat > {top.parent}/refs\n")
    before.chmod(0o755)
    install(top, "pre-push")
    assert commits(top)
    assert seen(top) == 0
    git(top, "push", str(top.parent / "remote"), "trunk")
    assert "refs/heads/trunk" in (top.parent / "refs").read_text()
    told(1)
    commits(top)
    git(top, "push", str(top.parent / "remote"), "trunk", status=1)


def test_a_worktree_and_a_folder_below_the_top(top: Path, told: Told) -> None:
    (top / "sub dir").mkdir()
    (top / "sub dir/pylock.toml").write_text("\n")
    git(top, "add", ".")
    git(top, "commit", "--message=second")
    other = top.parent / "other"
    git(top, "worktree", "add", "-b", "branch", str(other))
    assert "/project/.git/hooks/pre-commit" in os.path.abspath(install(other / "sub dir").split()[0])
    assert commits(other)
    assert (top.parent / "seen").read_text() == f"{other}/sub dir\n"


def test_hooks_in_a_folder_of_the_project(top: Path, told: Told) -> None:
    git(top, "config", "core.hooksPath", ".hooks")
    assert "the hook names the interpreter of this machine" in install(top)
    assert commits(top)
    assert seen(top) == 1
    (top / ".gitignore").write_text(".hooks\n")
    assert "interpreter" not in install(top)


def test_hooks_that_all_repositories_share(top: Path, told: Told) -> None:
    git(top, "config", "--global", "core.hooksPath", str(top.parent / "shared"))
    with pytest.raises(UserError, match="git takes the hooks of every repository from"):
        install(top)
    assert not (top.parent / "shared").exists()
    git(top, "config", "core.hooksPath", ".git/hooks")
    install(top)
    assert commits(top)
    assert seen(top) == 1


def test_a_branch_without_a_lock_is_not_checked(top: Path, told: Told) -> None:
    install(top)
    told(1)
    git(top, "switch", "--orphan", "pages")
    assert commits(top)
    assert seen(top) == 0


def test_in_the_middle_of_a_merge_nothing_is_checked(top: Path, told: Told) -> None:
    install(top)
    told(1)
    git(top, "switch", "-c", "other")
    git(top, "commit", "--no-verify", "--allow-empty", "--message=other")
    git(top, "switch", "trunk")
    git(top, "merge", "--no-ff", "--no-commit", "other")
    assert commits(top)


def test_an_interpreter_that_is_gone(top: Path, told: Told, tmp_path: Path) -> None:
    install(top)
    (tmp_path / "bin/python").unlink()
    said = git(top, "commit", "--allow-empty", "--message=x", status=1)
    assert said == (
        f"preflight: {tmp_path}/bin/python is gone, so nobody checks the environment. "
        "Install the hook again from another one:\n    preflight env hook install\n"
        "or do without it: rm '.git/hooks/pre-commit'\n"
    )


def test_a_preflight_that_is_gone(top: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "env"], check=True)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "env/bin/python"))
    # What lies in the project is not taken for it.
    (top / "preflight").mkdir()
    (top / "preflight/__main__.py").write_text("main = exit\n")
    install(top)
    said = git(top, "commit", "--allow-empty", "--message=x", status=1)
    assert f"preflight: {tmp_path}/env has no preflight any more" in said
    assert said.endswith("    preflight env hook install\n")


def test_the_real_check_is_run(top: Path) -> None:
    """Whatever it says of this environment, it says it in its own words and makes no commit."""
    (top / "conda-lock.yml").write_text("version: 7\n")
    install(top)
    said = git(top, "commit", "--allow-empty", "--message=x", status=1)
    assert "preflight: " in said or "env: " in said
    assert git(top, "rev-list", "--count", "HEAD") == "1\n"


def test_the_command_installs_either(top: Path) -> None:
    for words, kind in (([], "pre-commit"), (["--before", "push"], "pre-push")):
        command = [sys.executable, "-m", "preflight", "env", "hook", "install", *words]
        said = subprocess.run(command, cwd=top, check=True, capture_output=True, text=True).stdout
        assert said == f".git/hooks/{kind} checks the environment\n"
        assert (top / ".git/hooks" / kind).exists()


def test_no_repository(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no hook can be installed: not a git repository"):
        install(tmp_path)


def test_no_right_to_write(top: Path, told: Told) -> None:
    (top / ".git/hooks").rename(top / ".git/samples")
    (top / ".git/hooks").write_text("")
    with pytest.raises(UserError, match="the hook cannot be written: "):
        install(top)


def test_a_project_of_the_framework_gets_lines_to_add(top: Path) -> None:
    file = top / hook.FRAMEWORK
    file.write_text("repos:\n")
    said = install(top)
    assert not (top / ".git/hooks/pre-commit").exists()
    file.write_text(f"repos:\n{said.partition(':' + chr(10))[2]}\n")
    [entry] = yaml.safe_load(file.read_text())["repos"]
    assert entry["hooks"][0]["entry"] == "preflight env check --offline"
    assert install(top).endswith("checks the environment already")


def test_the_framework_runs_the_hook_and_keeps_ours(top: Path, told: Told, tmp_path: Path) -> None:
    pytest.importorskip("pre_commit")
    environment = {
        **os.environ,
        "PRE_COMMIT_HOME": str(tmp_path / "cache"),
        "PATH": f"{tmp_path}/bin:{os.environ['PATH']}",
    }
    (tmp_path / "bin/preflight").write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/framework\n')
    (tmp_path / "bin/preflight").chmod(0o755)
    install(top)
    (top / hook.FRAMEWORK).write_text("repos: []\n")
    (top / hook.FRAMEWORK).write_text(f"repos:\n{install(top).partition(':' + chr(10))[2]}\n")
    git(top, "add", ".")
    subprocess.run([PYTHON, "-m", "pre_commit", "install"], cwd=top, env=environment, check=True, capture_output=True)
    subprocess.run(["git", "commit", "-q", "-m", "x"], cwd=top, env=environment, check=True, capture_output=True)
    assert (tmp_path / "framework").read_text() == "env check --offline\n"
    assert seen(top) == 1
    (top / hook.FRAMEWORK).unlink()
    assert "pre-commit.legacy is installed already" in install(top)


def test_what_the_framework_reads_of_this_repository() -> None:
    [entry] = yaml.safe_load((REPOSITORY / ".pre-commit-hooks.yaml").read_text())
    local = yaml.safe_load(hook._ENTRY)[0]["hooks"][0]
    assert {key: entry[key] for key in local} == local
