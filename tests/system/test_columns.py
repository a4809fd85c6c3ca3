import textwrap

import pytest

from preflight.system.amounts import Amounts
from preflight.system.code import parse_file
from preflight.system.columns import read_columns
from preflight.system.flow import Flow


@pytest.fixture
def columns(tmp_path):
    def read(text):
        path = tmp_path / "train.py"
        path.write_text(textwrap.dedent(text))
        flow = Flow([parse_file(path)])
        return read_columns(flow, Amounts(flow, {}.get))

    return read


@pytest.mark.parametrize(
    "text",
    [
        "row['label']",
        "row.get('label')",
        "df.pop('label')",
        "df[['x', 'label']]",
        "df.loc[:, 'label']",
        "pd.read_csv(path, usecols=['x', 'label'])",
        "df.drop(columns=['label'])",
        "FEATURES = ['x', 'label']\ndf[FEATURES]",
        "for name in ['x', 'label']:\n    df[name]",
        "row[f'la{x}']",
        "row['l%s' % x]",
        "row['%03dbel' % x]",
    ],
)
def test_columns_that_the_code_names_are_known(columns, text):
    assert columns(text).has("label")
    assert not columns(text).has("other")


@pytest.mark.parametrize("text", ["print('label')", "row[f'{x}']", "row['%s' % x]", "row[label]", "x = 'label'"])
def test_other_texts_are_no_columns(columns, text):
    assert not columns(text).has("label")


def test_classes_are_taken_from_what_is_called_so(columns):
    assert columns("Net(num_classes=10)").classes == 10
    assert columns("Net(num_classes=n)").classes == 0


def test_the_rest_of_a_table_is_taken_as_numbers(columns):
    rest = "y = frame.pop('y')\nx = frame.drop(columns=['id']).to_numpy(dtype=float)\n"
    assert columns(rest).rest
    assert not columns("x = frame.drop(columns=['id'])").rest
    assert not columns(rest + "frame = frame.fillna(0)").rest
    assert not columns(rest + "frame = pandas.get_dummies(frame)").rest
    assert not columns("x = frame['a'].to_numpy()").rest
