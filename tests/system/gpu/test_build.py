"""What the files of a torch tell, without importing it."""

from pathlib import Path

import pytest

from preflight.system.gpu import build
from preflight.system.origins import SearchPath

# The list as it stands in libtorch_python.so of torch 2.11.0+cu130, between other text.
COMPILED = b"\0sm_\0compute capability\0sm_75 sm_80 sm_86 sm_90 sm_100 sm_120\0nvrtc: compute_90\0"


def write_torch(folder: Path, lines: str, compiled: bytes = b"") -> Path:
    """Write a torch that must not be imported."""
    package = folder / "torch"
    (package / "lib").mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    (package / "version.py").write_text(lines)
    (package / "lib/libtorch_python.so").write_bytes(compiled)
    return package


@pytest.mark.parametrize(
    ("text", "facts"),
    [
        ("__version__ = '2.4.0+cu121'\ncuda: Optional[str] = '12.1'\nhip = None\n", ("2.4.0+cu121", "12.1", "")),
        ("import os\n__version__ = os.sep\nhip: str = '6.1'\n", ("", "", "6.1")),
        ("this is no Python", ("", "", "")),
    ],
)
def test_the_files_of_a_torch(text: str, facts: tuple[str, str, str], tmp_path: Path) -> None:
    package = write_torch(tmp_path, text)
    found = build.read_build(SearchPath.of(tmp_path))
    assert found is not None
    assert (found.version, found.cuda, found.hip) == facts
    assert found.file == str(package / "version.py")


@pytest.mark.parametrize(
    ("compiled", "architectures"),
    [
        (COMPILED, ("sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120")),
        (b"x compute_50 sm_50 sm_90a compute_90 y", ("compute_50", "sm_50", "sm_90a", "compute_90")),
        (b"nothing of the kind", ()),
        (b"", ()),
    ],
)
def test_the_architectures_of_a_build(compiled: bytes, architectures: tuple[str, ...], tmp_path: Path) -> None:
    package = write_torch(tmp_path, "", compiled)
    assert build._architectures(package / "lib/libtorch_python.so") == architectures
    assert build._architectures(package / "lib/nothing.so") == ()


def test_the_installed_torch_says_the_same_itself() -> None:
    torch = pytest.importorskip("torch")
    found = build.read_build(SearchPath.of(Path()))
    assert found is not None
    assert found.version == str(torch.__version__)
    assert found.cuda == (torch.version.cuda or "")
    assert found.architectures == tuple(
        torch.cuda.get_arch_list() if torch.cuda.is_available() else found.architectures
    )


@pytest.mark.parametrize(("version", "told"), [("11.5.3", "11.5.3"), ("12.0.0", ""), ("13.0.1", "")])
def test_the_deprecated_binding(version: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = tmp_path / f"pynvml-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: pynvml\nVersion: {version}\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert build.deprecated_binding() == told
