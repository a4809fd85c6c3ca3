"""What can go wrong while a file of checks is collected is told with its name and harms no other file."""

import os
import time
from typing import Any

import pytest

from preflight.model import Result, Status

FILES: dict[str, tuple[str, str]] = {
    "raises": ("raise ValueError('at the top')", "check_raises.py cannot be imported: ValueError: at the top"),
    "has_a_typo": ("def check_x(:\n    pass", "check_has_a_typo.py cannot be imported: SyntaxError"),
    "misses_a_module": ("import nosuchmodule", "No module named 'nosuchmodule'"),
    "exits": ("sys.exit(0)", "check_exits.py cannot be imported: SystemExit: 0"),
    "os_exits": ("os._exit(0)", "check_os_exits.py cannot be imported: its process left with exit code 0"),
    "segfaults": ("import ctypes; ctypes.string_at(0)", "SIGSEGV (segmentation fault)"),
    "kills": ("os.kill(os.getpid(), signal.SIGKILL)", "SIGKILL"),
    "hangs": ("time.sleep(600)", "no answer within 2 s"),
    "holds_no_check": ("def test_something(): ...", "holds no check: no function in it is named check_*"),
    "is_binary": ("\0\1\2", "check_is_binary.py cannot be imported"),
    "is_empty": ("", "holds no check"),
}


@pytest.mark.parametrize("name", FILES)
def test_file_is_named_and_the_others_run(project: Any, name: str) -> None:
    """One file that cannot be collected is one BROKEN result."""
    text, words = FILES[name]
    project.checks(name, text)
    project.checks("healthy", "def check_is_well(): ...")
    began = time.monotonic()
    report = project.run("deadline: 2s", only=("healthy", name.replace("_", "-")))
    assert time.monotonic() - began < 2 + 10
    broken, healthy = sorted(report.results, key=lambda result: result.status)
    assert healthy.status is Status.PASSED
    assert broken.status is Status.BROKEN
    assert words in broken.reason
    assert broken.file.endswith(f"check_{name}.py")


def test_line_of_the_mistake_is_told(project: Any) -> None:
    """The line in the file is where the reader should look."""
    project.checks("raises", "x = 1\nraise ValueError('at the top')")
    assert only(project.run(only=("raises",)).results).line == 5


def test_file_beside_a_builtin_of_the_same_name(project: Any) -> None:
    """A project's check_data.py hides nothing and is not hidden."""
    project.checks("data", "def check_is_mine(): ...")
    report = project.run("data: [{path: .}]", only=("data",))
    assert {result.check for result in report.results} == {"data.is-mine", "data.is-readable[.]"}


def test_id_of_a_builtin_cannot_be_taken(project: Any) -> None:
    """A check with the id of a built-in one is told, and the built-in one runs."""
    project.checks("data", "@check(per='data')\ndef check_is_readable(entry): yield error('never')")
    report = project.run("data: [{path: .}]", only=("data",))
    builtin, double = report.results
    assert builtin.status is Status.PASSED
    assert double.status is Status.BROKEN
    assert "rename the function" in double.reason


def test_file_that_imports_what_lies_beside_it(project: Any) -> None:
    """A check file may share code with its neighbours, by a relative import or through the project's root."""
    project.checks("a", "from .shared import VALUE\nimport nearby\ndef check_value(): assert VALUE + nearby.VALUE == 3")
    (project.folder / "preflight_checks" / "shared.py").write_text("VALUE = 1")
    (project.folder / "nearby.py").write_text("VALUE = 2")
    assert only(project.run(only=("a",)).results).status is Status.PASSED


def test_wrong_parametrization_is_told(project: Any) -> None:
    """What pytest refuses to collect is a BROKEN result, not a silent absence."""
    project.checks("a", "@pytest.mark.parametrize('n', [1])\ndef check_value(): ...")
    result = only(project.run(only=("a",)).results)
    assert result.status is Status.BROKEN
    assert "pytest cannot collect check_a.py" in result.reason


def test_nothing_is_written_beside_the_checks(project: Any) -> None:
    """Collecting and running leave no file behind."""
    project.checks("a", "def check_value(): ...")
    project.run(only=("a",))
    assert [name for _, folders, files in os.walk(project.folder) for name in (*folders, *files)] == [
        "preflight_checks",
        "check_a.py",
    ]


def test_python_cache_is_left_beside_no_module_of_the_project(project: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the stage nor a check leaves `__pycache__` in the user's folders."""
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    for name in ("imported", "beside", "within", "needed"):
        (project.folder / f"{name}.py").write_text("")
    project.checks("a", "import beside\ndef check_value():\n    import within")
    project.checks("b", "import imported\n@check(needs='needed')\ndef check_needs():\n    import needed")
    report = project.run("imports: [imported]", only=("a", "b"))
    assert {result.status for result in report.results} == {Status.PASSED}
    assert not list(project.folder.rglob("__pycache__"))


def only(results: Any) -> Result:
    """Return the one result that there is."""
    (result,) = results
    return result  # type: ignore[no-any-return]
