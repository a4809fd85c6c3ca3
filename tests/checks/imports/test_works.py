"""Every finding of the imports check, seen in a world that is broken and gone once it is mended."""

import os
import shutil
import site
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from preflight.config import Import
from preflight.config.document import Location
from preflight.model import Severity, Status
from preflight.testing import run_check


def test_a_module_that_works_tells_version_and_time(world: Any) -> None:
    finding = world.only("yaml")
    assert finding.severity is Severity.INFO
    assert finding.evidence["version"] in finding.message


@pytest.mark.parametrize(
    ("wanted", "ids"), [(">=5.1", ["imports.loaded"]), (">=99", ["imports.version", "imports.loaded"])]
)
def test_the_installed_version_is_compared(world: Any, wanted: str, ids: list[str]) -> None:
    findings = world.findings(Import(name="yaml", version=wanted))
    assert [finding.id for finding in findings] == ids
    assert ids[0] == "imports.loaded" or "PyYAML>=99" in findings[0].fix


def test_a_version_that_nobody_tells_is_no_answer(world: Any) -> None:
    world.write("mine.py")
    with pytest.raises(pytest.skip.Exception, match="no version"):
        world.findings(Import(name="mine", version=">=1"))


def test_a_missing_module_names_its_distribution(world: Any) -> None:
    finding = world.only("skopt")
    assert finding.id == "imports.missing"
    assert finding.message == "skopt is not installed"
    assert finding.fix.endswith("install scikit-optimize")
    world.write("skopt.py")
    world.passes("skopt")


def test_a_module_missed_inside_is_told_from_a_missing_one(world: Any) -> None:
    train = world.write("train.py", "import os\nimport absent_thing\n")
    finding = world.only("train")
    assert finding.id == "imports.missing"
    assert finding.message == "absent_thing, which train imports, is not installed"
    assert (finding.file, finding.line) == (str(train), 2)
    world.write("absent_thing.py")
    world.passes("train")


def test_a_finding_points_at_the_import_and_else_at_the_entry(world: Any) -> None:
    entry = Import(name="absent_thing", at=Location("foo.yaml", 7, "preflight.imports[0]"))
    finding = world.only(entry)
    assert (finding.file, finding.line) == ("foo.yaml", 7)
    train = world.write("train.py", "import os\nfrom absent_thing.inner import name\n")
    finding = world.only(entry)
    assert (finding.file, finding.line) == (str(train), 2)


def test_a_submodule_that_the_installed_version_lacks(world: Any) -> None:
    finding = world.only("yaml.of_the_future")
    assert finding.id == "imports.missing"
    assert finding.message.startswith("PyYAML 6")
    assert "has no module yaml.of_the_future" in finding.message


def test_the_projects_own_module_is_never_to_be_installed_by_name(world: Any) -> None:
    world.write("src/mine/__init__.py")
    finding = world.only("mine")
    assert finding.message == "mine is not on the module search path"
    assert f"export PYTHONPATH={world.root}/src" in finding.fix
    world.write("pyproject.toml", "[project]\nname = 'mine'\n")
    assert world.only("mine").fix.endswith(f"install --editable {world.root}")


def test_a_part_of_the_standard_library_that_is_not_here(world: Any) -> None:
    assert world.only("winreg").id == "imports.incomplete-python"


def test_an_exception_is_told_with_its_place(world: Any) -> None:
    file = world.write("train.py", "\n1 / 0\n")
    finding = world.only("train")
    assert finding.id == "imports.raises"
    assert finding.message == "train cannot be imported: ZeroDivisionError: division by zero"
    assert (finding.file, finding.line) == (str(file), 2)


def test_a_crash_is_told_with_its_signal_and_its_stack(world: Any) -> None:
    file = world.write("native.py", "import ctypes\nctypes.string_at(0)\n")
    finding = world.only("native")
    assert finding.id == "imports.crashes"
    assert "SIGSEGV" in finding.message
    assert f'"{file}", line 2' in finding.evidence["stack"]


@pytest.mark.parametrize("text", ["import os\nos._exit(3)", "import sys\nsys.exit(3)"])
def test_a_module_that_ends_the_process(world: Any, text: str) -> None:
    world.write("script.py", text)
    finding = world.only("script")
    assert finding.id == "imports.exits"
    assert "exit code 3" in finding.message


def test_an_import_that_does_not_end(world: Any) -> None:
    file = world.write("slow.py", "import time\ntime.sleep(60)\n")
    finding = world.only("slow", deadline=0.6)
    assert finding.id == "imports.hangs"
    assert f"{file}:2" in finding.cause


def test_a_file_that_hides_the_standard_library(world: Any) -> None:
    file = world.write("random.py", "def sample_batch(): ...\n")
    finding = world.only("tempfile")
    assert finding.id == "imports.shadowed"
    assert finding.message.startswith("random.py hides the standard library module random")
    assert finding.found == str(file)
    file.rename(world.root / "batches.py")
    world.passes("tempfile")


