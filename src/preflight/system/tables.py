"""Tables row by row: CSV, TSV, JSON lines, Parquet, Arrow and NumPy arrays, in memory that does not grow with them."""

from __future__ import annotations

import codecs
import csv
import io
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from preflight.system.archives import COMPRESSED, open_text
from preflight.system.watched import at

ROWS_AT_ONCE = 4096
LONGEST_LINE = 1 << 24
BLOCK = 1 << 20
_BYTE_ORDER_MARKS = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
_ARROW = {".parquet", ".arrow", ".feather"}
_TEXTS = {".csv", ".tsv", ".txt", ".jsonl", ".ndjson"}


class Unreadable(Exception):
    """A table cannot be read on; `kind` is one word for why, `row` where, counted from 1."""

    def __init__(self, kind: str, text: str, *, cause: str = "", row: int = 0) -> None:
        super().__init__(text)
        self.kind, self.cause, self.row = kind, cause, row


class NoLibrary(Exception):
    """What reads the format is not installed; the text is its name."""


@dataclass(slots=True)
class Ragged:
    """Rows that have another number of cells than the header: how many, and the first."""

    count: int = 0
    row: int = 0
    cells: int = 0


@dataclass(slots=True, kw_only=True)
class Table:
    """A table whose rows have not been read: `chunks(names)` gives the cells of those columns, some rows at a time.

    `rows` is how many there are where that stands in the file, else None; `delimiter` and `mark` (whether a byte order
    mark is in front) are those of text.
    """

    path: str
    columns: tuple[str, ...]
    chunks: Callable[[Sequence[str]], Iterator[tuple[int, list[Sequence[Any]]]]]
    rows: int | None = None
    delimiter: str = ""
    mark: bool = False
    ragged: Ragged = field(default_factory=Ragged)


def is_table(path: str) -> bool:
    """Tell whether the suffix is that of a table; text in a `.txt` may be anything."""
    suffix = _suffix(path)
    return suffix in _ARROW | _TEXTS - {".txt"}


def open_table(path: str, encoding: str = "", errors: str = "strict") -> Table:
    """Open a table by its suffix; `errors` is what bytes of another encoding are, as for `bytes.decode`.

    Raises Unreadable where the head cannot be read, NoLibrary where its format needs one that is not installed.
    """
    at(path)
    suffix = _suffix(path)
    if suffix in _ARROW:
        return _open_arrow(path)
    if suffix == ".npy":
        return _open_array(path)
    text = _Text(path, encoding, errors)
    return _open_lines(text) if suffix in (".jsonl", ".ndjson") else _open_delimited(text)


def read(table: Table, columns: Sequence[Any], until: float | None = None) -> int | None:
    """Feed the cells of the table to the columns and return the number of rows; None where the time was up before.

    Each column has a `name` and takes `feed(path, first_row, cells)`. Raises Unreadable.
    """
    rows = 0
    for first, cells in table.chunks([column.name for column in columns]):
        for column, each in zip(columns, cells[1:], strict=True):
            column.feed(table.path, first, each)
        rows = first + len(cells[0]) - 1
        if until is not None and time.monotonic() > until:
            return None
    return rows


def read_all(path: str) -> None:
    """Decode every cell of a table, whatever encoding a `.csv` has; raises Unreadable, NoLibrary."""
    table = open_table(path, errors="replace" if _suffix(path) in (".csv", ".tsv") else "strict")
    for _ in table.chunks(table.columns):
        pass


def _suffix(path: str) -> str:
    stem, suffix = os.path.splitext(path.lower())
    return os.path.splitext(stem)[1] if suffix in COMPRESSED else suffix


