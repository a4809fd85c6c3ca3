"""Imports that fail over another build, another version or a folder that cannot be written, and what mends them."""

import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from preflight.config import Config, Import
from preflight.model import Severity
from preflight.system.modules import Imported, Outcome
from preflight.system.processor import missing_vectors


@pytest.fixture
def site(world: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of installed packages outside the project."""
    folder: Path = world.root.parent / "site"
    folder.mkdir()
    monkeypatch.setenv("PYTHONPATH", str(folder))
    return folder


def install(site: Path, name: str, version: str, *requires: str, record: str = "") -> Path:
    info = site / f"{name}-{version}.dist-info"
    info.mkdir()
    lines = [f"Name: {name}", f"Version: {version}", *(f"Requires-Dist: {each}" for each in requires)]
    (info / "METADATA").write_text("\n".join(lines) + "\n")
    (info / "RECORD").write_text(record or f"{name}.py,,\n{name}/__init__.py,,\n")
    return info


NUMPY = """
A module that was compiled using NumPy 1.x cannot be run in
NumPy 2.4.6 as it may crash.
Traceback (most recent call last):  File "{file}", line 1, in <module>
AttributeError: _ARRAY_API not found
"""


def test_code_that_was_compiled_for_another_numpy(world: Any, site: Path) -> None:
    file = site / "fast.py"
    file.write_text("raise ImportError('numpy.core.multiarray failed to import')\n")
    install(site, "fast", "1.2")
    finding = world.only("fast")
    assert finding.id == "imports.numpy-abi"
    assert finding.message.startswith("fast 1.2 was compiled for NumPy 1, NumPy 2")
    assert "'numpy<2'" in finding.fix
    file.write_text("")
    world.passes("fast")


def test_a_module_comes_in_and_its_compiled_part_does_not(world: Any, site: Path) -> None:
    file = site / "fast.py"
    file.write_text(f"print({NUMPY.format(file=file)!r})\n")
    install(site, "fast", "1.2")
    found = {finding.id: finding.severity for finding in world.findings("fast")}
    assert found == {"imports.numpy-abi": Severity.WARNING, "imports.loaded": Severity.INFO}
    file.write_text("print('NumPy is fine')\n")
    world.passes("fast")


@pytest.mark.parametrize(
    ("error", "wanted"),
    [
        ("Descriptors cannot be created directly.\nIf this call came from a _pb2.py file", "protobuf<3.21"),
        ("Detected incompatible Protobuf Gencode/Runtime versions: gencode 6.30.0 runtime 5.29.3.", "protobuf>=6.30.0"),
    ],
)
def test_code_that_another_protoc_made(world: Any, error: str, wanted: str) -> None:
    file = world.write("thing_pb2.py", f"raise TypeError({error!r})\n")
    world.write("train.py", "import thing_pb2\n")
    finding = world.only("train")
    assert (finding.id, finding.wanted, finding.file) == ("imports.protobuf", wanted, str(file))
    file.write_text("")
    world.passes("train")


@pytest.mark.parametrize(
    ("error", "variable"),
    [
        ("OSError('Matplotlib requires access to a writable cache directory, but there is none')", "MPLCONFIGDIR"),
        ("RuntimeError(\"cannot cache function 'f': no locator available for file 'x'\")", "NUMBA_CACHE_DIR"),
    ],
)
def test_a_cache_that_cannot_be_written(world: Any, monkeypatch: pytest.MonkeyPatch, error: str, variable: str) -> None:
    world.write(
        "plots.py", f"import os\nif not os.access(os.environ.get('{variable}', '/absent'), 2):\n    raise {error}\n"
    )
    finding = world.only("plots")
    assert finding.id == "imports.no-cache"
    script = finding.fix.partition("\n")[2] + f"\nprintenv {variable}"
    said = subprocess.run(["bash", "-euc", script], capture_output=True, text=True, check=True)
    monkeypatch.setenv(variable, said.stdout.strip())
    world.passes("plots")
    Path(said.stdout.strip()).rmdir()


@pytest.mark.parametrize(
    ("call", "variable"),
    [("torch.hub.load('x', 'y')", "TORCH_HOME"), ("AutoModel.from_pretrained('x')", "HF_HOME")],
)
def test_a_cache_into_which_the_program_fetches(
    world: Any, checks: ModuleType, in_world: Callable[..., Any], call: str, variable: str
) -> None:
    home = world.root.parent / "home"
    home.mkdir()
    read_only = f"mount --bind {home} {home}; mount -o remount,ro,bind {home}\nexport {variable}={home}/cache"
    world.write("train.py", f"import torch\n{call}\n")

    def said(setup: str) -> list[Any]:
        return list(in_world(f"unset HF_HUB_OFFLINE\n{setup}", checks.check_caches_can_be_written, world.root))

    [finding] = said(read_only)
    assert (finding.id, finding.severity) == ("imports.no-cache", Severity.ERROR)
    assert "Read-only file system" in finding.message
    assert said(read_only + finding.fix.partition("\n")[2].replace("    ", "\n")) == []
    (home / "cache/hub/x").mkdir(parents=True)
    assert [each.severity for each in said(read_only)] == [Severity.WARNING]
    world.write("train.py", "import torch\n")
    assert said(read_only) == []


def test_threads_that_the_limit_forbids(world: Any) -> None:
    file = world.write(
        "blas.py", "print('OpenBLAS blas_thread_init: pthread_create failed for thread 1 of 64')\n1 / 0\n"
    )
    assert world.only("blas").id == "imports.no-threads"
    file.write_text("")
    world.passes("blas")


def test_instructions_that_the_processor_lacks(world: Any) -> None:
    file = world.write("native.py", "import os, signal\nos.kill(os.getpid(), signal.SIGILL)\n")
    finding = world.only("native")
    assert finding.id == "imports.illegal-instruction"
    assert "SIGILL" in finding.message
    file.write_text("")
    world.passes("native")


def test_the_vector_instructions_of_a_processor(tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text("processor : 0\nflags\t\t: fpu sse4_2 avx\n\nprocessor : 1\nflags : fpu\n")
    assert set(missing_vectors(tmp_path / "cpuinfo")) <= {"avx2", "fma", "avx512f"}
    assert missing_vectors(tmp_path / "absent") == ()


def test_a_version_that_the_package_itself_refuses(world: Any, site: Path) -> None:
    (site / "thing.py").write_text("raise ImportError('part>=2 is required, but found part==1.0')\n")
    install(site, "thing", "1.0", "part>=2")
    install(site, "part", "1.0")
    finding = world.only("thing")
    assert finding.id == "imports.raises"
    assert finding.cause == "thing 1.0 requires part>=2, part 1.0 is installed"
    assert "'part>=2'" in finding.fix


def test_a_version_that_a_stale_record_tells(world: Any, site: Path) -> None:
    (site / "thing.py").write_text("raise ImportError('part>=2 is required, but found part==1.0')\n")
    install(site, "thing", "1.0")
    install(site, "part", "1.0")
    install(site, "part", "2.0")
    assert "part has 2 dist-info folders" in world.only("thing").cause


def test_files_of_two_versions(world: Any, site: Path) -> None:
    (site / "thing.py").write_text("from os import absent\n")
    install(site, "thing", "1.0", record="thing.py,,3\n")
    assert "are not those of its RECORD" in world.only("thing").cause


def test_an_import_that_waits(world: Any, checks: ModuleType) -> None:
    def said(seconds: float, cpu_seconds: float) -> list[str]:
        file = world.write("heavy.py")
        facts = Imported(
            name="heavy", outcome=Outcome.IMPORTED, seconds=seconds, cpu_seconds=cpu_seconds, origin=str(file)
        )
        entry = Import(name="heavy")
        found = checks.check_works(entry, {"heavy": facts}, Config(imports=(entry,)), world.root)
        return [finding.message for finding in found if finding.id == "imports.slow"]

    assert said(31.2, 4.0) == ["heavy takes 31 s to import, and waits for 27 of them"]
    assert said(31.2, 28.0) == said(8.0, 1.0) == []


def test_the_newer_library_is_hidden_by_an_older_one(
    world: Any, build: Callable[..., Path], gcc: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where LD_LIBRARY_PATH names a folder with the libstdc++ of an older system."""
    old, new = world.root.parent / "old", world.root.parent / "new"
    for folder, version in ((old, "1"), (new, "2")):
        folder.mkdir()
        (folder / "l.c").write_text("int grown(void) { return 1; }\n")
        (folder / "l.map").write_text(f"GROWN_{version} {{ global: grown; }};\n")
        script = f"-Wl,--version-script={folder}/l.map"
        gcc(str(folder / "l.c"), "-o", str(folder / "libgrown.so.1"), "-Wl,-soname,libgrown.so.1", script)
    link = (str(new / "libgrown.so.1"), f"-Wl,-rpath,{new},--enable-new-dtags")
    build(world.root, "ext", before="int grown(void);", inside="grown()", options=link)
    world.passes("ext")
    monkeypatch.setenv("LD_LIBRARY_PATH", str(old))
    finding = world.only("ext")
    assert finding.id == "imports.old-library"
    assert finding.found == f"{old}/libgrown.so.1 with GROWN_1"
    assert finding.fix.endswith("\n    unset LD_LIBRARY_PATH")
    monkeypatch.delenv("LD_LIBRARY_PATH")
    world.passes("ext")


def test_the_page_names_every_finding(checks: ModuleType) -> None:
    from preflight.causes import builds, imports, links

    texts = [Path(str(module.__file__)).read_text() for module in (checks, builds, imports, links)]
    used: set[Any] = set(re.findall(r'"(imports\.[a-z-]+)"', "".join(texts)))
    assert used == set(re.findall(r"^        (imports\.[a-z-]+) ", texts[0], re.MULTILINE))
