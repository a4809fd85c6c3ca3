"""Every finding of the packages checks, over metadata that is really there or really broken."""

import hashlib
import json
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from urllib.parse import urlsplit

import pytest

from preflight import writing
from preflight.config import Config, Import, Packages
from preflight.envlock.environment import Environment
from preflight.envlock.inventory import Inventory
from preflight.envlock.plan import plan
from preflight.envlock.restore import restore
from preflight.model import Finding, Severity
from preflight.system.origins import SearchPath, Source


@pytest.fixture(scope="session")
def checks(load_check_file: Callable[[str], ModuleType]) -> ModuleType:
    return load_check_file("packages")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of installed distributions, on PYTHONPATH."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.setenv("PYTHONPATH", str(folder))
    return folder


def install(site: Path, name: str, version: str, *requires: str) -> Path:
    info = site / f"{name}-{version}.dist-info"
    info.mkdir()
    lines = [f"Name: {name}", f"Version: {version}", *(f"Requires-Dist: {each}" for each in requires)]
    (info / "METADATA").write_text("\n".join(lines) + "\n\nA description.\n")
    (info / "RECORD").write_text(f"{name}/__init__.py,,\n")
    (site / name).mkdir(exist_ok=True)
    (site / name / "__init__.py").touch()
    return info


def consistent(checks: ModuleType, site: Path, *imports: str) -> list[Finding]:
    """Return what is said of the distributions in `site`, those of this environment left out."""
    config = Config(imports=tuple(Import(name=name) for name in imports))
    said = checks.check_consistent(config, site.parent)
    return [finding for finding in said if "thing" in finding.message]


def test_what_is_required_and_not_there(checks: ModuleType, site: Path) -> None:
    install(site, "thing", "1.0", "absent-part>=2", 'other-part; extra == "all"', 'old-part; python_version < "3"')
    [finding] = consistent(checks, site, "thing")
    assert (finding.id, finding.severity) == ("packages.missing", Severity.ERROR)
    assert finding.message == "thing 1.0 requires absent-part>=2, which is not installed"
    assert "'absent-part>=2'" in finding.fix
    install(site, "absent_part", "2.1")
    assert consistent(checks, site, "thing") == []


def test_an_extra_counts_where_somebody_requires_it(checks: ModuleType, site: Path) -> None:
    install(site, "thing", "1.0", 'other-part; extra == "all"')
    assert consistent(checks, site) == []
    install(site, "user_of_thing", "1.0", "thing[all]")
    assert [finding.id for finding in consistent(checks, site)] == ["packages.missing"]


def test_a_version_that_is_not_accepted(checks: ModuleType, site: Path) -> None:
    install(site, "thing", "1.0", "part<3")
    install(site, "part", "3.1")
    [finding] = consistent(checks, site, "thing")
    assert (finding.id, finding.severity) == ("packages.conflict", Severity.ERROR)
    assert (finding.found, finding.wanted) == ("part 3.1", "part<3")


def test_a_prerelease_that_is_installed_is_accepted(checks: ModuleType, site: Path) -> None:
    install(site, "thing", "1.0", "part>=3")
    install(site, "part", "3.1rc1+cu121")
    assert consistent(checks, site) == []


def test_a_conflict_that_the_imports_do_not_reach_only_warns(checks: ModuleType, site: Path) -> None:
    install(site, "thing", "1.0", "absent-part")
    install(site, "mine", "1.0", "between")
    install(site, "between", "1.0")
    assert [finding.severity for finding in consistent(checks, site, "mine")] == [Severity.WARNING]
    install(site, "last", "1.0", "thing")
    assert [finding.severity for finding in consistent(checks, site, "mine", "last")] == [Severity.ERROR]


def whole(checks: ModuleType, site: Path, *imports: str) -> list[Finding]:
    """Return what is said of the state in which the distributions in `site` are."""
    config = Config(imports=tuple(Import(name=name) for name in imports))
    return [finding for finding in checks.check_are_whole(config, site.parent) if str(site) in str(finding)]


def test_metadata_that_is_lost(checks: ModuleType, site: Path) -> None:
    info = install(site, "thing", "1.0")
    (info / "METADATA").unlink()
    [finding] = whole(checks, site)
    assert (finding.id, finding.severity) == ("packages.broken", Severity.WARNING)
    assert whole(checks, site, "thing")[0].severity is Severity.ERROR
    mend(finding)
    assert whole(checks, site, "thing") == []


