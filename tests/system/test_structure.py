"""Files of every format whole, cut off at many places, and odd but whole."""

import bz2
import io
import json
import lzma
import os
import pickle
import sqlite3
import struct
import tarfile
import wave
import zipfile
from collections.abc import Callable
from pathlib import Path
from random import Random

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import pytest
from PIL import Image
from safetensors.numpy import save_file

from preflight.system.structure import flaw_of

KINDS = {"truncated", "damaged", "zeros", "stub", "wrong-format", "other-suffix"}
NOISE = np.random.default_rng(3).integers(0, 255, (48, 48, 3), dtype=np.uint8)
TABLE = pa.table({"x": list(range(2000)), "label": [each % 3 for each in range(2000)]})
ROWS = [{"id": number, "text": "word " * 9} for number in range(300)]


def write_image(path: Path) -> None:
    Image.fromarray(NOISE).save(path)


def write_wave(path: Path) -> None:
    with wave.open(str(path), "wb") as sound:
        sound.setparams((1, 2, 16000, 0, "NONE", ""))
        sound.writeframes(NOISE.tobytes())


def write_zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(5):
            archive.writestr(f"{number}.bin", NOISE.tobytes())


def write_tar(path: Path) -> None:
    with tarfile.open(path, "w") as archive:
        for number in range(3):
            member = tarfile.TarInfo(f"{number}.bin")
            member.size = NOISE.nbytes
            archive.addfile(member, io.BytesIO(NOISE.tobytes()))


