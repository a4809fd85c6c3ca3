import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from preflight.draft import contents
from preflight.draft.contents import looked_into
from preflight.system.columns import Columns

WIDTHS = "id,width,label\n" + "".join(f"a{n},{n / 2},{n % 4}\n" for n in range(40))
NAMED = Columns(frozenset({"width", "label"}), classes=4)


@pytest.fixture
def table(tmp_path):
    def look(text, columns=NAMED, name="train.csv"):
        (tmp_path / name).write_text(text)
        return looked_into(str(tmp_path / name), "", columns)

    return look


def test_a_table_is_described_by_what_holds_in_every_row(table):
    assert table(WIDTHS) == {
        "columns": ["width", "label"],
        "values": {"width": {"missing": False}, "label": {"missing": False, "between": [0, 3]}},
    }


@pytest.mark.parametrize(
    ("change", "values"),
    [
        (("a3,1.5,3", "a3,,3"), {"label": {"missing": False, "between": [0, 3]}}),
        (("a3,1.5,3", "a3,nan,3"), {"label": {"missing": False, "between": [0, 3]}}),
        (("a3,1.5,3", "a3,1.5,4"), {"width": {"missing": False}, "label": {"missing": False}}),
        (("a3,1.5,3", "a3,1.5,-1"), {"width": {"missing": False}, "label": {"missing": False}}),
        (("a3,1.5,3", "a3,1.5,2.5"), {"width": {"missing": False}, "label": {"missing": False}}),
        (("a3,1.5,3", "a3,wide,cat"), None),
    ],
)
def test_what_does_not_hold_now_is_not_wanted(table, change, values):
    assert table(WIDTHS.replace(*change)).get("values") == values


def test_classes_are_wanted_of_labels_only_and_where_they_are_known(table):
    without = Columns(NAMED.names)
    assert table(WIDTHS, without)["values"]["label"] == {"missing": False}
    assert table(WIDTHS.replace("label", "grade"), Columns(frozenset({"grade"}), classes=4))["values"] == {
        "grade": {"missing": False}
    }


def test_where_the_code_names_no_column_all_of_them_count(table):
    assert table("a,b\n1,2\n3,4\n", Columns()) == {"missing": False}
    assert table("a,b\n1,x\n3,y\n", Columns()) == {"values": {"a": {"missing": False}}}


def test_where_the_code_takes_the_rest_as_numbers_all_columns_of_numbers_count(table):
    dropped = Columns(frozenset({"id"}), rest=True)
    assert table("id,a,note\n1,2,x\n2,3,y\n", dropped) == {
        "columns": ["id"],
        "values": {"id": {"missing": False}, "a": {"missing": False}},
    }


def test_of_parquet_the_columns_that_the_code_names_are_wanted(tmp_path):
    for name in ("1", "2"):
        pq.write_table(pa.table({"width": [1.0], "label": [2], name: [0]}), tmp_path / f"{name}.parquet")
    assert looked_into(str(tmp_path), "*.parquet", NAMED) == {"open": "all", "columns": ["width", "label"]}
    pq.write_table(pa.table({"label": [2]}), tmp_path / "2.parquet")
    assert looked_into(str(tmp_path), "*.parquet", NAMED) == {"open": "all", "columns": ["label"]}


@pytest.mark.parametrize(
    "text", ["", "width\n1\n", "1,2\n3,4\n", "width,width\n1,2\n", "width,label\n1,2,3\n", "\0\0", "a;b;c\n"]
)
def test_what_is_no_plain_table_is_not_described(table, text):
    assert table(text).get("values") is None


def test_of_a_large_table_only_the_columns_are_wanted(table, monkeypatch):
    monkeypatch.setattr(contents, "LARGEST_TABLES", 100)
    assert table(WIDTHS) == {"columns": ["width", "label"]}


def test_of_several_tables_what_they_share_is_wanted(tmp_path):
    (tmp_path / "a.csv").write_text("x,label,width\n1,2,3\n")
    (tmp_path / "b.csv").write_text("x,width\n1,\n")
    assert looked_into(str(tmp_path), "*.csv", NAMED) == {"columns": ["width"]}


def test_files_are_opened_all_or_a_sample(tmp_path, monkeypatch):
    for number in range(100):
        Image.new("RGB", (4, 4)).save(tmp_path / f"{number}.png")
    assert looked_into(str(tmp_path), "**/*.png", Columns()) == {"open": "all"}
    monkeypatch.setattr(contents, "MOST_OPENED", 1000)
    assert 1 <= looked_into(str(tmp_path), "**/*.png", Columns())["open"] < contents.SAMPLE
    monkeypatch.setattr(contents, "MOST_OPENED", 1)
    assert looked_into(str(tmp_path), "**/*.png", Columns()) == {}


def test_what_only_its_own_program_can_decode_is_not_opened(tmp_path):
    np.save(tmp_path / "objects.npy", np.array([{}], dtype=object), allow_pickle=True)
    assert looked_into(str(tmp_path / "objects.npy"), "", Columns()) == {}
    np.save(tmp_path / "numbers.npy", np.zeros(3))
    assert looked_into(str(tmp_path / "numbers.npy"), "", Columns()) == {"open": "all"}
    (tmp_path / "model.pt").write_bytes(b"x")
    assert looked_into(str(tmp_path / "model.pt"), "", Columns()) == {}
    assert looked_into(str(tmp_path / "nothing"), "", Columns()) == {}