def mend(finding: Finding) -> None:
    """Run what the fix says, the removal only."""
    [command] = [line for line in finding.fix.splitlines() if line.startswith("    rm ")]
    subprocess.run(shlex.split(command), check=True)


def test_a_stale_record_is_told_from_the_true_one(checks: ModuleType, site: Path) -> None:
    install(site, "thing", "1.0")
    assert whole(checks, site) == []
    stale = install(site, "thing", "0.9")
    (stale / "RECORD").write_text("thing/__init__.py,,99\n")
    [finding] = whole(checks, site)
    assert (finding.id, finding.severity) == ("packages.duplicate", Severity.WARNING)
    assert finding.message == "thing has 2 dist-info folders: 0.9 (stale), 1.0"
    mend(finding)
    assert whole(checks, site) == []


@pytest.mark.parametrize(("accepts", "severity"), [("thing>=0.5", Severity.WARNING), ("thing>=1", Severity.ERROR)])
def test_two_records_matter_where_a_package_tells_them_apart(
    checks: ModuleType, site: Path, accepts: str, severity: Severity
) -> None:
    install(site, "mine", "1.0", accepts)
    install(site, "thing", "1.0")
    install(site, "thing", "0.9")
    assert [finding.severity for finding in whole(checks, site, "mine")] == [severity]


def test_two_records_matter_where_the_program_asks_for_the_version(checks: ModuleType, site: Path) -> None:
    install(site, "thing", "1.0")
    install(site, "thing", "0.9")
    assert [finding.severity for finding in whole(checks, site, "thing")] == [Severity.WARNING]
    (site.parent / "train.py").write_text("from importlib import metadata\nmetadata.version('Thing')\n")
    assert [finding.severity for finding in whole(checks, site, "thing")] == [Severity.ERROR]


def test_a_record_without_its_modules_comes_first(
    checks: ModuleType, site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stale = site / "PyYAML-3.9.dist-info"
    stale.mkdir()
    (stale / "METADATA").write_text("Name: PyYAML\nVersion: 3.9\n")
    [finding] = whole(checks, site, "yaml")
    assert finding.message.startswith("pyyaml has 2 dist-info folders: 3.9 (stale), 6")
    mend(finding)
    assert whole(checks, site, "yaml") == []


def test_files_that_are_not_those_of_the_installation(checks: ModuleType, site: Path) -> None:
    info = install(site, "thing", "1.0")
    digest = "sha256=47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU"
    (info / "RECORD").write_text(f"thing/__init__.py,{digest},0\nthing/other.py,{digest},0\nthing/deep/a.py,,9\n")
    (site / "thing/other.py").touch()
    assert whole(checks, site, "thing") == []
    (site / "thing/__init__.py").write_text("print('here')\n")
    (site / "thing/other.py").unlink()
    [finding] = whole(checks, site, "thing")
    assert (finding.id, finding.severity) == ("packages.altered", Severity.WARNING)
    assert finding.message.endswith("thing/__init__.py (changed), thing/other.py (missing)")
    assert whole(checks, site) == []


@pytest.mark.parametrize("kept", ["INSTALLER", "direct_url.json"])
def test_what_conda_or_a_folder_installed_may_differ(checks: ModuleType, site: Path, kept: str) -> None:
    info = install(site, "thing", "1.0")
    (info / "RECORD").write_text("thing/__init__.py,,99\n")
    assert len(whole(checks, site, "thing")) == 1
    (info / kept).write_text("conda\n" if kept == "INSTALLER" else f'{{"url": "file://{site}/thing"}}')
    assert whole(checks, site, "thing") == []


def test_files_of_two_packages_belong_to_both(checks: ModuleType, site: Path) -> None:
    info = install(site, "thing", "1.0")
    (info / "RECORD").write_text("thing/__init__.py,,99\n")
    install(site, "thing_headless", "1.0")
    (site / "thing_headless-1.0.dist-info/RECORD").write_text("thing/__init__.py,,0\n")
    assert whole(checks, site, "thing") == []


def test_what_pip_left_behind(checks: ModuleType, site: Path) -> None:
    (site / "~hing").mkdir()
    [finding] = whole(checks, site)
    assert (finding.id, finding.severity) == ("packages.leftover", Severity.INFO)
    mend(finding)
    assert whole(checks, site) == []


def companions(checks: ModuleType, site: Path, torch: str, vision: str, requires: str) -> list[Finding]:
    """Return what is said of two builds, seen before those of this environment."""
    for name, version, *needs in (("torch", torch), ("torchvision", vision, requires)):
        install(site, name, version, *needs)
    alone = SearchPath(((str(site), Source.ENVIRONMENT),))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checks.SearchPath, "of", lambda root: alone)
        return list(checks.check_builds_match(Config(imports=(Import(name="torchvision"),)), site.parent))


