"""Nothing in the host project's pytest settings changes what is checked."""

import textwrap
from pathlib import Path
from typing import Any

import pytest

from preflight.model import Status

HOSTS: dict[str, dict[str, str]] = {
    "addopts name a plugin that is not there": {"pytest.ini": "[pytest]\naddopts = -p nosuchplugin --nosuchoption"},
    "addopts deselect everything": {"pytest.ini": "[pytest]\naddopts = -k nothing_at_all\npython_functions = nope"},
    "pyproject wants another pytest": {
        "pyproject.toml": '[tool.pytest.ini_options]\nminversion = "99"\nrequired_plugins = ["nosuch"]'
    },
    "setup.cfg is broken": {"setup.cfg": "[tool:pytest]\naddopts = --x\nnonsense"},
    "conftest misses a module": {"conftest.py": "import nosuchmodule"},
    "conftest ends the process": {"conftest.py": "import os; os._exit(0)"},
    "conftest beside the checks fails on purpose": {
        "conftest.py": "def pytest_collection_modifyitems(items): items.clear()"
    },
    "a plugin folder that shadows pytest": {"pytest.py": "raise SystemExit('not pytest')", "_pytest/__init__.py": ""},
    "files with the names of what preflight needs": dict.fromkeys(
        ("yaml.py", "json.py", "random.py", "tempfile.py", "selectors.py", "psutil.py", "packaging.py"),
        "raise ImportError('a file of the project')",
    ),
}


@pytest.mark.parametrize("host", HOSTS)
def test_host_changes_nothing(project: Any, host: str) -> None:
    """The same check passes and the same check fails, whatever lies around them."""
    two_checks(project)
    for name, text in HOSTS[host].items():
        file = project.folder / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    judged(project)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PYTEST_ADDOPTS", "--nosuchoption"),
        ("PYTEST_PLUGINS", "nosuchplugin"),
        ("PYTHONWARNINGS", "error"),
        ("PYTHONUNBUFFERED", "1"),
        ("PYTHONDONTWRITEBYTECODE", "1"),
        ("PYTHONSAFEPATH", "1"),
        ("PYTHONOPTIMIZE", "0"),
        ("LC_ALL", "C"),
        ("COLUMNS", "1"),
        ("CI", "true"),
    ],
)
def test_environment_changes_nothing(project: Any, monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    """Variables that steer pytest or Python do not reach the verdict."""
    two_checks(project)
    monkeypatch.setenv(name, value)
    judged(project)


def test_broken_pytest_plugin_is_not_loaded(project: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A distribution whose pytest11 entry point cannot be imported breaks every other pytest, and not this one."""
    site = tmp_path / "site"
    info = site / "badplugin-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: badplugin\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[pytest11]\nbad = badplugin\n")
    (site / "badplugin.py").write_text("raise RuntimeError('broken plugin')")
    monkeypatch.setenv("PYTHONPATH", str(site))
    two_checks(project)
    judged(project)


def test_pythonpath_cannot_hide_what_preflight_needs(
    project: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A workspace on PYTHONPATH with another yaml and another pytest is passed by."""
    site = tmp_path / "workspace"
    site.mkdir()
    for name in ("yaml", "pytest", "_pytest", "pluggy", "psutil", "preflight"):
        (site / name).mkdir()
        (site / name / "__init__.py").write_text("raise ImportError('of another Python')")
    monkeypatch.setenv("PYTHONPATH", str(site))
    two_checks(project)
    judged(project)


def test_check_sees_the_path_as_the_job_has_it(project: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What preflight does to find its own modules is undone before a check runs."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "workspace"))
    project.checks(
        "path", f"def check_path(root): assert sys.path[:2] == [str(root), {str(tmp_path / 'workspace')!r}], sys.path"
    )
    (result,) = project.run(only=("path",)).results
    assert result.status is Status.PASSED, result.findings


def two_checks(project: Any) -> None:
    """Write one check that passes and one that fails."""
    project.checks("host", textwrap.dedent("def check_good(): ...\ndef check_bad(): assert 1 + 1 == 3, 'no'"))


def judged(project: Any) -> None:
    """Run them, and see them judged."""
    results = project.run("deadline: 20s", only=("host",)).results
    assert {result.check: result.status for result in results} == {
        "host.good": Status.PASSED,
        "host.bad": Status.FAILED,
    }, results


def test_a_root_above_everything(project: Any) -> None:
    """A project in the home folder has the interpreter below it; its standard library is no file of the project's."""
    report = project.run("root: /\nimports: [json]", only=("imports", "seeds"))
    assert report.results
    assert not [each for each in report.results if each.status is Status.BROKEN]
