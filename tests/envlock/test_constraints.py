"""A constraint that is not met any more keeps the form that its writer chose."""

import pytest

from preflight.envlock.constraints import for_conda, for_pip
from preflight.envlock.model import Package


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("numpy", "numpy"),
        ("numpy=2", "numpy=2"),
        ("numpy=1", "numpy=2"),
        ("numpy=1.26", "numpy=2.0"),
        ("numpy=1.26.4", "numpy=2.0.1"),
        ("numpy=1.26.*", "numpy=2.0.*"),
        ("numpy 1.26.*", "numpy 2.0.*"),
        ("numpy==1.26", "numpy==2.0.1"),
        ("numpy 1.26", "numpy 2.0.1"),
        ("numpy = 1.26", "numpy = 2.0"),
        ("numpy >=1.20,<2", "numpy >=1.20,<3"),
        ("numpy>=1.20, <2.0", "numpy>=1.20, <2.1"),
        ("numpy>=1.20,<=1.26.4", "numpy>=1.20,<=2.0.1"),
        ("numpy>=2.1", "numpy>=2.0"),
        ("numpy>2.0.1", "numpy>=2.0.1"),
        ("numpy!=2.0.1", "numpy"),
        ("numpy~=1.26.0", "numpy~=2.0.1"),
        ("numpy=1.20|=1.26", "numpy=2.0.1"),
        ("numpy=1.26.4=py311h_0", "numpy=2.0.1=py311h_1"),
        ("numpy=2.0.1=py311h_0", "numpy=2.0.1=py311h_1"),
        ("numpy=1.26.4=py311*", "numpy=2.0.1=py311*"),
        ("numpy=2.0.1=py310*", "numpy=2.0.1=py311h_1"),
        ("numpy 1.26.4 py311h_0", "numpy 2.0.1 py311h_1"),
        ("conda-forge::numpy=1.26", "conda-forge::numpy=2.0"),
        ("numpy[version='>=1.20,<2']", "numpy[version='>=1.20,<3']"),
        ("numpy[version=1.26.4]", "numpy[version=2.0.1]"),
        ("numpy[version='<2', channel=conda-forge]", "numpy[version='<3', channel=conda-forge]"),
    ],
)
def test_of_conda(before: str, after: str) -> None:
    package = Package(name="numpy", version="2.0.1", manager="conda", build="py311h_1")
    assert for_conda(before, package) == after
    assert for_conda(after, package) == after


def test_a_version_with_letters() -> None:
    package = Package(name="openssl", version="1.1.1w", manager="conda", build="h_1")
    assert for_conda("openssl=1.1.1v", package) == "openssl=1.1.1w"
    assert for_conda("openssl<1.1.1", package) in ("openssl<1.1.1", "openssl<=1.1.1w")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("torch", "torch"),
        ("torch==2.13.0", "torch==2.13.0"),
        ("torch==2.12.0", "torch==2.13.0+cu121"),
        ("torch==2.12.*", "torch==2.13.*"),
        ("torch>=2,<2.13", "torch>=2,<2.14"),
        ("torch ~= 2.12.0", "torch ~= 2.13.0"),
        ("torch!=2.13.0", "torch"),
        ("torch[opt] ==2.12 ; python_version > '3'", "torch[opt] ==2.13.0+cu121 ; python_version > '3'"),
        ("torch (==2.12)", "torch (==2.13.0+cu121)"),
        ("torch==2.12.0 --hash=sha256:1", "torch==2.13.0+cu121"),
        ("torch==2.13.0 --hash=sha256:1", "torch==2.13.0 --hash=sha256:1"),
        ("torch @ git+https://git.example.org/t.git@abc", "torch @ git+https://git.example.org/t.git@abc"),
        ("torch===2.12.0", "torch===2.13.0+cu121"),
    ],
)
def test_of_pip(before: str, after: str) -> None:
    assert for_pip(before, "2.13.0+cu121") == after
    assert for_pip(after, "2.13.0+cu121") == after
