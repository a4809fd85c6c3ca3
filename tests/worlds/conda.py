"""A conda channel made by hand, and real prefixes installed from it: nothing comes from any index."""

import asyncio
import base64
import hashlib
import io
import json
import os
import sys
import tarfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

PLATFORM = "linux-64"
SERIES = f"{sys.version_info.major}.{sys.version_info.minor}"
SITE = f"lib/python{SERIES}/site-packages"
_DATE = (2020, 1, 1, 0, 0, 0)


@dataclass(frozen=True, kw_only=True)
class Made:
    """A package to make: its files by path, links by path, and what it depends on."""

    name: str
    version: str
    depends: Sequence[str] = ()
    files: Mapping[str, bytes] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)
    build: str = "h0_0"
    noarch: str = ""
    entry_points: Sequence[str] = ()

    @property
    def stem(self) -> str:
        return f"{self.name}-{self.version}-{self.build}"


def python_package() -> Made:
    """A Python that is shaped like a virtual environment: this one, by a link."""
    home = os.path.dirname(os.path.realpath(sys.executable))
    settings = f"home = {home}\ninclude-system-site-packages = false\nversion = {sys.version.split()[0]}\n"
    links = {f"bin/{name}": os.path.realpath(sys.executable) for name in ("python", "python3", f"python{SERIES}")}
    files = {"pyvenv.cfg": settings.encode(), f"{SITE}/README.txt": b"Here pip installs.\n"}
    return Made(name="python", version=sys.version.split()[0], files=files, links=links, build="h0_0_cpython")


def pip_package() -> Made:
    """The pip that comes with Python."""
    wheel = bundled_pip()
    with zipfile.ZipFile(wheel) as archive:
        files = {f"site-packages/{name}": archive.read(name) for name in archive.namelist() if name[-1] != "/"}
    version = wheel.name.split("-")[1]
    info = f"site-packages/pip-{version}.dist-info"
    files[f"{info}/INSTALLER"] = b"conda\n"
    return Made(
        name="pip",
        version=version,
        depends=["python >=3"],
        files=files,
        build="pyh0_0",
        noarch="python",
        entry_points=["pip = pip._internal.cli.main:main"],
    )


def bundled_pip() -> Path:
    """The wheel of pip that comes with Python, where Debian has it too."""
    folders = [Path(os.__file__).parent / "ensurepip" / "_bundled", Path("/usr/share/python-wheels")]
    found = [wheel for folder in folders for wheel in folder.glob("pip-*.whl")]
    if not found:
        pytest.skip("this Python comes without pip")
    return found[0]


def library(name: str, version: str, *depends: str, text: str = "", build: str = "py_0", key: str = "") -> Made:
    """A Python package of conda's, with the metadata that `conda` would leave."""
    key = key or name
    info = f"site-packages/{key}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {key}\nVersion: {version}\n\n"
    files = {
        f"site-packages/{key}/__init__.py": (text or f"VERSION = {version!r}\n").encode(),
        f"{info}/METADATA": metadata.encode(),
        f"{info}/INSTALLER": b"conda\n",
        f"{info}/RECORD": f"{key}/__init__.py,,\n".encode(),
    }
    return Made(name=name, version=version, depends=["python >=3", *depends], files=files, build=build, noarch="python")


def write_package(made: Made, channel: Path) -> Path:
    """Write a `.conda` file into its folder of the channel; the same package gives the same bytes."""
    folder = channel / ("noarch" if made.noarch else PLATFORM)
    folder.mkdir(parents=True, exist_ok=True)
    index = {
        "name": made.name,
        "version": made.version,
        "build": made.build,
        "build_number": int(made.build.rpartition("_")[2]) if made.build[-1].isdigit() else 0,
        "depends": list(made.depends),
        "subdir": folder.name,
        "timestamp": 1577836800000,
        **({"noarch": made.noarch} if made.noarch else {"arch": "x86_64", "platform": "linux"}),
    }
    paths = [_described(path, data) for path, data in sorted(made.files.items())]
    paths += [{"_path": path, "path_type": "softlink", **_digest(b"")} for path in sorted(made.links)]
    info = {
        "info/index.json": json.dumps(index).encode(),
        "info/paths.json": json.dumps({"paths": paths, "paths_version": 1}).encode(),
        "info/files": "".join(f"{each['_path']}\n" for each in paths).encode(),
    }
    if made.noarch == "python":
        link = {"noarch": {"type": "python", "entry_points": list(made.entry_points)}, "package_metadata_version": 1}
        info["info/link.json"] = json.dumps(link).encode()
    target = folder / f"{made.stem}.conda"
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        parts = {
            "metadata.json": b'{"conda_pkg_format_version": 2}',
            f"info-{made.stem}.tar.zst": _packed(info, {}),
            f"pkg-{made.stem}.tar.zst": _packed(made.files, made.links),
        }
        for name, data in parts.items():
            archive.writestr(zipfile.ZipInfo(name, _DATE), data)
    return target


def index(channel: Path) -> None:
    """Write the channel's own list of what it has."""
    from rattler.index import index_fs

    (channel / "noarch").mkdir(exist_ok=True)
    asyncio.run(index_fs(channel))


def install(channel: Path, prefix: Path, *specs: str) -> None:
    """Solve and install, as conda would; what was asked for is kept in the records."""
    import rattler

    async def work() -> None:
        virtual = rattler.GenericVirtualPackage(
            rattler.PackageName("__unix"), rattler.Version("0"), rattler.package.BuildString("0")
        )
        wanted = [rattler.MatchSpec(spec) for spec in specs]
        records = await rattler.solve(
            [channel.as_uri()], wanted, platforms=[PLATFORM, "noarch"], virtual_packages=[virtual]
        )
        asked = [spec._match_spec for spec in wanted]
        await rattler.install(records, prefix, show_progress=False, requested_specs=asked)

    asyncio.run(work())


def wheel(folder: Path, name: str, version: str, *requires: str, text: str = "") -> Path:
    """Write a wheel; the same content gives the same bytes."""
    key = name.replace("-", "_")
    info = f"{key}-{version}.dist-info"
    metadata = "".join(f"Requires-Dist: {each}\n" for each in requires)
    files = {
        f"{key}/__init__.py": (text or f"VERSION = {version!r}\n").encode(),
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{metadata}\n".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{path},sha256={_urlsafe(data)},{len(data)}\n" for path, data in files.items())
    files[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n".encode()
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{key}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(target, "w") as archive:
        for path, data in files.items():
            archive.writestr(zipfile.ZipInfo(path, _DATE), data)
    return target


def _described(path: str, data: bytes) -> dict[str, object]:
    return {"_path": path, "path_type": "hardlink", **_digest(data), "size_in_bytes": len(data)}


def _digest(data: bytes) -> dict[str, object]:
    return {"sha256": hashlib.sha256(data).hexdigest(), "size_in_bytes": len(data)}


def _urlsafe(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")


def _packed(files: Mapping[str, bytes], links: Mapping[str, str]) -> bytes:
    import zstandard

    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for path, data in sorted(files.items()):
            member = tarfile.TarInfo(path)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
        for path, target in sorted(links.items()):
            member = tarfile.TarInfo(path)
            member.type, member.linkname = tarfile.SYMTYPE, target
            archive.addfile(member)
    return zstandard.ZstdCompressor(level=1).compress(buffer.getvalue())
