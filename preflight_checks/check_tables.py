"""Tables: their columns, rows and cells are those that the experiment takes.

See it by hand:

    head -n 3 FILE
    python -c 'import pandas; print(pandas.read_csv("FILE").describe(include="all"))'

Mend it:

    Correct the table where the finding points, or what the config says of it.
"""

import difflib
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from preflight import Finding, check, error, info, warning
from preflight.config import Config, Data, Files, Values
from preflight.phrases import counted, in_a_row, shown
from preflight.system import files, programs, reading, structure, tables
from preflight.system.cells import Cells, Column
from preflight.system.tables import NoLibrary, Table, Unreadable
from preflight.system.watched import NoAnswer, watched

# Seconds for what nobody asked for.
PATIENCE = 2.0
CLASSES = {"num_classes", "n_classes", "nclasses", "num_labels", "num_class", "n_class"}
LABELS = {"label", "labels", "target", "targets", "class", "y", "class_id", "class_label", "label_id"}
PARTS = {"train", "training", "val", "valid", "validation", "dev", "test"}
# Where fewer cells than this are missing, that is more likely a mistake than a property of the data.
FEW = 0.05
ENCODINGS = "Convert it, or have the program and the entry say another `encoding`"


@check(per="data.local")
def check_hold_what_is_wanted(entry: Data, root: Path, config: Config) -> Iterator[Finding]:
    """The tables have the columns, rows and values that the entry asks for, and labels fit the number of classes.

    CSV, TSV, JSON lines, Parquet, Arrow and NumPy arrays are read row by row. Rows are counted from 1, the header left
    out. What nobody asked for is looked at for a few seconds only: cells missing in a column of numbers, and labels
    that are too large for the experiment's `num_classes`; neither where the program's text tells that it copes.

        tables.columns         a column is not there
        tables.delimiter       another character than the comma is between the columns, and the program does not name it
        tables.byte-order-mark the first column's name begins with a byte order mark for this program
        tables.encoding        bytes that are not of the encoding
        tables.ragged-rows     rows with more or fewer cells than the header
        tables.bad-row         a row that cannot be read
        tables.rows            more or fewer rows than wanted
        tables.missing-cells   cells without a value
        tables.values          values out of the range, or not of the set
        tables.repeated        values that should be unique
        tables.label-range     labels that are too large for num_classes
        tables.not-opened      the library that reads the format is not installed
    """
    asked = bool(entry.columns or entry.rows or entry.missing is not None or entry.values or entry.encoding)
    try:
        paths = watched(lambda: list(_tables_of(entry, root, asked=asked)), entry.deadline or config.deadline)
    except NoAnswer:
        return  # data.no-answer is the check of the data's finding
    if not paths:
        if asked and Path(files.resolve(entry.path, root)).exists():
            pytest.skip(f"{entry.path} holds no table of a format that is known here")
        return
    yield from _Reading(entry, root, config, asked=asked).judge(paths)


def _tables_of(entry: Data, root: Path, *, asked: bool) -> Iterator[str]:
    """Give the tables; one that is cut off or empty is the finding of another check."""
    for path in files.walk(files.find(files.resolve(entry.path, root)), (entry.files or Files()).glob):
        is_array_of_labels = path.endswith(".npy") and _names_labels(Path(path).stem)
        if not (tables.is_table(path) or is_array_of_labels or (asked and path.endswith((".txt", ".npy")))):
            continue
        try:
            if Path(path).stat().st_size and structure.flaw_of(path) is None:
                yield path
        except OSError:
            continue


