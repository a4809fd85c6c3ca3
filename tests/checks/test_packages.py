"""Every finding of the packages checks, over metadata that is really there or really broken."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from preflight.config import Config, Import, Packages
from preflight.model import Finding, Severity


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


def test_metadata_that_is_lost(checks: ModuleType, site: Path) -> None:
    info = install(site, "thing", "1.0")
    (info / "METADATA").unlink()
    [finding] = consistent(checks, site)
    assert finding.id == "packages.broken"
    assert f"rm -r {info}" in finding.fix


def test_two_records_of_one_package(checks: ModuleType, site: Path) -> None:
    install(site, "thing", "1.0")
    assert consistent(checks, site) == []
    install(site, "thing", "0.9")
    [finding] = consistent(checks, site)
    assert (finding.id, finding.severity) == ("packages.duplicate", Severity.WARNING)
    assert "thing 0.9, thing 1.0" in finding.message


def locked(checks: ModuleType, site: Path, name: str, text: str) -> list[Finding]:
    (site.parent / name).write_text(text)
    return list(checks.check_matches_lock(name, Config(packages=Packages(lock=(name,))), site.parent))


def test_drift_is_one_finding(checks: ModuleType, site: Path) -> None:
    install(site, "thing", "2.0")
    install(site, "part", "1.5")
    text = "# pinned\npart==1.5\nThing==1.0\nabsent_part==3\nonly-elsewhere==1; sys_platform == 'win32'\n"
    [finding] = locked(checks, site, "requirements.txt", text)
    assert finding.id == "packages.drift"
    assert "thing 2.0; locked 1.0" in finding.message
    assert "absent_part is not installed; locked 3" in finding.message
    assert Path(finding.file).name == "requirements.txt"
    assert finding.line == 3
    assert finding.fix.endswith(f"install -r {site.parent}/requirements.txt")
    assert locked(checks, site, "requirements.txt", "part>=1\nthing\n") == []


def test_one_package_that_differs_is_named_in_full(checks: ModuleType, site: Path) -> None:
    install(site, "thing", "2.0")
    [finding] = locked(checks, site, "requirements.txt", "thing==1.0\n")
    assert finding.message == "thing 2.0, the lock wants 1.0 (requirements.txt)"


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


def test_conda_locks_are_not_answered_yet(checks: ModuleType, site: Path) -> None:
    with pytest.raises(pytest.skip.Exception, match="conda locks"):
        locked(checks, site, "conda-lock.yml", "")
