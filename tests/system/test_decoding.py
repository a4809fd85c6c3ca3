"""Files decoded whole and damaged; what is not installed is told."""

import json
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from PIL import Image
from safetensors.numpy import save_file

from preflight.system.decoding import Decoded, decode, decode_all, loads_as_image

NOISE = np.random.default_rng(3).integers(0, 255, (64, 64, 3), dtype=np.uint8)


def write_image(path: Path) -> None:
    Image.fromarray(NOISE).save(path)


def write_hdf5(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file.create_dataset("x", data=NOISE, compression="gzip", chunks=(8, 64, 3))
        file["group/scalar"] = 3


def write_database(path: Path) -> None:
    database = sqlite3.connect(path)
    database.execute("create table t (x)")
    database.executemany("insert into t values (?)", [("word " * 50,)] * 900)
    database.commit()
    database.close()


WRITERS: dict[str, Callable[[Path], object]] = {
    **dict.fromkeys(["a.png", "a.jpg"], write_image),
    "a.npz": lambda path: np.savez_compressed(path, x=NOISE),
    "a.h5": write_hdf5,
    "a.sqlite": write_database,
    "a.parquet": lambda path: pa.parquet.write_table(pa.table({"x": NOISE.ravel()}), path),
    "a.jsonl": lambda path: path.write_text("\n".join(['{"a": "wörd"}'] * 3000)),
    "a.json": lambda path: path.write_text(json.dumps([{"a": "wörd"}] * 3000)),
}
HEALTHY: dict[str, Callable[[Path], object]] = {
    "a.webp": write_image,
    "a.npy": lambda path: np.save(path, NOISE),
    "o.npy": lambda path: np.save(path, np.array([{}]), allow_pickle=True),
    "a.safetensors": lambda path: save_file({"x": NOISE}, path),
    "a.csv": lambda path: path.write_bytes(b"id,name\n1,Andr\xe9,more\n"),
    "lines.json": lambda path: path.write_text("{}\n{}\n"),
    "a.pkl": lambda path: path.write_bytes(b"cos\nsystem\n(S'touch harmed'\ntR."),
    "a.unknown": lambda path: path.write_bytes(b"anything"),
}


@pytest.mark.parametrize("name", WRITERS)
def test_damage_in_the_middle(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    WRITERS[name](path)
    assert decode(str(path)) == Decoded(path=str(path))
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 2500] = (b"]}" if "json" in name else b"\xff\xd8") * 1250
    path.write_bytes(content[: middle * 2])
    assert decode(str(path)).problem


@pytest.mark.parametrize("name", HEALTHY)
def test_what_is_odd_and_whole(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    HEALTHY[name](tmp_path / name)
    assert decode(name) == Decoded(path=name)
    assert not Path("harmed").exists()


def test_many_at_once_in_order(tmp_path: Path) -> None:
    paths = [str(tmp_path / f"{number}.png") for number in range(9)]
    for path in paths:
        write_image(Path(path))
    Path(paths[4]).write_bytes(b"\x89PNG\r\n\x1a\n")
    answers = list(decode_all(paths))
    assert [answer.path for answer in answers] == paths
    assert [bool(answer.problem) for answer in answers] == [number == 4 for number in range(9)]


def test_an_image_that_explodes(tmp_path: Path) -> None:
    Image.new("1", (13_400, 13_400)).save(tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size < 200_000
    assert decode(str(tmp_path / "a.png")).is_huge


@pytest.mark.parametrize(("name", "library"), [("a.png", "PIL"), ("a.parquet", "pyarrow"), ("a.h5", "h5py")])
def test_a_library_that_is_not_installed(
    name: str, library: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    WRITERS[name](tmp_path / name)
    monkeypatch.setitem(sys.modules, library, None)
    assert decode(str(tmp_path / name)).library == library


def test_an_image_without_its_last_chunk_loads(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png")
    content = (tmp_path / "a.png").read_bytes()
    (tmp_path / "a.png").write_bytes(content[:-12])
    assert loads_as_image(str(tmp_path / "a.png"))
    (tmp_path / "a.png").write_bytes(content[:-500])
    assert not loads_as_image(str(tmp_path / "a.png"))