def test_a_hiding_file_that_nobody_falls_over_is_no_news(world: Any) -> None:
    world.write("random.py", "def sample_batch(): ...\n")
    world.passes("string")


def test_a_folder_that_hides_an_installed_package(world: Any) -> None:
    world.write("yaml/__init__.py")
    world.write("train.py", "from yaml import safe_load\n")
    finding = world.only("train")
    assert finding.id == "imports.shadowed"
    assert "yaml/__init__.py hides the installed package yaml" in finding.message
    assert "project_yaml" in finding.fix
    shutil.rmtree(world.root / "yaml")
    world.passes("train")


def test_a_failure_in_a_file_of_an_installed_name_is_its_own(world: Any) -> None:
    world.write("yaml/__init__.py", "1 / 0\n")
    world.write("train.py", "import yaml\n")
    assert world.only("train").id == "imports.raises"


def test_an_entry_that_comes_from_the_project_though_it_is_installed(world: Any) -> None:
    world.write("yaml/__init__.py")
    ids = {finding.id: finding.severity for finding in world.findings("yaml")}
    assert ids == {"imports.shadowed": Severity.WARNING, "imports.loaded": Severity.INFO}


def test_a_file_that_hides_what_the_program_uses(world: Any) -> None:
    file = world.write("yaml/__init__.py", "")
    world.write("train.py", "import yaml\nyaml.safe_load('')\n")
    [finding, _] = world.findings("yaml")
    assert (finding.id, finding.severity) == ("imports.shadowed", Severity.ERROR)
    assert "and lacks safe_load, which the program uses" in finding.message
    for text in ("def safe_load(text): ...\n", "from os.path import *\n"):
        file.write_text(text)
        assert world.findings("yaml")[0].severity is Severity.WARNING


def test_a_copy_of_the_projects_own_package_is_installed_too(world: Any) -> None:
    world.write("yaml/__init__.py")
    world.write("pyproject.toml", "[project]\nname = 'pyyaml'\n")
    world.passes("yaml")


def test_a_folder_without_code_is_no_package(world: Any) -> None:
    world.write("skopt/train.csv", "1,2\n")
    finding = world.only("skopt")
    assert finding.id == "imports.plain-folder"
    assert finding.fix.endswith("install scikit-optimize")
    world.write("skopt/loader.py")
    world.passes("skopt")


def test_a_failing_import_finds_only_a_folder(world: Any) -> None:
    world.write("skopt/train.csv", "1,2\n")
    assert "the folder skopt is taken for it" in world.only("skopt.space").message


