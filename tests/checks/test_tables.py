"""Tables that are not what the experiment takes, each beside its healthy neighbour."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from preflight.config import Config, Data, Files, Location, Rows, Values
from preflight.model import Finding, Severity, Status
from preflight.testing import run_check

AT = Location("foo.yaml", 3, "preflight.data[0]")
LABELS = [*(1 + each % 9 for each in range(1500)), *(1 + each % 10 for each in range(500))]
PROGRAM = "import csv\nrows = list(csv.DictReader(open('a.csv')))\nlabels = [int(row['label']) for row in rows]\n"
PANDAS = "import pandas\nframe = pandas.read_csv('a.csv')\n"


@pytest.fixture
def checks(load_check_file: Callable[[str], ModuleType]) -> ModuleType:
    return load_check_file("tables")


@pytest.fixture
def judge(checks: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Finding]]:
    monkeypatch.chdir(tmp_path)
    Path("train.py").write_text(PROGRAM)

    def judge(path: str = "a.csv", *, experiment: dict[str, Any] | None = None, **more: Any) -> list[Finding]:
        config = Config(experiment=experiment or {})
        entry = Data(path=path, at=AT, **more)
        return list(checks.check_hold_what_is_wanted(entry=entry, root=tmp_path, config=config))

    return judge


def only(findings: list[Finding]) -> Finding:
    assert len(findings) == 1, findings
    assert (findings[0].file, findings[0].line) == ("foo.yaml", 3)
    return findings[0]


def write(text: str | bytes, name: str = "a.csv") -> None:
    Path(name).write_bytes(text.encode() if isinstance(text, str) else text)


def labelled(labels: list[int]) -> str:
    return "x,label\n" + "".join(f"0.5,{each}\n" for each in labels)


def test_a_column_that_is_not_there(judge: Any) -> None:
    write("id,Label\n1,2\n")
    finding = only(judge(columns=("id", "label")))
    assert finding.id == "tables.columns"
    assert "a.csv has no column label: its columns are id, Label" in finding.message
    assert "Label" in finding.cause
    assert not judge(columns=("id", "Label"))


def test_a_table_without_a_header(judge: Any) -> None:
    write("1,2\n3,4\n")
    assert "no header" in only(judge(columns=("id",))).cause


def test_a_column_whose_values_are_named(judge: Any) -> None:
    write("id\n1\n")
    assert only(judge(values={"label": Values(between=(0, 9))})).id == "tables.columns"
    write("id,label\n1,3\n")
    assert not judge(values={"label": Values(between=(0, 9))})


def test_a_shard_without_a_column(judge: Any) -> None:
    for number, name in enumerate(["label", "label", "lable"]):
        pa.parquet.write_table(pa.table({"x": [1], name: [2]}), f"{number}.parquet")
    assert "2.parquet has no column label" in only(judge("*.parquet", columns=("x", "label"))).message
    pa.parquet.write_table(pa.table({"x": [1], "label": [2]}), "2.parquet")
    assert not judge("*.parquet", columns=("x", "label"))


def test_another_delimiter(judge: Any) -> None:
    write("id;label\n1;2\n")
    assert [each.id for each in judge(columns=("id",))] == ["tables.delimiter"]
    Path("train.py").write_text(PANDAS.replace("'a.csv'", "'a.csv', sep=';'"))
    assert not judge(columns=("id", "label"))
    write("id\tlabel\n1\t2\n", "a.tsv")
    assert not judge("a.tsv", columns=("id", "label"))


def test_a_byte_order_mark(judge: Any) -> None:
    write(b"\xef\xbb\xbfid,label\n1,2\n")
    finding = only(judge(columns=("id", "label")))
    assert (finding.id, finding.severity) == ("tables.byte-order-mark", Severity.ERROR)
    assert only(judge()).severity is Severity.WARNING
    Path("train.py").write_text(PROGRAM.replace("'a.csv'", "'a.csv', encoding='utf-8-sig'"))
    assert not judge(columns=("id", "label"))
    Path("train.py").write_text(PANDAS)
    assert not judge(columns=("id", "label"))


def test_another_encoding(judge: Any) -> None:
    write("id,name\n1,André\n".encode("latin-1"))
    finding = only(judge(columns=("id",)))
    assert (finding.id, finding.severity) == ("tables.encoding", Severity.ERROR)
    assert "byte 0xe9 at offset 14, in line 2" in finding.message
    assert only(judge()).severity is Severity.WARNING
    assert only(judge(encoding="utf-8")).severity is Severity.ERROR
    assert not judge(encoding="latin-1")
    Path("train.py").write_text("import codecs\nrows = list(codecs.open('a.csv', 'r', 'ISO-8859-1'))\n")
    assert not judge()
    Path("train.py").write_text(PANDAS.replace("'a.csv'", "'a.csv', encoding='cp1252'"))
    assert not judge(columns=("id",))
    Path("train.py").write_text(PROGRAM)
    write("id,name\n1,André\n")
    assert not judge(columns=("id",))


def test_another_encoding_than_the_one_that_the_program_names(judge: Any) -> None:
    write('{"text": "André"}\n'.encode("latin-1"), "a.jsonl")
    Path("train.py").write_text("import json\nfor line in open('a.jsonl', encoding='utf-8'):\n    json.loads(line)\n")
    assert only(judge("a.jsonl")).severity is Severity.WARNING
    assert only(judge(".", files=Files(glob="*.jsonl"))).severity is Severity.ERROR
    Path("train.py").write_text("import json\nfor line in open('a.jsonl', 'rb'):\n    json.loads(line)\n")
    assert only(judge(".", files=Files(glob="*.jsonl"))).severity is Severity.WARNING
    Path("train.py").write_text("import json\nfor line in open('a.jsonl', errors='ignore'):\n    json.loads(line)\n")
    assert not judge(".", files=Files(glob="*.jsonl"))
    Path("train.py").write_text(
        "import json\nfor line in open('a.jsonl', 'rb'):\n    json.loads(line.decode('cp1252'))\n"
    )
    assert not judge(".", files=Files(glob="*.jsonl"))


def test_rows_of_another_length(judge: Any) -> None:
    write("id,name\n1,a\n2,b,c\n3,d\n")
    finding = only(judge(columns=("id",)))
    assert finding.id == "tables.ragged-rows"
    assert "3 in place of 2 at row 2" in finding.message
    assert not judge()
    write("id,name\n1,a,\n2,b,\n3,d,\n")
    assert not judge(columns=("id",))


def test_a_row_that_is_no_json(judge: Any) -> None:
    write('{"x": 1}\n{"x": \n{"x": 3}\n', "a.jsonl")
    finding = only(judge("a.jsonl", columns=("x",)))
    assert finding.id == "tables.bad-row"
    assert "row 2 is no JSON" in finding.message
    write('{"x": 1}\n{"x": 3}\n', "a.jsonl")
    assert not judge("a.jsonl", columns=("x",))


def test_the_number_of_rows(judge: Any) -> None:
    for name in ("a.csv", "b.csv"):
        write("x\n1\n2\n", name)
    finding = only(judge("*.csv", rows=Rows(min=5)))
    assert finding.id == "tables.rows"
    assert "*.csv has 4 rows in 2 tables, at least 5 are wanted" in finding.message
    assert only(judge("*.csv", rows=Rows(max=3))).id == "tables.rows"
    assert not judge("*.csv", rows=Rows(min=4, max=4))


@pytest.mark.parametrize("cell", ["", "?", "nan"])
def test_a_missing_cell(cell: str, judge: Any) -> None:
    write("id,glucose\n" + "".join(f"{each},{cell if each == 612 else 90}\n" for each in range(1, 769)))
    for more in ({"missing": False}, {"values": {"glucose": Values(missing=False)}}):
        finding = only(judge(**more))
        assert (finding.id, finding.severity) == ("tables.missing-cells", Severity.ERROR)
        assert "glucose: 1 of 768 values is missing: " in finding.message
        assert finding.message.endswith("at row 612")
    assert only(judge()).severity is Severity.WARNING
    assert not judge(missing=True)
    assert not judge(columns=("glucose",))
    Path("train.py").write_text(PANDAS + "frame = frame.fillna(0)\n")
    assert not judge()


def test_gaps_that_are_a_property_of_the_data(judge: Any) -> None:
    write(
        "id,x,country\n"
        + "".join(f"{each},{each if each % 3 else ''},{'NA' if each % 9 else ''}\n" for each in range(99))
    )
    assert not judge()
    write("id,x\n" + "".join(f"{each},{each}\n" for each in range(99)))
    assert not judge(missing=False)


def test_values_out_of_range(judge: Any) -> None:
    write(labelled(LABELS))
    finding = only(judge(values={"label": Values(between=(0, 9))}))
    assert finding.id == "tables.values"
    assert "a.csv: label: 50 of 2000 values are out of range 0..9: 10 at row 1510" in finding.message
    assert (finding.found, finding.wanted) == ("1..10", "0..9")
    assert not judge(values={"label": Values(between=(1, 10))})


def test_text_where_a_number_is_wanted(judge: Any) -> None:
    write("x\n1\nten\n3\n")
    finding = only(judge(values={"x": Values(between=(0, 9))}))
    assert "1 of 3 values is no number: 'ten' at row 2" in finding.message


def test_values_that_are_none_of_a_set(judge: Any) -> None:
    write("kind\ncat\ndog\nDog\n")
    finding = only(judge(values={"kind": Values(one_of=("cat", "dog"))}))
    assert finding.id == "tables.values"
    assert "'Dog' at row 3" in finding.message
    assert not judge(values={"kind": Values(one_of=("cat", "dog", "Dog"))})


def test_values_that_repeat(judge: Any) -> None:
    write("id\n1\n2\n1\n")
    finding = only(judge(values={"id": Values(unique=True)}))
    assert finding.id == "tables.repeated"
    assert "1 at row 3" in finding.message
    write("id\n1\n2\n3\n")
    assert not judge(values={"id": Values(unique=True)})


@pytest.mark.parametrize("experiment", [{"num_classes": 10}, {"model": {"num_classes": 10}}])
def test_labels_that_do_not_fit_the_classes(experiment: dict[str, Any], judge: Any) -> None:
    write(labelled(LABELS))
    finding = only(judge(experiment=experiment))
    assert (finding.id, finding.severity) == ("tables.label-range", Severity.ERROR)
    assert "label: 50 of 2000 values are out of range 0..9 of num_classes 10: 10 at row 1510" in finding.message
    assert "Subtract 1" in finding.fix
    write(labelled([each - 1 for each in LABELS]))
    assert not judge(experiment=experiment)


@pytest.mark.parametrize(
    "experiment",
    [{}, {"num_classes": 11}, {"num_classes": "10"}, {"a": {"num_classes": 10}, "b": {"num_classes": 20}}],
)
def test_labels_that_fit_or_cannot_be_judged(experiment: dict[str, Any], judge: Any) -> None:
    write(labelled(LABELS))
    assert not judge(experiment=experiment)


@pytest.mark.parametrize(
    "program",
    [
        PROGRAM.replace("int(row['label'])", "int(row['label']) - 1"),
        PROGRAM + "labels = LabelEncoder().fit_transform(labels)\n",
        PROGRAM + "names = sorted(set(labels))\n",
    ],
)
def test_a_program_that_changes_its_labels_is_believed(program: str, judge: Any) -> None:
    Path("train.py").write_text(program)
    write(labelled(LABELS))
    assert not judge(experiment={"num_classes": 10})


def test_prices_are_no_labels(judge: Any) -> None:
    write("x,y\n" + "".join(f"1,{each * 1000}\n" for each in range(1, 99)))
    assert not judge(experiment={"num_classes": 10})
    write("x,target\n" + "".join(f"1,{each}.5\n" for each in range(1, 99)))
    assert not judge(experiment={"num_classes": 10})


def test_labels_in_parquet(judge: Any) -> None:
    pa.parquet.write_table(pa.table({"x": [0.5] * 2000, "label": LABELS}), "a.parquet")
    assert only(judge("a.parquet", experiment={"num_classes": 10})).id == "tables.label-range"
    pa.parquet.write_table(pa.table({"x": [0.5] * 2000, "label": [each - 1 for each in LABELS]}), "a.parquet")
    assert not judge("a.parquet", experiment={"num_classes": 10})


def test_an_array_of_labels(judge: Any) -> None:
    np.save("y_train.npy", np.array(LABELS))
    finding = only(judge("y_train.npy", experiment={"num_classes": 10}))
    assert finding.id == "tables.label-range"
    np.save("y_train.npy", np.array(LABELS) - 1)
    assert not judge("y_train.npy", experiment={"num_classes": 10})
    np.save("x_train.npy", np.array(LABELS))
    assert not judge("x_train.npy", experiment={"num_classes": 10})


def test_a_library_that_is_not_installed_is_said(judge: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    pa.parquet.write_table(pa.table({"x": [1]}), "a.parquet")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    finding = only(judge("a.parquet", columns=("x",)))
    assert (finding.id, finding.severity) == ("tables.not-opened", Severity.INFO)
    assert not judge("a.parquet")


def test_what_other_checks_say_is_not_said_again(judge: Any) -> None:
    pa.parquet.write_table(pa.table({"x": list(range(999))}), "a.parquet")
    content = Path("a.parquet").read_bytes()
    write(content[:-100], "a.parquet")
    write("", "empty.csv")
    assert not judge("nowhere.csv", columns=("x",))
    for path in ("a.parquet", "empty.csv"):
        with pytest.raises(pytest.skip.Exception):
            judge(path, columns=("x",))
        assert not judge(path)


def test_files_that_are_no_tables(judge: Any) -> None:
    Path("data").mkdir()
    write("{}", "data/a.json")
    assert not judge("data", files=Files(glob="*.json"))
    with pytest.raises(pytest.skip.Exception, match="holds no table"):
        judge("data", columns=("x",))


def test_as_a_run_sees_it(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"label": each}) + "\n" for each in LABELS))
    config = {"preflight": {"data": [{"path": "a.jsonl", "values": {"label": {"between": [0, 9]}}}]}}
    (result,) = run_check("tables.hold-what-is-wanted", config, root=tmp_path)
    assert result.status is Status.FAILED
    config["preflight"]["data"][0]["values"] = {"label": {"between": [1, 10]}}
    (result,) = run_check("tables.hold-what-is-wanted", config, root=tmp_path)
    assert result.status is Status.PASSED