def _open_delimited(text: _Text) -> Table:
    head = next(text.blocks(), "")
    delimiter = "\t" if _suffix(text.path) == ".tsv" else _delimiter_of(head.partition("\n")[0])
    columns = tuple(name.strip() for name in next(_rows(head, delimiter), []))
    ragged = Ragged()

    def chunks(names: Sequence[str]) -> Iterator[tuple[int, list[Sequence[Any]]]]:
        places, first = [columns.index(name) for name in names], 0
        for block in text.blocks():
            rows = [row for row in _rows(block, delimiter) if row]
            if set(map(len, rows)) - {len(columns)}:
                _note_ragged(ragged, first, rows, len(columns))
            # The first of all is the header.
            some = rows if first else rows[1:]
            yield max(first, 1), [some, *([row[place] for row in some] for place in places)]
            first = max(first, 1) + len(some)

    return Table(path=text.path, columns=columns, chunks=chunks, delimiter=delimiter, mark=text.mark, ragged=ragged)


def _rows(block: str, delimiter: str) -> Iterator[list[str]]:
    csv.field_size_limit(2 * LONGEST_LINE)
    try:
        yield from csv.reader(io.StringIO(block, newline=""), delimiter=delimiter)
    except csv.Error as problem:
        raise Unreadable("bad-row", f"cannot be read: {problem}") from None


def _note_ragged(ragged: Ragged, first: int, rows: list[list[str]], width: int) -> None:
    """Count the rows that are too long or too short, and fill up the short ones."""
    for number, row in enumerate(rows, first):
        if len(row) != width:
            if not ragged.count:
                ragged.row, ragged.cells = number, len(row)
            ragged.count += 1
            row.extend([""] * (width - len(row)))


def _delimiter_of(head: str) -> str:
    others = {mark: head.count(mark) for mark in ";\t|"}
    mark = max(others, key=lambda each: others[each])
    return mark if "," not in head and others[mark] else ","


def _open_lines(text: _Text) -> Table:
    def chunks(names: Sequence[str]) -> Iterator[tuple[int, list[Sequence[Any]]]]:
        for first, some in _in_chunks(_objects(text)):
            yield first, [some, *([row.get(name) for row in some] for name in names)]

    return Table(path=text.path, columns=tuple(next(_objects(text), {})), chunks=chunks, mark=text.mark)


def _objects(text: _Text) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(text.lines(), 1):
        if line.strip():
            try:
                value = json.loads(line)
            except (ValueError, RecursionError) as problem:
                raise Unreadable("bad-row", f"row {number} is no JSON", cause=str(problem), row=number) from None
            if not isinstance(value, dict):
                raise Unreadable("bad-row", f"row {number} is no object of JSON", row=number)
            yield value


def _open_arrow(path: str) -> Table:
    file, columns = _arrow_file(path)

    def chunks(names: Sequence[str]) -> Iterator[tuple[int, list[Sequence[Any]]]]:
        first = 1
        try:
            for batch in _batches(file, names):
                yield first, [range(batch.num_rows), *(batch.column(name).to_pylist() for name in names)]
                first += batch.num_rows
        except Exception as problem:  # noqa: BLE001 - whatever a broken file makes it raise
            raise Unreadable("undecodable", f"cannot be read after row {first - 1}", cause=str(problem)) from None

    rows = file.metadata.num_rows if hasattr(file, "schema_arrow") else None
    return Table(path=path, columns=columns, chunks=chunks, rows=rows)


def _arrow_file(path: str) -> tuple[Any, tuple[str, ...]]:
    """Return a reader of a Parquet file, an Arrow file or an Arrow stream, and the names of the columns."""
    try:
        import pyarrow as pa
        import pyarrow.parquet
    except ImportError:
        raise NoLibrary("pyarrow") from None
    is_parquet = Path(path).suffix.lower() == ".parquet"
    problems = []
    for read_file in [pa.parquet.ParquetFile] if is_parquet else [pa.ipc.open_file, pa.ipc.open_stream]:
        try:
            file = read_file(path if is_parquet else pa.memory_map(path))
            return file, tuple((file.schema_arrow if is_parquet else file.schema).names)
        except Exception as problem:  # noqa: BLE001 - whatever a broken file makes it raise
            problems.append(str(problem))
    raise Unreadable("undecodable", "cannot be read", cause=problems[0])


def _batches(file: Any, names: Sequence[str]) -> Iterator[Any]:
    if hasattr(file, "iter_batches"):
        yield from file.iter_batches(ROWS_AT_ONCE * 4, columns=list(names))
    elif hasattr(file, "num_record_batches"):
        yield from (file.get_batch(number) for number in range(file.num_record_batches))
    else:
        yield from file


