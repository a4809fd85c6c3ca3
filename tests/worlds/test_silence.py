"""Worlds that look odd and are healthy: a whole run says GO there, without an error, a warning or an open question."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

pytestmark = pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="a world needs Linux and root")

GIT = {
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
    **{f"GIT_{who}_{what}": "a@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
}
World = Callable[..., list[str]]


def write(path: Path, content: str | bytes = "content\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def git(folder: Path, *words: str) -> None:
    command = ["git", "-c", "protocol.file.allow=always", "-C", str(folder), *words]
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, **GIT})


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A plain project: a program that imports modules of the standard library."""
    write(tmp_path / "project/train.py", "import json\nimport random\n")
    return tmp_path / "project"


@pytest.fixture
def run() -> World:
    """Return `run(project, section, ...)`: what a whole run has to complain of, nothing for a GO without a warning."""

    def run(
        project: Path, section: Any = None, *, setup: str = "", experiment: Any = None, **variables: str
    ) -> list[str]:
        config = {**(experiment or {"seed": 1}), "preflight": {"imports": ["json"]} if section is None else section}
        write(project / "config.yaml", yaml.safe_dump(config, allow_unicode=True))
        command = [
            "unshare",
            "--mount",
            "bash",
            "-euc",
            f'{setup}\nexec "$@"',
            "bash",
            sys.executable,
            "-m",
            "preflight",
        ]
        command += ["run", "--config", "config.yaml", "--format", "json"]
        # As from a shell of one's own: what the tests' own shell has set is no part of the world.
        environment = {
            name: value for name, value in os.environ.items() if name in ("HOME", "LANG", "PATH", "PYTHONPATH")
        }
        done = subprocess.run(
            command, cwd=project, env={**environment, **GIT, **variables}, capture_output=True, text=True, check=False
        )
        assert done.stdout.startswith("{"), done.stderr
        return complaints(json.loads(done.stdout)) + ([] if done.returncode == 0 else [f"exit code {done.returncode}"])

    return run


def complaints(report: dict[str, Any]) -> list[str]:
    """Return the errors and warnings of a report, and the checks that gave no answer though they were asked."""
    said = [finding for result in report["results"] for finding in result.get("findings", ())]
    loud = [f"{each['severity']} {each['id']}: {each['message']}" for each in said if each["severity"] != "info"]
    results = [each for each in report["results"] if each["status"] in ("FAILED", "BROKEN") or each.get("asked")]
    open_ = [f"{each['check']} {each['status']} {each.get('reason', '')}" for each in results]
    return loud + [text for text in open_ if " PASSED" not in text]


def test_a_world_that_is_not_healthy_is_heard(project: Path, run: World) -> None:
    assert run(project, {"imports": ["json"], "data": [{"path": "gone"}]})[0].startswith("error data.missing")


@pytest.mark.slow
def test_odd_data(project: Path, tmp_path: Path, run: World) -> None:
    """Links in a row and back up, hidden and sparse files, odd names, content of Git LFS, a read-only mount."""
    store = tmp_path / "store"
    write(store / "v3/train.csv", "id,label\n1,2\n")
    (store / "current").symlink_to("v3")
    (project / "data").symlink_to(store)
    write(store / "loop/a.bin")
    (store / "loop/up").symlink_to("..")
    write(store / "hidden/.DS_Store", b"")
    write(store / "hidden/.ipynb_checkpoints/x.csv", b"")
    write(store / "hidden/train.csv")
    with open(write(store / "sparse/zeros.bin"), "r+b") as file:
        file.truncate(5_000_000_000)
    write(store / "names/with blank,\nnewline and ümlaut.txt", "text")
    write(store / "lfs/.gitattributes", "*.bin filter=lfs diff=lfs merge=lfs -text\n")
    write(store / "lfs/model.bin", os.urandom(1000))
    write(store / "marks/part-0.bin")
    write(store / "marks/_SUCCESS", b"")
    write(tmp_path / "mounted/a.bin")
    (store / "mounted").mkdir()
    for number in range(3000):
        write(store / f"many/{number % 10}/{number}.bin", b"x")
    names = ["current/train.csv", "loop", "hidden", "sparse/zeros.bin", "names", "lfs", "marks", "mounted", "many"]
    section = {
        "imports": ["json"],
        "data": [
            *[{"path": f"data/{name}"} for name in names],
            {"path": "data/many", "files": {"glob": "**/*.bin", "min": 3000, "max": 3000}},
            {"path": "data/many/{1,2}/*.bin"},
            {"path": "../store/current"},
        ],
    }
    setup = f"mount --bind {tmp_path}/mounted {store}/mounted; mount -o remount,ro,bind {store}/mounted"
    assert not run(project, section, setup=setup)