class _Reading:
    """The tables of one entry, read and judged."""

    def __init__(self, entry: Data, root: Path, config: Config, *, asked: bool) -> None:
        self.entry, self.asked = entry, asked
        commands = [each.command for each in (config.seeds, config.rehearsal) if each]
        scripts = programs.scripts_of(commands, [each.name for each in config.imports], root)
        self.sources = programs.read_scripts(scripts, root).sources
        self.names = reading.names_in(self.sources)
        # A program that names another encoding knows what it does.
        copes = not entry.encoding and reading.copes_with_bytes(self.sources)
        self.errors = "replace" if copes else "strict"
        # What the user himself calls data is read, and by a program that knows no other encoding.
        takes_bytes = "read_bytes" in self.names or reading.says(self.sources, "rb")
        is_named = not config.drafted and bool(entry.files and entry.files.glob)
        self.is_meant = bool(self.sources) and is_named and not takes_bytes
        self.classes = _class_count(config.experiment)
        self.until = None if asked else time.monotonic() + PATIENCE
        self.columns: dict[str, Column] = {}

    def judge(self, paths: Sequence[str]) -> Iterator[Finding]:
        """Say what is wrong with the tables."""
        rows = 0
        for path in paths:
            try:
                table = tables.open_table(path, self.entry.encoding, self.errors)
                yield from self._judge_head(table)
                some = tables.read(table, self._wanted(table), self.until)
            except NoLibrary as library:
                yield from self._not_opened(path, str(library))
                return
            except Unreadable as problem:
                yield from self._unreadable(path, problem)
                return
            if some is None:
                break
            rows += some
            yield from self._judge_shape(table, some)
        else:
            yield from self._judge_rows(rows, len(paths))
        for column in self.columns.values():
            yield from self._judge_column(column)

    def _wanted(self, table: Table) -> list[Column]:
        """Return the columns of a table whose cells are looked at, those of earlier tables gone on with."""
        every = self.entry.missing is not None or not self.asked
        names = [name for name in table.columns if every or name in self.entry.values or self._is_label(name)]
        for name in dict.fromkeys(names):
            values = self.entry.values.get(name, Values())
            between = values.between
            if between is None and self._is_label(name):
                between = (0, self.classes[1] - 1)
            if name not in self.columns:
                unique = bool(values.unique)
                self.columns[name] = Column(name=name, between=between, one_of=values.one_of or (), unique=unique)
        return [self.columns[name] for name in dict.fromkeys(names)]

    def _is_label(self, name: str) -> bool:
        return bool(self.classes[1]) and _names_labels(name)

    def _judge_head(self, table: Table) -> Iterator[Finding]:
        wanted = [*self.entry.columns, *(name for name in self.entry.values if name not in self.entry.columns)]
        absent = [name for name in wanted if name not in table.columns]
        is_other = table.delimiter not in ("", ",") and not table.path.endswith(".tsv")
        if is_other and self.asked and self.sources and not reading.NAMES_DELIMITER & self.names:
            yield self._say(
                "delimiter",
                f"{shown(table.path)} has {table.delimiter!r} between its columns, not a comma",
                cause="the program reads it without naming the delimiter, and gets one column",
                fix=f"Have the program say it:\n    sep={table.delimiter!r}",
            )
        if absent:
            yield self._absent(table, absent)
        if table.mark and table.delimiter and {"DictReader", "reader"} & self.names and not self._strips_mark():
            say = error if table.columns[:1] and table.columns[0] in wanted else warning
            yield self._say(
                "byte-order-mark",
                f"{shown(table.path)} begins with a byte order mark, which the csv module takes for a part of "
                f"{table.columns[0]}",
                say=say,
                cause="a program such as Excel wrote it as UTF-8 with a mark",
                fix='Open it with encoding="utf-8-sig"',
            )

    def _strips_mark(self) -> bool:
        return reading.says(self.sources, "utf-8-sig") or reading.says(self.sources, "utf_8_sig")

    def _absent(self, table: Table, absent: Sequence[str]) -> Finding:
        named = in_a_row(table.columns, 8) or "none"
        near = difflib.get_close_matches(absent[0].strip().lower(), [each.strip().lower() for each in table.columns], 1)
        similar = next((each for each in table.columns if near and each.strip().lower() == near[0]), "")
        cause = (
            f"it has {similar}, which is written otherwise" if similar else "the table is another one, or was changed"
        )
        if table.columns and all(_is_number(each) for each in table.columns):
            cause = "its first line holds numbers: there is no header"
        return self._say(
            "columns",
            f"{shown(table.path)} has no column {in_a_row(absent)}: its columns are {named}",
            found=named,
            wanted=in_a_row(absent, 8),
            cause=cause,
            fix="Correct the name, or the table",
        )

    def _judge_shape(self, table: Table, rows: int) -> Iterator[Finding]:
        """Say that rows have another number of cells than the header; where most have, that is the table's own way."""
        ragged = table.ragged
        if self.asked and 0 < ragged.count <= rows / 2:
            yield self._say(
                "ragged-rows",
                f"{shown(table.path)}: {counted(ragged.count, 'row')} of {rows} has another number of cells than the "
                f"header: {ragged.cells} in place of {len(table.columns)} at row {ragged.row}",
                cause="a delimiter within a cell that is not quoted, or a line that was cut off",
                fix="Quote the cell, or complete the row",
            )

    def _judge_rows(self, rows: int, number: int) -> Iterator[Finding]:
        wanted = self.entry.rows
        if not wanted:
            return
        in_all = f" in {counted(number, 'table')}" if number > 1 else ""
        for is_wrong, limit in (
            (wanted.min is not None and rows < wanted.min, f"at least {wanted.min}"),
            (wanted.max is not None and rows > wanted.max, f"at most {wanted.max}"),
        ):
            if is_wrong:
                message = f"{self.entry.path} has {counted(rows, 'row')}{in_all}, {limit} are wanted"
                fix = "Fetch the rest, or correct `rows`"
                yield self._say("rows", message, found=str(rows), wanted=limit, fix=fix)

    def _judge_column(self, column: Column) -> Iterator[Finding]:
        values = self.entry.values.get(column.name, Values())
        if values.between and column.outside.count:
            yield self._out_of_range(column, values.between)
        elif values.between is None and self._is_label(column.name):
            yield from self._judge_labels(column)
        if values.between and column.texts.count:
            yield self._some(
                column, "values", column.texts, "is no number" if column.texts.count == 1 else "are no numbers"
            )
        if column.foreign.count:
            wanted = in_a_row([*column.one_of], 8)
            yield self._some(column, "values", column.foreign, f"are none of {wanted}", wanted=wanted)
        if column.repeated.count:
            yield self._some(column, "repeated", column.repeated, "repeat an earlier one")
        yield from self._judge_missing(column, values)

    def _out_of_range(self, column: Column, between: tuple[float, float]) -> Finding:
        wanted = f"{between[0]:g}..{between[1]:g}"
        of_classes = f" (num_classes is {self.classes[1]})" if self._is_label(column.name) else ""
        return self._some(
            column,
            "values",
            column.outside,
            f"are out of range {wanted}{of_classes}",
            found=f"{column.low:g}..{column.high:g}",
            wanted=wanted,
            cause=f"the column runs {column.low:g}..{column.high:g}",
        )

    def _judge_labels(self, column: Column) -> Iterator[Finding]:
        """Say that labels are too large, where nothing in the program's text tells that it changes them."""
        key, classes = self.classes
        if not (column.is_numeric and column.is_whole and column.low >= 0 and classes <= column.high <= 10 * classes):
            return
        if not self.sources or reading.MAPS_LABELS & self.names or reading.shifts_labels(self.sources, column.name):
            return
        yield self._some(
            column,
            "label-range",
            column.outside,
            f"are out of range 0..{classes - 1} of {key} {classes}",
            found=f"{column.low:g}..{column.high:g}",
            wanted=f"0..{classes - 1}",
            cause=f"the labels begin at {column.low:g}: max is {column.high:g}, and the largest class is {classes - 1}",
            fix=f"Subtract 1 from the labels, or correct {key}" if column.low == 1 else f"Correct {key} or the labels",
        )

    def _judge_missing(self, column: Column, values: Values) -> Iterator[Finding]:
        missing = column.missing
        allowed = self.entry.missing if values.missing is None else values.missing
        if not missing.count or allowed:
            return
        few = column.is_numeric and missing.count < FEW * column.cells
        unforeseen = not self.asked and few and self.sources and not reading.FILLS_GAPS & self.names
        if allowed is None and not unforeseen:
            return
        yield self._some(
            column,
            "missing-cells",
            missing,
            "are missing" if missing.count > 1 else "is missing",
            say=warning if allowed is None else error,
            cause="the source had no value there; read as a number it is NaN, and so is every loss that it enters",
            fix="Fill or drop them; where they are meant to be, have the entry say `missing: true`",
        )

    def _some(self, column: Column, name: str, cells: Cells, words: str, **more: Any) -> Finding:
        """Say one thing of some cells of a column, naming the first."""
        first = (
            f"{cells.shown!r} at row {cells.row}"
            if not _is_number(cells.shown)
            else f"{cells.shown} at row {cells.row}"
        )
        number = f"{cells.count} of {column.cells} values"
        fix = more.pop("fix", "Correct the table, or what the entry says of it")
        evidence = {"column": column.name, "count": cells.count, "row": cells.row, "value": cells.shown[:100]}
        message = f"{shown(cells.path)}: {column.name}: {number} {words}: {first}"
        return self._say(name, message, fix=fix, evidence={"file": cells.path, **evidence}, **more)

    def _unreadable(self, path: str, problem: Unreadable) -> Iterator[Finding]:
        if not self.asked and problem.kind != "encoding":
            return
        fix = ENCODINGS if problem.kind == "encoding" else "Correct the row, or fetch the table again"
        say = error if self.asked or self.is_meant else warning
        name = problem.kind if problem.kind == "encoding" else "bad-row"
        where = f": {problem.cause}" if problem.kind == "encoding" else ""
        yield self._say(name, f"{shown(path)} {problem}{where}", say=say, cause=problem.cause, fix=fix)

    def _not_opened(self, path: str, library: str) -> Iterator[Finding]:
        if self.asked:
            fix = "Install it where the experiment reads the table with it"
            yield self._say(
                "not-opened", f"{shown(path)} cannot be opened: {library} is not installed", say=info, fix=fix
            )

    def _say(self, name: str, message: str, *, say: Any = error, **more: Any) -> Finding:
        found: Finding = say(message, id=f"tables.{name}", file=self.entry.at.file, line=self.entry.at.line, **more)
        return found


def _names_labels(name: str) -> bool:
    """Tell whether a column or an array is called `label`, `y_train` or the like."""
    return bool(words := set(name.lower().split("_")) - PARTS) and (name.lower() in LABELS or words <= LABELS)


def _class_count(experiment: Mapping[str, Any]) -> tuple[str, int]:
    """Return the key and number of classes that the experiment names; 0 where it names none, or several."""
    found = dict(_class_keys(experiment))
    return next(iter(found.items())) if len(set(found.values())) == 1 else ("", 0)


def _class_keys(node: Any) -> Iterator[tuple[str, int]]:
    children: Iterable[Any] = node if isinstance(node, list) else ()
    if isinstance(node, Mapping):
        children = node.values()
        for key, value in node.items():
            if str(key).lower() in CLASSES and isinstance(value, int) and not isinstance(value, bool) and value > 1:
                yield str(key), value
    for child in children:
        yield from _class_keys(child)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