def _open_array(path: str) -> Table:
    """Open a NumPy array of one dimension as a table of one column, which is called like the file."""
    try:
        import numpy as np
    except ImportError:
        raise NoLibrary("numpy") from None
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as problem:  # noqa: BLE001 - whatever a broken file makes it raise
        raise Unreadable("undecodable", "cannot be read", cause=str(problem)) from None

    def chunks(names: Sequence[str]) -> Iterator[tuple[int, list[Sequence[Any]]]]:
        for start in range(0, len(array), ROWS_AT_ONCE * 16):
            cells = array[start : start + ROWS_AT_ONCE * 16].tolist()
            yield start + 1, [cells, *(cells for _ in names)]

    if array.ndim != 1:
        return Table(path=path, columns=(), chunks=lambda _: iter(()), rows=len(array) if array.ndim else 1)
    return Table(path=path, columns=(Path(path).stem,), chunks=chunks, rows=len(array))


class _Text:
    """A file of text: its encoding, whether a byte order mark is in front, and its lines."""

    def __init__(self, path: str, encoding: str, errors: str) -> None:
        self.path, self.errors = path, errors
        with open_text(path) as stream:
            start = stream.read(3)
        marked = next((name for mark, name in _BYTE_ORDER_MARKS.items() if start.startswith(mark)), "")
        self.mark = bool(marked)
        self.encoding = codecs.lookup(encoding or (marked if errors != "strict" else "") or "utf-8").name
        if self.encoding == "utf-8":
            self.encoding = "utf-8-sig"

    def blocks(self) -> Iterator[str]:
        """Give the text in pieces that end with a line, outside of quotes unless that goes on for too long.

        Raises Unreadable where bytes are of another encoding or no line ends.
        """
        rest = ""
        with open_text(self.path) as stream:
            text = io.TextIOWrapper(stream, encoding=self.encoding, errors=self.errors, newline="")
            try:
                while piece := text.read(BLOCK):
                    rest += piece
                    end = max(rest.rfind("\n"), rest.rfind("\r", 0, -1)) + 1
                    if not end and len(rest) > LONGEST_LINE:
                        raise Unreadable("bad-row", f"has a line of more than {LONGEST_LINE:,} characters")
                    if end and (len(rest) > LONGEST_LINE or rest.count('"', 0, end) % 2 == 0):
                        yield rest[:end]
                        rest = rest[end:]
            except UnicodeError:
                raise _not_in_encoding(self.path, self.encoding.removesuffix("-sig")) from None
            finally:
                with suppress(ValueError):
                    text.detach()
        if rest:
            yield rest

    def lines(self) -> Iterator[str]:
        """Give the lines."""
        return (line for block in self.blocks() for line in io.StringIO(block))


def _not_in_encoding(path: str, encoding: str) -> Unreadable:
    """Look for the first byte that is not in the encoding, to name the place."""
    decoder = codecs.getincrementaldecoder(encoding)()
    offset, line = 0, 1
    with open_text(path) as stream:
        while block := stream.read(1 << 20):
            held = len(decoder.getstate()[0])
            try:
                decoder.decode(block)
            except UnicodeError as problem:
                start = getattr(problem, "start", 0)
                byte = getattr(problem, "object", b"?")[start]
                line += block[: max(start - held, 0)].count(b"\n")
                place = f"byte 0x{byte:02x} at offset {offset - held + start:,}, in line {line}"
                return Unreadable("encoding", f"is not {encoding}", cause=place, row=line)
            offset += len(block)
            line += block.count(b"\n")
    return Unreadable("encoding", f"is not {encoding}", cause="it ends within a character")


def _in_chunks(rows: Iterable[Any]) -> Iterator[tuple[int, list[Any]]]:
    first, some = 1, []
    for row in rows:
        some.append(row)
        if len(some) == ROWS_AT_ONCE:
            yield first, some
            first, some = first + len(some), []
    if some:
        yield first, some