@pytest.mark.parametrize(
    ("versions", "severity"),
    [
        (("2.4.0+cu121", "0.20.1+cu121", "torch==2.5.1"), Severity.ERROR),
        (("2.4.0+cu121", "0.19.0+cu124", "torch==2.4.0"), Severity.WARNING),
        (("2.4.0+cu121", "0.19.0+cu121", "torch==2.4.0"), None),
        (("2.4.0", "0.19.0+cu121", "torch==2.4.0"), None),
    ],
)
def test_torchvision_goes_with_one_torch(
    checks: ModuleType, site: Path, versions: tuple[str, str, str], severity: Severity | None
) -> None:
    found = companions(checks, site, *versions)
    assert [finding.severity for finding in found] == ([severity] if severity else [])
    assert all(finding.id == "packages.torch-pair" for finding in found)


def test_another_environment_is_active(checks: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    python = tmp_path / "env/bin/python"
    python.parent.mkdir(parents=True)
    python.symlink_to(sys.executable)
    monkeypatch.delenv("VIRTUAL_ENV", raising=False)
    monkeypatch.setenv("CONDA_PREFIX", str(tmp_path / "env"))
    assert list(checks.check_are_of_the_active_environment(Config())) == []
    monkeypatch.setenv("PATH", f"{python.parent}:/usr/bin:/bin")
    [finding] = checks.check_are_of_the_active_environment(Config())
    assert (finding.id, finding.severity) == ("packages.other-environment", Severity.WARNING)
    assert finding.fix.endswith(f"preflight: {{python: {python}}}")
    assert list(checks.check_are_of_the_active_environment(Config(python=str(python)))) == []
    monkeypatch.setenv("VIRTUAL_ENV", sys.prefix)
    assert list(checks.check_are_of_the_active_environment(Config())) == []


def locked(checks: ModuleType, site: Path, name: str, text: str) -> list[Finding]:
    (site.parent / name).write_text(text)
    said = checks.check_matches_lock(name, Config(packages=Packages(lock=(name,))), site.parent)
    # The lock names none of what is installed for the tests.
    return [finding for finding in said if finding.id != "packages.not-locked"]


def test_drift_is_one_finding(checks: ModuleType, site: Path) -> None:
    install(site, "thing", "2.0")
    install(site, "part", "1.5")
    text = "# pinned\npart==1.5\nThing==1.0\nabsent_part==3\nonly-elsewhere==1; sys_platform == 'win32'\n"
    [finding] = locked(checks, site, "requirements.txt", text)
    assert finding.id == "packages.drift"
    assert "thing 2.0 (wanted 1.0)" in finding.message
    assert "absent-part is not installed (wanted 3)" in finding.message
    assert Path(finding.file).name == "requirements.txt"
    assert finding.line == 3
    assert finding.fix.endswith(f"install -r {site.parent}/requirements.txt")
    assert locked(checks, site, "requirements.txt", "part>=1\nthing\n") == []


def test_one_package_that_differs_is_named_in_full(checks: ModuleType, site: Path) -> None:
    install(site, "thing", "2.0")
    [finding] = locked(checks, site, "requirements.txt", "thing==1.0\n")
    assert finding.message == "thing 2.0, requirements.txt wants 1.0"


def test_a_constraint_needs_nothing(checks: ModuleType, site: Path) -> None:
    (site.parent / "limits.txt").write_text("absent-part==1\nthing<2\n")
    assert locked(checks, site, "requirements.txt", "-c limits.txt\n") == []
    install(site, "thing", "2.0")
    assert [each.line for each in locked(checks, site, "requirements.txt", "-c limits.txt\n")] == [2]


def test_pylock_names_the_pins_to_install(checks: ModuleType, site: Path) -> None:
    install(site, "thing", "2.0")
    text = "lock-version = '1.0'\n[[packages]]\nname = 'thing'\nversion = '1.0'\n"
    [finding] = locked(checks, site, "pylock.toml", text)
    assert finding.fix.endswith("install thing==1.0")


@pytest.mark.parametrize(
    ("name", "text"),
    [("requirements.txt", "thing=1.0"), ("pylock.toml", "a = "), ("requirements.txt", "-r absent.txt")],
)
def test_a_lock_that_cannot_be_read(checks: ModuleType, site: Path, name: str, text: str) -> None:
    [finding] = locked(checks, site, name, text)
    assert finding.id == "packages.no-lock"


def test_a_lock_that_is_not_there(checks: ModuleType, site: Path) -> None:
    [finding] = checks.check_matches_lock("absent.txt", Config(packages=Packages(lock=("absent.txt",))), site.parent)
    assert finding.id == "packages.no-lock"
    assert "No such file" in finding.message


HASH = "    --hash=sha256:00"


@pytest.mark.parametrize(
    ("name", "text", "severity"),
    [
        ("requirements.txt", "thing==1.0\n", Severity.WARNING),
        ("requirements.txt", f"thing==1.0 \\\n{HASH}\n", Severity.ERROR),
        (
            "requirements.txt",
            "# This file is autogenerated by pip-compile with Python 3.11\nthing==1\n",
            Severity.ERROR,
        ),
        ("pylock.toml", "[[packages]]\nname = 'thing'\nversion = '1.0'\n", Severity.ERROR),
    ],
)
def test_what_a_resolver_wrote_binds(checks: ModuleType, site: Path, name: str, text: str, severity: Severity) -> None:
    install(site, "thing", "2.0")
    assert [finding.severity for finding in locked(checks, site, name, text)] == [severity]


def sha256_of(url: str) -> str:
    return hashlib.sha256(Path(urlsplit(url).path).read_bytes()).hexdigest()


@pytest.fixture
def of_conda(
    checks: ModuleType, conda: ModuleType, channel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A conda prefix that counts as the job's, with `conda-lock.yml` beside it."""
    prefix = tmp_path / "envs" / "exp"
    conda.install(channel, prefix, "python", "pip", "tinyapp", "tinyssl")
    monkeypatch.setattr(checks.environment, "here", lambda: Environment(prefix, "the test says so"))
    writing.save(plan(Inventory.of(Environment(prefix, "")), tmp_path, offline=True).files)
    return prefix


def compared(checks: ModuleType, root: Path, name: str = "conda-lock.yml") -> list[Finding]:
    return list(checks.check_matches_lock(name, Config(packages=Packages(lock=(name,))), root))


def test_conda_lock_yml_is_compared(checks: ModuleType, of_conda: Path, conda: ModuleType, channel: Path) -> None:
    root = of_conda.parents[1]
    assert compared(checks, root) == []
    conda.install(channel, of_conda, "python", "pip", "tinyapp", "tinylib=1.9", "tinyshow")
    drifted, more = compared(checks, root)
    assert (drifted.id, drifted.severity) == ("packages.drift", Severity.ERROR)
    assert drifted.message == (
        "2 packages differ from conda-lock.yml: tinylib 1.9 (wanted 2.0), tinyssl is not installed (wanted 1.1.1w)"
    )
    assert drifted.fix.splitlines() == [
        "Install what conda-lock.yml wants:",
        f"    preflight env restore --prefix {of_conda}",
        "or record what is installed:",
        f"    preflight env commit --prefix {of_conda}",
    ]
    assert (more.id, more.severity) == ("packages.not-locked", Severity.WARNING)
    assert more.message == "conda-lock.yml does not name 1 installed package: tinyshow 5.0"
    restore(root / "conda-lock.yml", Environment(of_conda, ""), root)
    assert compared(checks, root) == []


def test_another_build_of_the_locked_version(
    checks: ModuleType, of_conda: Path, conda: ModuleType, channel: Path
) -> None:
    conda.install(channel, of_conda, "python", "pip", "tinyapp", "tinyssl", "tinylib=2.0=py_0")
    [finding] = compared(checks, of_conda.parents[1])
    assert (finding.id, finding.severity) == ("packages.other-build", Severity.ERROR)
    assert finding.message == "tinylib 2.0 py_0, conda-lock.yml wants py_1"


def test_environment_yml_is_a_wish(checks: ModuleType, of_conda: Path) -> None:
    root = of_conda.parents[1]
    assert compared(checks, root, "environment.yml") == []
    (root / "environment.yml").write_text("channels: []\ndependencies:\n- python\n- tinylib<2\n- pip: [absent-part]\n")
    [finding] = compared(checks, root, "environment.yml")
    assert (finding.id, finding.severity, finding.line) == ("packages.drift", Severity.WARNING, 4)
    assert "tinylib 2.0 (wanted <2)" in finding.message
    assert "absent-part is not installed (wanted any version)" in finding.message
    assert f"conda env update --prefix {of_conda}" in finding.fix


def test_a_lock_of_conda_does_not_hold_elsewhere(
    checks: ModuleType, of_conda: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = of_conda.parents[1]
    monkeypatch.setattr(checks.environment, "here", lambda: Environment(Path(sys.prefix), ""))
    [finding] = compared(checks, root)
    assert (finding.id, finding.severity) == ("packages.not-conda", Severity.ERROR)
    [finding] = compared(checks, root, "environment.yml")
    assert (finding.id, finding.severity) == ("packages.not-conda", Severity.WARNING)


def test_pixi_lock_is_compared(checks: ModuleType, of_conda: Path, channel: Path) -> None:
    root = of_conda.parents[1]
    url = f"{channel.as_uri()}/noarch"
    names = ["pip-*", "python-3*", "tinyapp-0.3-*", "tinylib-2.0-py_1*", "tinyssl-*"]
    files = [next(channel.glob(f"*/{name}.conda")).as_uri() for name in names]
    listed = "".join(f"      - conda: {file}\n" for file in files)
    text = f"version: 6\nenvironments:\n  default:\n    packages:\n      linux-64:\n{listed}packages:\n"
    text += "".join(f"- conda: {file}\n  sha256: {sha256_of(file)}\n" for file in files)
    (root / "pixi.lock").write_text(text)
    assert compared(checks, root, "pixi.lock") == []
    (root / "pixi.lock").write_text(text.replace(f"{url}/tinylib-2.0-py_1", f"{url}/tinylib-1.9-py_0"))
    [finding] = compared(checks, root, "pixi.lock")
    assert finding.message == "tinylib 2.0, pixi.lock wants 1.9"
    assert "pixi install --frozen" in finding.fix
    (root / "pixi.lock").write_text(text.replace("version: 6", "version: 9"))
    [finding] = compared(checks, root, "pixi.lock")
    assert (finding.id, finding.line) == ("packages.no-lock", 1)


def test_a_package_from_elsewhere_than_the_lock_has_it(checks: ModuleType, site: Path) -> None:
    info = install(site, "thing", "1.0")
    commit = "a" * 40
    text = f"[[packages]]\nname = 'thing'\nversion = '1.0'\nvcs = {{type = 'git', url = 'x', commit-id = '{commit}'}}\n"
    [finding] = locked(checks, site, "pylock.toml", text)
    assert finding.id == "packages.other-build"
    url = {"url": "https://host.example/x.git", "vcs_info": {"vcs": "git", "commit_id": commit}}
    (info / "direct_url.json").write_text(json.dumps(url))
    assert locked(checks, site, "pylock.toml", text) == []
    url = {"url": "https://host.example/thing.whl", "archive_info": {"hashes": {"sha256": "0" * 64}}}
    (info / "direct_url.json").write_text(json.dumps(url))
    assert locked(checks, site, "requirements.txt", f"thing==1.0 --hash=sha256:{'0' * 64}\n") == []
    [finding] = locked(checks, site, "requirements.txt", f"thing==1.0 --hash=sha256:{'f' * 64}\n")
    assert (finding.id, finding.severity) == ("packages.other-build", Severity.ERROR)
