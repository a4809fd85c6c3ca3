"""Archives that are whole, damaged, or made to do harm: measured and read, never unpacked."""

import bz2
import gzip
import lzma
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from preflight.system.archives import Unreadable, measure, read_compressed, read_zip

CONTENT = bytes(range(256)) * 400


def write_zip(path: Path, *names: str, content: bytes = CONTENT) -> str:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            archive.writestr(name, content)
    return str(path)


def announce(path: str, size: int) -> None:
    """Have the directory of a zip archive say another unpacked size."""
    content = bytearray(Path(path).read_bytes())
    at = content.rindex(b"PK\x01\x02")
    content[at + 24 : at + 28] = struct.pack("<I", size)
    Path(path).write_bytes(content)


def test_a_zip_archive(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", "a", "b")
    assert measure(path).unpacked == 2 * len(CONTENT)
    assert not measure(path).outside
    read_zip(path)
    content = bytearray(Path(path).read_bytes())
    content[60] ^= 0xFF
    Path(path).write_bytes(content)
    with pytest.raises(Unreadable, match="its member a"):
        read_zip(path)


def test_paths_that_lead_out(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", "../../x", "/etc/x", "a/..b/c", "a\\..\\..\\x")
    assert len(measure(path).outside) == 3
    read_zip(path)
    assert [each.name for each in tmp_path.iterdir()] == ["a.zip"]


def test_a_bomb_is_measured_only(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", "a", content=bytes(10**6))
    announce(path, 0xFFFFFFF0)
    assert not measure(path).is_bomb  # 4 GB are not too many
    path = write_zip(tmp_path / "b.zip", "a", "b", "c", content=bytes(10**6))
    content = Path(path).read_bytes().replace(struct.pack("<I", 10**6), struct.pack("<I", 0xFFFFFFF0))
    Path(path).write_bytes(content)
    assert measure(path).is_bomb
    read_zip(path)


WRITERS: dict[str, Callable[[bytes], bytes]] = {"a.gz": gzip.compress, "a.bz2": bz2.compress, "a.xz": lzma.compress}


@pytest.mark.parametrize("name", WRITERS)
def test_a_compressed_file(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    whole = WRITERS[name](CONTENT)
    for healthy in (whole, whole + whole):
        path.write_bytes(healthy)
        assert read_compressed(str(path))
    for broken in (whole[: len(whole) // 2], whole[:-4], whole[:20] + bytes(9) + whole[29:]):
        path.write_bytes(broken)
        with pytest.raises(Unreadable):
            read_compressed(str(path))


def test_patience_is_short(tmp_path: Path) -> None:
    (tmp_path / "a.gz").write_bytes(gzip.compress(bytes(50 << 20)))
    assert not read_compressed(str(tmp_path / "a.gz"), seconds=0.0)


def test_no_archive(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(Unreadable):
        measure(str(tmp_path / "a.zip"))
