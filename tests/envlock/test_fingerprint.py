"""What a fingerprint sees of what people and installers do to an environment, and what it cannot see."""

import base64
import hashlib
import json
import os
import shutil
import subprocess
import sys
import venv
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from preflight.envlock.fingerprint import Fingerprint, fingerprint, remember, unchanged

pytestmark = [pytest.mark.slow, pytest.mark.skipif(shutil.which("git") is None, reason="needs git")]
SITE = f"lib/python3.{sys.version_info.minor}/site-packages"
# A build backend that needs nothing: pip calls it for `-e`.
BACKEND = """
import zipfile
def build_editable(folder, settings=None, metadata=None):
    with zipfile.ZipFile(f"{folder}/proj-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("proj.pth", PROJECT)
        wheel.writestr("proj-1.0.dist-info/METADATA", "Metadata-Version: 2.1\\nName: proj\\nVersion: 1.0\\n")
        wheel.writestr("proj-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr("proj-1.0.dist-info/RECORD", "")
    return "proj-1.0-py3-none-any.whl"
build_wheel = build_editable
"""


def wheel(folder: Path, version: str, name: str = "tiny") -> Path:
    """Write a wheel with two modules."""
    path = folder / f"{name}-{version}-py3-none-any.whl"
    text = f"version = '{version}'\n"
    files = {
        f"{name}/__init__.py": text,
        f"{name}/inner.py": text,
        f"{name}-{version}.dist-info/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{name}-{version}.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = ""
    for file, data in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(data.encode()).digest()).rstrip(b"=").decode()
        record += f"{file},sha256={digest},{len(data)}\n"
    with zipfile.ZipFile(path, "w") as archive:
        for file, data in {**files, f"{name}-{version}.dist-info/RECORD": record}.items():
            archive.writestr(file, data)
    return path


def pip(prefix: Path, *words: str) -> None:
    python = ["-m", "pip", "--python", f"{prefix}/bin/python", "--disable-pip-version-check", "--no-input"]
    subprocess.run([sys.executable, *python, *words], check=True, capture_output=True)


def install(prefix: Path, *words: str) -> None:
    pip(prefix, "install", "--no-index", "--no-deps", "--no-build-isolation", *words)