def stray(world: Any, text: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = world.root.parent / "workspace"
    (folder / "yaml").mkdir(parents=True)
    (folder / "yaml/__init__.py").write_text(text)
    monkeypatch.setenv("PYTHONPATH", f"{folder}{os.pathsep}{world.root}")
    return folder


def test_pythonpath_gives_a_package_for_another_python(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = stray(world, "from yaml import _yaml\n", monkeypatch)
    (folder / "yaml/_yaml.cpython-38-x86_64-linux-gnu.so").write_bytes(b"")
    finding = world.only("yaml")
    assert (finding.id, finding.severity) == ("imports.pythonpath-leak", Severity.ERROR)
    assert "built for cpython-38" in finding.cause
    assert finding.fix.endswith(f"export PYTHONPATH={world.root}")
    monkeypatch.setenv("PYTHONPATH", str(world.root))
    world.passes("yaml")


def test_pythonpath_gives_another_version(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = stray(world, "__version__ = '3.10'\n", monkeypatch)
    (folder / "PyYAML-3.10.dist-info").mkdir()
    (folder / "PyYAML-3.10.dist-info/METADATA").write_text("Name: PyYAML\nVersion: 3.10\n")
    (folder / "PyYAML-3.10.dist-info/RECORD").write_text("yaml/__init__.py,,\n")
    findings = world.findings(Import(name="yaml", version=">=5"))
    assert [finding.id for finding in findings] == ["imports.version", "imports.pythonpath-leak", "imports.loaded"]
    assert findings[1].severity is Severity.WARNING
    assert "yaml 3.10" in findings[1].found


def test_the_user_site_gives_a_broken_package(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = stray(world, "raise ImportError('too old')\n", monkeypatch)
    monkeypatch.setattr(site, "USER_SITE", str(folder))
    monkeypatch.setattr(site, "ENABLE_USER_SITE", True)
    finding = world.only("yaml")
    assert finding.id == "imports.user-site-leak"
    assert finding.fix.endswith("export PYTHONNOUSERSITE=1")


def test_a_symbol_that_the_installed_library_lacks(world: Any, build: Callable[..., Any]) -> None:
    symbol = "_ZN5other4goneEi"
    build(world.root, "fused", before=f"extern long {symbol}(int);", inside=f"{symbol}(0)")
    finding = world.only("fused")
    assert finding.id == "imports.undefined-symbol"
    assert "undefined symbol other::gone" in finding.message
    build(world.root, "fused")
    world.passes("fused")


def test_a_symbol_is_blamed_on_the_requirement_that_is_not_met(
    world: Any, build: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = world.root.parent / "site"
    (folder / "fused-1.2.dist-info").mkdir(parents=True)
    (folder / "fused-1.2.dist-info/METADATA").write_text("Name: fused\nVersion: 1.2\nRequires-Dist: PyYAML==3.*\n")
    build(folder, "fused", before="extern long _ZN3c104goneEi(int);", inside="_ZN3c104goneEi(0)")
    monkeypatch.setenv("PYTHONPATH", str(folder))
    finding = world.only("fused")
    assert "fused was built for PyYAML==3.*, and PyYAML 6" in finding.cause


def test_a_shared_library_that_is_not_found(world: Any, build: Callable[..., Any], gcc: Callable[..., Any]) -> None:
    library = world.root / "libneeded.so.7"
    (world.root / "l.c").write_text("int needed(void) { return 1; }\n")
    build(world.root, "plain")  # skips without gcc
    gcc(str(world.root / "l.c"), "-o", str(library), "-Wl,-soname,libneeded.so.7")
    link = (str(library), f"-Wl,-rpath,{world.root}")
    build(world.root, "ext", before="int needed(void);", inside="needed()", options=link)
    world.passes("ext")
    library.unlink()
    finding = world.only("ext")
    assert finding.id == "imports.missing-library"
    assert finding.message == "ext needs the library libneeded.so.7, which is not found"


def test_a_library_that_is_too_old(world: Any, build: Callable[..., Any], gcc: Callable[..., Any]) -> None:
    library = world.root / "libgrown.so.1"
    (world.root / "l.c").write_text("int grown(void) { return 1; }\n")
    (world.root / "new.map").write_text("GROWN_2 { global: grown; };\n")
    (world.root / "old.map").write_text("GROWN_1 { global: grown; };\n")
    build(world.root, "plain")  # skips without gcc

    def make(version: str) -> None:
        script = f"-Wl,--version-script={world.root}/{version}.map"
        gcc(str(world.root / "l.c"), "-o", str(library), "-Wl,-soname,libgrown.so.1", script)

    make("new")
    link = (str(library), f"-Wl,-rpath,{world.root}")
    build(world.root, "ext", before="int grown(void);", inside="grown()", options=link)
    world.passes("ext")
    make("old")
    finding = world.only("ext")
    assert finding.id == "imports.old-library"
    assert finding.message == f"ext needs GROWN_2, which {library} does not have: its newest is GROWN_1"


def test_one_cause_is_told_once(world: Any) -> None:
    world.write("broken.py", "import absent_thing\n")
    world.write("train.py", "import broken\n")
    for second in ("train", "absent_thing"):
        with pytest.raises(pytest.skip.Exception, match=r"same reason as imports.works\[broken\]"):
            world.findings("broken", second)


def test_what_fails_on_the_way_through_another_entry_is_told_there(world: Any) -> None:
    world.write("broken/__init__.py", "import ctypes\nctypes.string_at(0)\n")
    world.write("train.py", "import broken\n")
    with pytest.raises(pytest.skip.Exception, match=r"imports.works\[broken\]"):
        world.findings("broken", "train")
    assert world.only("train").id == "imports.crashes"


def test_a_failure_of_an_optional_entry_explains_nothing(world: Any) -> None:
    assert world.only(Import(name="absent_thing", optional=True)).severity is Severity.INFO
    world.write("train.py", "import absent_thing\n")
    assert world.only(Import(name="absent_thing", optional=True), "train").severity is Severity.ERROR


@pytest.mark.parametrize(
    ("text", "severity"),
    [
        ("import absent_thing", Severity.INFO),
        ("raise ImportError('no GPU')", Severity.INFO),
        ("raise OSError('no GPU')", Severity.WARNING),
        ("import ctypes; ctypes.string_at(0)", Severity.WARNING),
    ],
)
def test_an_optional_module_may_fail_as_the_program_allows(world: Any, text: str, severity: Severity) -> None:
    world.write("extra.py", text)
    assert world.only(Import(name="extra", optional=True)).severity is severity


def test_a_run_tells_one_cause_once(tmp_path: Path) -> None:
    (tmp_path / "random.py").touch()
    (tmp_path / "train.py").write_text("import tempfile\n")
    text = "preflight: {imports: [tempfile, train, string]}"
    results = run_check("imports.works", text, root=tmp_path)
    assert [result.status for result in results] == [Status.FAILED, Status.SKIPPED, Status.PASSED]
    assert [finding.id for finding in results[0].findings] == ["imports.shadowed"]