def write_hdf5(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["x"] = NOISE


def write_database(path: Path) -> None:
    with sqlite3.connect(path) as database:
        database.execute("create table t (x)")
        database.executemany("insert into t values (?)", [("word " * 50,)] * 500)
    database.close()


def write_video(path: Path) -> None:
    boxes = [(b"ftyp", b"isom" * 4), (b"mdat", NOISE.tobytes()), (b"moov", bytes(500))]
    path.write_bytes(b"".join(struct.pack(">I4s", len(body) + 8, kind) + body for kind, body in boxes))


def write_arrow(path: Path) -> None:
    with pa.ipc.new_file(path, TABLE.schema) as sink:
        sink.write_table(TABLE)


def write_stream(path: Path) -> None:
    with pa.ipc.new_stream(path, TABLE.schema) as sink:
        sink.write_table(TABLE)


WRITERS: dict[str, Callable[[Path], object]] = {
    **dict.fromkeys(["a.png", "a.jpg", "a.JPEG", "a.gif", "a.webp", "a.bmp"], write_image),
    "a.wav": write_wave,
    "a.zip": write_zip,
    "a.pt": write_zip,
    "a.npz": lambda path: np.savez(path, x=NOISE, y=NOISE),
    "a.npy": lambda path: np.save(path, NOISE),
    "a.tar": write_tar,
    "a.h5": write_hdf5,
    "a.sqlite": write_database,
    "a.mp4": write_video,
    "a.parquet": lambda path: pa.parquet.write_table(TABLE, path),
    "a.arrow": write_arrow,
    "a.feather": lambda path: pa.feather.write_feather(TABLE, str(path)),
    "a.safetensors": lambda path: save_file({"x": NOISE, "y": NOISE}, path, metadata={"format": "np"}),
    "a.bz2": lambda path: path.write_bytes(bz2.compress(NOISE.tobytes())),
    "a.xz": lambda path: path.write_bytes(lzma.compress(NOISE.tobytes())),
    "a.pkl": lambda path: path.write_bytes(pickle.dumps({"x": list(range(5000))})),
    "a.json": lambda path: path.write_text(json.dumps(ROWS)),
    "a.jsonl": lambda path: path.write_text("\n".join(map(json.dumps, ROWS))),
    "a.csv": lambda path: path.write_text("id,x,y\n" + "".join(f"{each},1.5,{each % 3}\n" for each in range(3000))),
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_whole_file_is_silent_and_a_part_of_it_is_not(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    WRITERS[name](path)
    assert flaw_of(str(path)) is None
    content = path.read_bytes()
    size = len(content)
    cuts = {"a.tar": [9_000, 14_000], "a.csv": [20_001, 30_009]}
    for cut in cuts.get(name, [size // 3, size // 2, size - 100, size - 20]):
        path.write_bytes(content[:cut])
        flaw = flaw_of(str(path))
        assert flaw, f"{cut} of {size} bytes"
        assert flaw.kind == "truncated"


@pytest.mark.parametrize("name", sorted(WRITERS.keys() - {"a.pt", "a.tar", "a.mp4"}))
def test_a_file_that_was_never_written(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(bytes(5000))
    assert flaw_of(str(tmp_path / name)).kind == "zeros"


def test_a_tiff_without_its_directory(tmp_path: Path) -> None:
    content = struct.pack("<2sHI", b"II", 42, 5000) + bytes(4992)
    (tmp_path / "a.tif").write_bytes(content)
    assert flaw_of(str(tmp_path / "a.tif")).kind == "truncated"
    (tmp_path / "a.tif").write_bytes(content + bytes(100))
    assert flaw_of(str(tmp_path / "a.tif")) is None


def whole(name: str, folder: Path) -> bytes:
    WRITERS[name](folder / f"whole-{name}")
    return (folder / f"whole-{name}").read_bytes()


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("a.jpg", lambda content: content + bytes(5000)),
        ("a.jpg", lambda content: content + b"SEFH" + bytes(range(1, 200)) * 50),
        ("a.png", lambda content: content + bytes(range(256)) * 9),
        ("a.gif", lambda content: content + b"\0\0"),
        ("a.wav", lambda content: content[:4] + b"\xff\xff\xff\xff" + content[8:]),
        ("a.wav", lambda content: b"NIST_1A\n   1024\n" + content),
        ("a.zip", lambda content: content + b"a comment that nobody declared"),
        ("a.zip", lambda _: b"PK\x05\x06" + bytes(18)),
        ("a.tar", lambda _: bytes(10240)),
        ("a.tar", lambda content: content[: 3 * (512 + 7168)]),
        ("a.tar", lambda _: b"\x1f\x8b\x08 a compressed one"),
        ("a.h5", lambda content: bytes(512) + content),
        ("a.parquet", lambda content: b"PARE" + content[4:-4] + b"PARE"),
        ("a.bin", lambda _: bytes(4096)),
        ("a.bin", lambda _: b"anything"),
        ("a.pt", lambda _: b"a format of its own"),
        ("a.pkl", lambda _: b"\x78\x9ccompressed"),
        ("a.pkl", lambda content: content + b"more"),
        ("a.json", lambda content: content + b"\n\n"),
        ("a.json", lambda _: b'{"x": 1}\n{"x": 2}\n'),
        ("a.json", lambda _: b'\xef\xbb\xbf{"x": NaN}'),
        ("a.jsonl", lambda content: content + b"\n\n"),
        ("a.csv", lambda content: content[:-1]),
        ("a.csv", lambda _: b"a;b\n1;2\n3;4"),
        ("a.csv", lambda _: "id,naïve\n1,2\n".encode("utf-16")),
        ("a.csv", lambda _: b"a,b\n1,2\n3,4\n5,6\ntotal\n"),
        ("a.csv", lambda _: b"PK,BM\n1,2\n"),
        ("a.unknown", lambda _: bytes(900)),
    ],
)
def test_what_is_odd_and_whole(name: str, change: Callable[[bytes], bytes], tmp_path: Path) -> None:
    content = whole(name, tmp_path) if name in WRITERS else b""
    (tmp_path / name).write_bytes(change(content))
    flaw = flaw_of(str(tmp_path / name))
    assert flaw is None


def test_arrays_of_other_kinds(tmp_path: Path) -> None:
    arrays = [
        np.asfortranarray(NOISE),
        np.array(["a", "bcd"]),
        np.array(3.5),
        np.zeros((0, 4)),
        np.array([("x", 1)], dtype=[("name", "U8"), ("age", "i4")]),
        np.array(["2020-01-01"], dtype="M8[D]"),
    ]
    for number, array in enumerate(arrays):
        np.save(tmp_path / f"{number}.npy", array)
        assert flaw_of(str(tmp_path / f"{number}.npy")) is None
    np.save(tmp_path / "a.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    assert flaw_of(str(tmp_path / "a.npy")) is None


@pytest.mark.parametrize(
    ("name", "as_name", "kind"),
    [
        ("a.png", "b.npy", "wrong-format"),
        ("a.zip", "b.csv", "wrong-format"),
        ("a.csv", "b.gz", "wrong-format"),
        ("a.csv", "b.png", "wrong-format"),
        ("a.parquet", "b.json", "wrong-format"),
        ("a.npz", "b.parquet", "wrong-format"),
        ("a.npz", "b.npy", "wrong-format"),
        ("a.jpg", "b.png", "other-suffix"),
        ("a.csv", "b.safetensors", "damaged"),
        ("a.json", "b.npy", "wrong-format"),
    ],
)
def test_one_format_under_the_suffix_of_another(name: str, as_name: str, kind: str, tmp_path: Path) -> None:
    (tmp_path / as_name).write_bytes(whole(name, tmp_path))
    assert flaw_of(str(tmp_path / as_name)).kind == kind


def test_a_format_under_another_suffix_is_cut_off(tmp_path: Path) -> None:
    (tmp_path / "b.png").write_bytes(whole("a.jpg", tmp_path)[:1000])
    assert flaw_of(str(tmp_path / "b.png")).kind == "truncated"


def test_a_safetensors_file_that_is_too_long(tmp_path: Path) -> None:
    (tmp_path / "b.safetensors").write_bytes(whole("a.safetensors", tmp_path) + b"more")
    assert flaw_of(str(tmp_path / "b.safetensors")).kind == "damaged"


def test_what_the_data_check_says_is_not_said_again(tmp_path: Path) -> None:
    for content in (b"", b"version https://git-lfs.github.com/spec/v1\n", b"<!DOCTYPE html><p>", b"<html>"):
        (tmp_path / "a.png").write_bytes(content)
        assert flaw_of(str(tmp_path / "a.png")) is None


def test_a_pickle_is_never_loaded(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[object, ...]:
            return (os.mkdir, (str(tmp_path / "harmed"),))

    for name in ("a.pkl", "a.pt", "a.pth"):
        (tmp_path / name).write_bytes(pickle.dumps(Bomb()) + b"x")
        flaw_of(str(tmp_path / name))
    assert not (tmp_path / "harmed").exists()


@pytest.mark.parametrize("name", WRITERS)
def test_whatever_bytes_there_are_the_answer_is_a_flaw_or_none(name: str, tmp_path: Path) -> None:
    content, random = whole(name, tmp_path), Random(name)
    for _ in range(60):
        changed = bytearray(content)
        for _ in range(random.choice([1, 5, 40])):
            place = random.choice([random.randrange(len(changed)), random.randrange(64), -random.randrange(1, 64)])
            changed[place] = random.choice([0, 1, 255, random.randrange(256)])
        (tmp_path / name).write_bytes(changed[: random.choice([len(changed), random.randrange(len(changed))])])
        flaw = flaw_of(str(tmp_path / name))
        assert flaw is None or flaw.kind in KINDS