def git(folder: Path, *words: str) -> None:
    name = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
    subprocess.run(["git", "-C", str(folder), *name, *words], check=True, capture_output=True)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an environment in it, a project that is installed into it by `-e`, and wheels."""
    folder = tmp_path_factory.mktemp("made")
    venv.create(folder / "env", symlinks=True)
    for version in ("1.0", "1.1"):
        wheel(folder, version)
    write_project(folder / "proj")
    install(folder / "env", str(folder / "tiny-1.0-py3-none-any.whl"))
    (folder / "env/conda-meta").mkdir()
    (folder / "env/conda-meta/zlib-1.3-h1_0.json").write_text("{}")
    (folder / "env" / SITE / "extra.pth").write_text("/nonexistent\n")
    return folder


def write_project(project: Path) -> None:
    project.mkdir()
    (project / "backend.py").write_text(f"PROJECT = {str(project)!r}\n{BACKEND}")
    system = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    (project / "pyproject.toml").write_text(f'{system}[project]\nname = "proj"\nversion = "1.0"\n')
    (project / "proj.py").write_text("x = 1\n")
    git(project, "init")
    git(project, "add", ".")
    git(project, "commit", "--message=first")


@pytest.fixture
def prefix(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the environment that has not been touched for a while; there are no user's own packages."""
    for name in [name for name in os.environ if name.startswith(("PYTHON", "GIT_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    subprocess.run(["cp", "-a", *made.iterdir(), tmp_path], check=True)
    return settled(tmp_path / "env")


def settled(prefix: Path) -> Path:
    for folder, _, names in os.walk(prefix):
        for name in [".", *names]:
            os.utime(os.path.join(folder, name), (1e9, 1e9), follow_symlinks=False)
    return prefix


def written(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def edited_in_place(path: Path) -> None:
    """Change one sign and put the time back."""
    before = path.stat()
    path.write_bytes(path.read_bytes().replace(b"1.0", b"9.9"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


Step = Callable[[Path], object]
SEEN: dict[str, Step] = {
    "pip install": lambda env: install(env, str(wheel(env.parent, "1.0", "other"))),
    "pip uninstall": lambda env: pip(env, "uninstall", "--yes", "tiny"),
    "pip upgrade": lambda env: install(env, str(env.parent / "tiny-1.1-py3-none-any.whl")),
    "force-reinstall of the same version": lambda env: install(
        env, "--force-reinstall", str(env.parent / "tiny-1.0-py3-none-any.whl")
    ),
    "loose foo.py into site-packages": lambda env: written(env / SITE / "foo.py", ""),
    "edit of a .pth that was there": lambda env: written(env / SITE / "extra.pth", "/nowhere\n"),
    "edit of a .pth, same size, time restored": lambda env: edited_pth(env / SITE / "extra.pth"),
    "pip install -e": lambda env: install(env, "--editable", str(env.parent / "proj")),
    "conda install of a package that is not Python": lambda env: written(env / "conda-meta/xz-5.8-h1_0.json", "{}"),
    "conda update": lambda env: written(env / "conda-meta/zlib-1.3-h1_0.json", '{"build": "h1_1"}'),
    "conda remove": lambda env: (env / "conda-meta/zlib-1.3-h1_0.json").unlink(),
    "PYTHONPATH": lambda env: os.environ.update(PYTHONPATH=str(env.parent)),
    "user-site": lambda env: written(env / "pyvenv.cfg", "home = /usr/bin\ninclude-system-site-packages = true\n"),
    "another interpreter": lambda env: ((env / "bin/python").unlink(), (env / "bin/python").symlink_to("/bin/sh")),
    "a lost record": lambda env: (env / SITE / "tiny-1.0.dist-info/RECORD").unlink(),
}


def edited_pth(path: Path) -> None:
    before = path.stat()
    path.write_text(path.read_text().replace("nonexistent", "elsewhere12"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize("what", SEEN)
def test_what_is_seen(prefix: Path, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "")
    before = fingerprint(prefix).digest
    assert fingerprint(prefix).digest == before
    SEEN[what](prefix)
    assert fingerprint(prefix).digest != before


# What only a look into every file would show: `--deep` is for that.
ESCAPES: dict[str, Step] = {
    "edit of a module": lambda env: written(env / SITE / "tiny/inner.py", "edited = True\n"),
    "deletion of a module": lambda env: (env / SITE / "tiny/inner.py").unlink(),
    "edit of a module, same size, time restored": lambda env: edited_in_place(env / SITE / "tiny/inner.py"),
    "edit of a module in a folder of PYTHONPATH": lambda env: written(env.parent / "proj/proj.py", "x = 2\n"),
    "__pycache__ of a package": lambda env: written(env / SITE / "tiny/__pycache__/x.pyc", ""),
    "nothing": lambda env: None,
}


@pytest.mark.parametrize("what", ESCAPES)
def test_what_escapes(prefix: Path, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(prefix.parent / "proj"))
    before = fingerprint(prefix).digest
    ESCAPES[what](prefix)
    assert fingerprint(prefix).digest == before


OF_PROJECTS: dict[str, Step] = {
    "edit of a module": lambda project: written(project / "proj.py", "x = 2\n"),
    "a new file": lambda project: written(project / "more.py", ""),
    "a new commit": lambda project: git(project, "commit", "--allow-empty", "--message=second"),
    "another branch at another commit": lambda project: git(project, "switch", "--orphan", "other"),
    "the project is gone": lambda project: shutil.rmtree(project),
}


@pytest.mark.parametrize("what", OF_PROJECTS)
@pytest.mark.parametrize("others", [0, 1], ids=["alone", "of two"])
def test_editable_projects_are_seen_by_commit_and_by_what_differs(prefix: Path, what: str, others: int) -> None:
    for number in range(1 + others):
        info = prefix / SITE / f"p{number}-1.dist-info"
        info.mkdir()
        origin = {"url": (prefix.parent / "proj").as_uri(), "dir_info": {"editable": True}}
        (info / "direct_url.json").write_text(json.dumps(origin))
        if number:
            shutil.copytree(prefix.parent / "proj", prefix.parent / "proj2")
            (info / "direct_url.json").write_text(json.dumps({**origin, "url": (prefix.parent / "proj2").as_uri()}))
    before = fingerprint(prefix).digest
    OF_PROJECTS[what](prefix.parent / "proj")
    assert fingerprint(prefix).digest != before


def test_what_a_pth_or_pythonpath_leads_to_is_seen(prefix: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("linked", "listed"):
        (prefix.parent / name).mkdir()
    (prefix / SITE / "linked.pth").write_text(f"import sys\n{prefix.parent}/linked\n")
    monkeypatch.setenv("PYTHONPATH", f"{prefix.parent}/listed")
    before = fingerprint(prefix).digest
    for name in ("linked", "listed"):
        written(prefix.parent / name / "d-1.dist-info/RECORD", "")
        after = fingerprint(prefix).digest
        assert after != before
        before = after


def test_where_it_is_looked_from_does_not_matter(prefix: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    for folder in (prefix, prefix.parent):
        monkeypatch.chdir(folder)
        seen.append(fingerprint(prefix))
    assert seen[0] == seen[1]


def test_packages_of_the_user_are_seen_where_python_sees_them(prefix: Path) -> None:
    info = Path(os.environ["HOME"], ".local", SITE, "d-1.dist-info")
    before = fingerprint(prefix).digest
    written(info / "RECORD", "")
    assert fingerprint(prefix).digest == before
    (prefix / "pyvenv.cfg").unlink()
    before = fingerprint(prefix).digest
    written(info / "RECORD", "another\n")
    assert fingerprint(prefix).digest != before


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    path = tmp_path / "conda-lock.yml"
    path.write_text("version: 1\n")
    return path


def test_what_was_found_to_agree_is_unchanged_until_something_changes(prefix: Path, lock: Path) -> None:
    seen = fingerprint(prefix)
    assert not unchanged(seen, lock)
    remember(seen, lock)
    assert unchanged(fingerprint(prefix), lock)
    pip(prefix, "uninstall", "--yes", "tiny")
    assert not unchanged(fingerprint(prefix), lock)
    remember(replace(fingerprint(prefix), newest=0), lock)
    assert unchanged(fingerprint(prefix), lock)
    lock.write_text("version: 2\n")
    assert not unchanged(fingerprint(prefix), lock)
    lock.unlink()
    assert not unchanged(fingerprint(prefix), lock)


def test_locks_and_environments_are_told_apart(prefix: Path, lock: Path) -> None:
    other = lock.with_name("pylock.toml")
    shutil.copy(lock, other)
    remember(fingerprint(prefix), lock)
    assert not unchanged(fingerprint(prefix), other)
    subprocess.run(["cp", "-a", prefix, prefix.with_name("copy")], check=True)
    assert not unchanged(fingerprint(prefix.with_name("copy")), lock)
    prefix.with_name("link").symlink_to(prefix)
    assert unchanged(fingerprint(prefix.with_name("link")), lock)


def test_what_has_just_changed_is_not_trusted(prefix: Path, lock: Path) -> None:
    (prefix / SITE / "tiny-1.0.dist-info/RECORD").touch()
    remember(fingerprint(prefix), lock)
    assert not unchanged(fingerprint(prefix), lock)


def test_a_lock_that_includes_others_is_not_trusted(prefix: Path, lock: Path) -> None:
    lock.write_text("six==1.17.0\n  -r more.txt\n")
    remember(fingerprint(prefix), lock)
    assert not unchanged(fingerprint(prefix), lock)


def test_what_another_version_has_kept_is_not_trusted(
    prefix: Path, lock: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remember(fingerprint(prefix), lock)
    monkeypatch.setattr("preflight.envlock.fingerprint._VERSION", 99)
    assert not unchanged(fingerprint(prefix), lock)


@pytest.mark.parametrize("junk", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[1, 2, 3, 4, 5, 6]"])
def test_a_corrupt_cache_only_costs_time(prefix: Path, lock: Path, junk: bytes) -> None:
    seen = fingerprint(prefix)
    remember(seen, lock)
    [kept] = Path(os.environ["XDG_CACHE_HOME"], "preflight/environments").iterdir()
    kept.write_bytes(junk)
    assert not unchanged(seen, lock)
    remember(seen, lock)
    assert unchanged(seen, lock)


def test_a_cache_that_cannot_be_written_only_costs_time(
    prefix: Path, lock: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(lock))
    remember(fingerprint(prefix), lock)
    assert not unchanged(fingerprint(prefix), lock)


def test_no_environment_at_all(tmp_path: Path, lock: Path) -> None:
    seen = fingerprint(tmp_path / "none")
    assert isinstance(seen, Fingerprint)
    assert not unchanged(seen, lock)


def test_a_damaged_origin_is_only_text(prefix: Path) -> None:
    for text in ("{", "[]", '{"dir_info": 3, "url": 4}', '{"url": "file:///x"}'):
        (prefix / SITE / "tiny-1.0.dist-info/direct_url.json").write_text(text)
        assert fingerprint(prefix).digest == fingerprint(prefix).digest
