"""The loader's words and C++ symbols, taken apart."""

import shutil
from pathlib import Path

import pytest

from preflight.system.libraries import Lack, LinkFailure, copies_of, link_failure, readable_symbol, symbol_names


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (
            "ImportError: /a b/x.cpython-311-x86_64-linux-gnu.so: undefined symbol: _ZN3c104cuda9SetDeviceEi",
            LinkFailure(
                lack=Lack.SYMBOL,
                name="_ZN3c104cuda9SetDeviceEi",
                binary="/a b/x.cpython-311-x86_64-linux-gnu.so",
            ),
        ),
        (
            "ImportError: /x.so: undefined symbol: cublasLtGetStatusString, version libcublasLt.so.12",
            LinkFailure(lack=Lack.SYMBOL, name="cublasLtGetStatusString", binary="/x.so"),
        ),
        (
            "ImportError: libcudart.so.11.0: cannot open shared object file: No such file or directory",
            LinkFailure(lack=Lack.LIBRARY, name="libcudart.so.11.0"),
        ),
        (
            "ImportError: /lib64/libstdc++.so.6: version `GLIBCXX_3.4.29' not found (required by /env/scipy/_a.so)",
            LinkFailure(
                lack=Lack.LIBRARY_VERSION,
                name="GLIBCXX_3.4.29",
                binary="/env/scipy/_a.so",
                library="/lib64/libstdc++.so.6",
            ),
        ),
        ("ImportError: cannot import name 'x' from 'y' (/y.py)", None),
        ("FileNotFoundError: libs/data.so: no such file", None),
    ],
)
def test_the_loader_is_understood(error: str, failure: LinkFailure | None) -> None:
    assert link_failure(error) == failure


@pytest.mark.parametrize(
    ("symbol", "names"),
    [
        ("_ZN3c104cuda9SetDeviceEi", ["c10", "cuda", "SetDevice"]),
        ("_ZNK2at6Tensor3sumEv", ["at", "Tensor", "sum"]),
        ("_ZTVN5torch8autograd4NodeE", ["torch", "autograd", "Node"]),
        ("_Z3addii", []),
        ("PyUnicode_New", []),
    ],
)
def test_the_names_of_a_symbol(symbol: str, names: list[str]) -> None:
    assert symbol_names(symbol) == names


def test_a_symbol_is_readable_without_a_demangler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert readable_symbol("_ZN3c104cuda9SetDeviceEi") == "c10::cuda::SetDevice"
    assert readable_symbol("_Z3addii") == "_Z3addii"
    assert readable_symbol("PyUnicode_New") == "PyUnicode_New"


@pytest.mark.skipif(shutil.which("c++filt") is None, reason="needs c++filt")
def test_a_demangler_tells_the_arguments_too() -> None:
    assert readable_symbol("_ZN3c104cuda9SetDeviceEi") == "c10::cuda::SetDevice(int)"


def test_copies_of_a_library_are_found_in_packages(tmp_path: Path) -> None:
    for file in ("torch/lib/libc10.so", "nvidia/cuda_runtime/lib/libcudart.so.12", "other/lib/libcudart.so.11.0"):
        (tmp_path / file).parent.mkdir(parents=True)
        (tmp_path / file).touch()
    found = copies_of("libcudart.so.11.0", [str(tmp_path), str(tmp_path / "absent")])
    assert found == [f"{tmp_path}/other/lib/libcudart.so.11.0", f"{tmp_path}/nvidia/cuda_runtime/lib/libcudart.so.12"]
    assert copies_of("libc10.so", [str(tmp_path)]) == [f"{tmp_path}/torch/lib/libc10.so"]