def test_odd_outputs(project: Path, tmp_path: Path, run: World) -> None:
    """Folders still to be made, kept by .gitkeep, behind a link, in memory, on a file system that counts no files."""
    write(project / "kept/.gitkeep", b"")
    (tmp_path / "elsewhere").mkdir()
    (project / "linked").symlink_to(tmp_path / "elsewhere")
    (project / "memory").mkdir()
    entries = [
        {"path": "runs/2024/a", "access": "write", "empty": True},
        {"path": "kept", "access": "write", "empty": True},
        {"path": "linked", "access": "read+write", "free": "1MB"},
        {"path": "memory", "access": "write", "free": "8MB", "inodes": 1000},
        {"path": "log.csv", "access": "write"},
        {"path": "/tmp", "access": "write+execute"},
    ]
    setup = f"mount -t tmpfs -o size=16m,nr_inodes=0 none {project}/memory"
    assert not run(project, {"imports": ["json"], "paths": entries}, setup=setup)
    assert sorted(os.listdir(project)) == ["config.yaml", "kept", "linked", "memory", "train.py"]


def test_a_path_with_odd_signs(project: Path, tmp_path: Path, run: World) -> None:
    odd = tmp_path / "my 'first' project\nof Jürgen"
    write(project / "data/a.bin")
    write(project / "model.py", "import json\n")
    project.rename(odd)
    section = {"imports": ["json", "model"], "data": [{"path": "data"}], "paths": [{"path": "out", "access": "write"}]}
    assert not run(odd, section)
    assert "run1" not in os.listdir(odd)


def open_way_to(folder: Path, kept: Path) -> str:
    """Return shell text after which everybody may go to `folder`, however closed the folders above it are."""
    closed = next((each for each in reversed(folder.parents) if not each.stat().st_mode & 0o001), None)
    if closed is None:
        return ""
    kept.mkdir()
    return (
        f"mount --bind {folder} {kept}; mount -t tmpfs -o mode=755 none {closed}; "
        f"mkdir -p {folder}; mount --bind {kept} {folder}"
    )


def test_a_user_without_a_name_and_a_home(project: Path, tmp_path: Path, run: World) -> None:
    """A container that is started with `--user 12345`: no entry in the list of users, and no HOME."""
    write(project / "data/a.bin")
    for path in (project, *project.rglob("*")):
        os.chown(path, 12345, 12345)
    # The folders above are the tests' own.
    for folder in (tmp_path, *tmp_path.parents):
        if folder == Path(tempfile.gettempdir()):
            break
        folder.chmod(0o755)
    user = 'set -- env --unset=HOME setpriv --reuid=12345 --regid=12345 --clear-groups --inh-caps=-all "$@"'
    setup = f"{open_way_to(Path(sys.base_prefix), tmp_path / 'kept')}\n{user}"
    section = {"imports": ["json"], "data": [{"path": "data"}], "paths": [{"path": "out", "access": "write"}]}
    assert not run(project, section, setup=setup)


def test_a_machine_without_git(project: Path, tmp_path: Path, run: World) -> None:
    (tmp_path / "bin").mkdir()
    for name in ("bash", "env", "ls"):
        (tmp_path / "bin" / name).symlink_to(str(shutil.which(name)))
    assert not run(project, setup=f"export PATH={tmp_path}/bin")


@pytest.mark.slow
def test_odd_repositories(project: Path, tmp_path: Path, run: World) -> None:
    """The project is a worktree of a repository, with another repository in it as a submodule."""
    main, library = tmp_path / "main", tmp_path / "library"
    write(library / "tool.py", "import json\n")
    write(main / "train.py", "import json\n")
    for folder in (library, main):
        git(folder, "init", "--quiet")
        git(folder, "add", ".")
        git(folder, "commit", "--quiet", "--message", "begin")
    git(main, "submodule", "--quiet", "add", str(library), "library")
    write(main / "config.yaml", "seed: 1\npreflight: {}\n")
    git(main, "add", ".")
    git(main, "commit", "--quiet", "--message", "library")
    git(main, "worktree", "add", "--quiet", str(tmp_path / "tree"))
    git(tmp_path / "tree", "submodule", "--quiet", "update", "--init")
    assert not run(tmp_path / "tree", {"imports": ["json"], "code": {"commit": True}})


def test_modules_that_look_like_others(project: Path, run: World) -> None:
    """A package of one's own below src, with modules called random and json in it; a package without __init__.py."""
    write(project / "src/mine/__init__.py", "from mine import random\n")
    write(project / "src/mine/random.py", "import random\nseed = random.seed\n")
    write(project / "src/mine/json.py", "from json import *\n")
    write(project / "src/parts/one/model.py", "import mine.json\n")
    write(project / "train.py", "import mine\nimport parts.one.model\n")
    section = {"imports": ["mine", "mine.json", "parts.one.model", {"name": "flash_attn", "optional": True}]}
    previous = os.environ.get("PYTHONPATH", "")
    assert not run(project, section, PYTHONPATH=f"{project}/src" + (f":{previous}" if previous else ""))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["venv", "conda"])
