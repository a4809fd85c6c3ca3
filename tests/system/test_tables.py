"""Tables of every format, read in pieces."""

import bz2
import gzip
import json
import resource
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import pytest

from preflight.system import tables
from preflight.system.cells import Column
from preflight.system.tables import Unreadable, open_table, read

ROWS = 10_000
CSV = "id,label\n" + "".join(f"{each},{each % 3}\n" for each in range(ROWS))
TABLE = pa.table({"id": list(range(ROWS)), "label": [each % 3 for each in range(ROWS)]})


def write_arrow(path: Path) -> None:
    with pa.ipc.new_file(path, TABLE.schema) as sink:
        sink.write_table(TABLE, max_chunksize=999)


def write_stream(path: Path) -> None:
    with pa.ipc.new_stream(path, TABLE.schema) as sink:
        sink.write_table(TABLE)


WRITERS: dict[str, Callable[[Path], object]] = {
    "a.csv": lambda path: path.write_text(CSV),
    "a.csv.gz": lambda path: path.write_bytes(gzip.compress(CSV.encode())),
    "a.csv.bz2": lambda path: path.write_bytes(bz2.compress(CSV.encode())),
    "a.tsv": lambda path: path.write_text(CSV.replace(",", "\t")),
    "b.csv": lambda path: path.write_bytes(CSV.replace(",", ";").replace("\n", "\r\n").encode("utf-8-sig")),
    "a.jsonl": lambda path: path.write_text(
        "\n".join(json.dumps({"id": each, "label": each % 3}) for each in range(ROWS))
    ),
    "a.parquet": lambda path: pa.parquet.write_table(TABLE, path, row_group_size=3000),
    "a.arrow": write_arrow,
    "stream.arrow": write_stream,
    "a.feather": lambda path: pa.feather.write_feather(TABLE, str(path)),
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_table(name: str, tmp_path: Path) -> None:
    WRITERS[name](tmp_path / name)
    table = open_table(str(tmp_path / name))
    assert table.columns == ("id", "label")
    label, identity = Column(name="label", between=(0, 1)), Column(name="id", unique=True)
    assert read(table, [label, identity]) == ROWS
    assert (label.outside.count, label.outside.row) == (ROWS // 3, 3)
    assert identity.high == ROWS - 1
    assert not identity.repeated.count
    assert not table.ragged.count
    assert tables.is_table(name)


def test_an_array(tmp_path: Path) -> None:
    np.save(tmp_path / "labels.npy", np.arange(200_000) % 10)
    column = Column(name="labels", between=(0, 8))
    assert read(open_table(str(tmp_path / "labels.npy")), [column]) == 200_000
    assert (column.outside.count, column.outside.row) == (20_000, 10)
    np.save(tmp_path / "x.npy", np.zeros((3, 2)))
    assert open_table(str(tmp_path / "x.npy")).columns == ()
    np.save(tmp_path / "x.npy", np.array([{}]), allow_pickle=True)
    with pytest.raises(Unreadable):
        open_table(str(tmp_path / "x.npy"))


def test_quoted_cells_and_empty_lines(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('id,text\n1,"two\nlines, quoted"\n\n2,b\n')
    column = Column(name="text", one_of=["two\nlines, quoted", "b"])
    assert read(open_table(str(tmp_path / "a.csv")), [column]) == 2
    assert not column.foreign.count


def test_ragged_rows(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a,b\n1,2\n3\n4,5,6\n")
    table = open_table(str(tmp_path / "a.csv"))
    column = Column(name="b")
    assert read(table, [column]) == 3
    assert (table.ragged.count, table.ragged.row, table.ragged.cells) == (2, 2, 1)
    assert column.gaps.row == 2


@pytest.mark.parametrize("before", [0, 1 << 20, (1 << 20) - 1])
def test_the_byte_that_is_not_of_the_encoding(before: int, tmp_path: Path) -> None:
    content = b"id,name\n" + "é,\n".encode() * (before // 4) + b"7,Andr\xe9\n"
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(Unreadable) as caught:
        read(open_table(str(tmp_path / "a.csv")), [])
    assert caught.value.kind == "encoding"
    assert f"byte 0xe9 at offset {content.index(b'Andr') + 4:,}, in line {before // 4 + 2}" in caught.value.cause
    assert read(open_table(str(tmp_path / "a.csv"), "latin-1"), []) == before // 4 + 1
    assert read(open_table(str(tmp_path / "a.csv"), errors="replace"), []) == before // 4 + 1


def test_text_that_ends_within_a_character(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes("id\né".encode()[:-1])
    with pytest.raises(Unreadable) as caught:
        read(open_table(str(tmp_path / "a.csv")), [])
    assert "ends within" in caught.value.cause


def test_utf_16_is_told_by_its_mark(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes("id,é\n1,2\n".encode("utf-16"))
    assert open_table(str(tmp_path / "a.csv"), "utf-16").columns == ("id", "é")
    with pytest.raises(Unreadable):
        open_table(str(tmp_path / "a.csv"))


@pytest.mark.parametrize(("line", "words"), [("{", "row 2 is no JSON"), ("[1]", "row 2 is no object")])
def test_a_row_that_is_no_json(line: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(f'{{"a": 1}}\n{line}\n')
    with pytest.raises(Unreadable, match=words):
        read(open_table(str(tmp_path / "a.jsonl")), [])


def test_a_damaged_row_group(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pa.parquet.write_table(TABLE, path, compression="snappy")
    content = bytearray(path.read_bytes())
    content[50:5000] = bytes(4950)
    path.write_bytes(content)
    table = open_table(str(path))
    with pytest.raises(Unreadable):
        read(table, [Column(name="id"), Column(name="label")])


def test_time_is_up(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(CSV)
    assert read(open_table(str(tmp_path / "a.csv")), [], until=0.0) is None


def test_a_line_without_an_end_is_not_slurped(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("id,x\n1,2\n")
    with path.open("r+b") as file:
        file.truncate(1 << 30)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(Unreadable, match="more than"):
        read(open_table(str(path)), [])
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000