def test_an_environment_inside_the_project(kind: str, project: Path, run: World) -> None:
    """Its python is a link; the project itself is installed there as editable; a conda prefix has a list of its own."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", "--symlinks", project / ".env"], check=True)
    site = next((project / ".env/lib").glob("python3*")) / "site-packages"
    write(project / "src/mine/__init__.py", "value = 1\n")
    write(site / "_mine.pth", f"{project}/src\n")
    write(site / "mine-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: mine\nVersion: 1.0\n")
    write(site / "mine-1.0.dist-info/RECORD", "_mine.pth,,\nmine-1.0.dist-info/METADATA,,\n")
    write(site / "mine-1.0.dist-info/INSTALLER", "pip\n")
    address = {"dir_info": {"editable": True}, "url": project.as_uri()}
    write(site / "mine-1.0.dist-info/direct_url.json", json.dumps(address))
    variables = {"VIRTUAL_ENV": str(project / ".env")}
    if kind == "conda":
        (project / ".env/pyvenv.cfg").rename(project / "pyvenv.cfg.old")
        shutil.copytree(project / ".env", project / "prefix", symlinks=True)
        (project / "pyvenv.cfg.old").rename(project / ".env/pyvenv.cfg")
        write(project / ".env/conda-meta/history", "")
        variables = {"CONDA_PREFIX": str(project / ".env"), "CONDA_DEFAULT_ENV": str(project / ".env")}
    assert not run(project, {"imports": ["json", "mine"], "python": ".env/bin/python"}, **variables)


def test_an_odd_shell(project: Path, tmp_path: Path, run: World) -> None:
    """No GPU on purpose, no locale, a screen that is not there, limits that are large enough, memory as TMPDIR."""
    (tmp_path / "tmp").mkdir()
    write(project / "labels.csv", "id,name\n1,Zoë\n")
    write(project / "train.py", "import json\nrows = open('labels.csv').read()\n")
    section = {
        "imports": ["json"],
        "data": ["labels.csv"],
        "system": {"ram": "100MB", "nofile": 200, "processes": 10, "commands": ["ls"], "env": ["MY_ROOT"]},
    }
    experiment = {"device": "cpu", "num_workers": 2, "lr": 0.001}
    variables = {"CUDA_VISIBLE_DEVICES": "", "LC_ALL": "C", "MPLBACKEND": "Agg", "MY_ROOT": "/"}
    setup = f"mount -t tmpfs none {tmp_path}/tmp; ulimit -S -n 256; ulimit -c 0; umask 077; "
    setup += 'set -- unshare --net "$@"'
    assert not run(project, section, setup=setup, experiment=experiment, TMPDIR=f"{tmp_path}/tmp", **variables)


@pytest.mark.parametrize("section", [{}, {"data": [], "paths": None, "system": {}, "imports": []}])
def test_empty_sections(section: dict[str, Any], project: Path, run: World) -> None:
    assert not run(project, section)


def test_a_control_group_that_is_large_enough(project: Path, run: World) -> None:
    top = Path("/sys/fs/cgroup/memory")
    if not (top / "cgroup.procs").exists():
        pytest.skip("needs the memory controller of cgroup v1")
    group = top / f"preflight-{os.getpid()}"
    group.mkdir()
    try:
        (group / "memory.limit_in_bytes").write_text("2000000000")
        section = {"imports": ["json"], "system": {"ram": "500MB"}}
        assert not run(project, section, setup=f"echo $$ > {group}/cgroup.procs")
    finally:
        group.rmdir()


def test_a_container_that_is_read_only(project: Path, run: World) -> None:
    """Only the output folder and the one for temporary files can be written; the input is closed."""
    (project / "out").mkdir()
    (project / "tmp").mkdir()
    setup = f"mount --bind {project}/out {project}/out; mount --bind {project}/tmp {project}/tmp; "
    setup += "for point in $(findmnt -rno TARGET -T / ) /; do mount -o remount,ro,bind $point; done; exec < /dev/null"
    section = {"imports": ["json"], "paths": [{"path": "out", "access": "write"}]}
    assert not run(project, section, setup=setup, TMPDIR=f"{project}/tmp")


def test_a_project_with_names_of_ours(project: Path, run: World) -> None:
    """Modules called like what preflight uses, and settings of pytest that would stop it."""
    write(project / "config/__init__.py", "raise RuntimeError\n")
    write(project / "pytest.py", "raise RuntimeError\n")
    write(project / "conftest.py", "raise RuntimeError\n")
    write(project / "pytest.ini", "[pytest]\naddopts = --no-such-option\n")
    assert not run(project, PYTEST_ADDOPTS="--no-such-option")
