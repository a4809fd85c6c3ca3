"""Where code goes through sets, asks for hashes, or asks at import for what is another in each process."""

from pathlib import Path

import pytest

from preflight.system.unordered import find_at_import, find_divided, find_unordered


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "code.py"


@pytest.mark.parametrize(
    "line",
    [
        "list(set(rows))",
        "for each in {1, 2}: pass",
        "{name: n for n, name in enumerate(frozenset(rows))}",
        "[each for each in set(rows)]",
        "', '.join(set(rows))",
        "[*set(rows)]",
        "set(rows).pop()",
        "hash('text') % 10",
        "names = set(rows); order = list(names)",
        "names = set(rows) | set(others); print(*[name for name in names])",
    ],
)
def test_an_order_that_is_another_in_each_process(file: Path, line: str) -> None:
    file.write_text(f"rows = others = ['a']\n{line}\n")
    assert [each.line for each in find_unordered(file)] == [2]


@pytest.mark.parametrize(
    "line",
    [
        "sorted(set(rows))",
        "len(set(rows))",
        "sum(1 for each in set(rows))",
        "sorted(each for each in set(rows))",
        "'a' in set(rows)",
        "names = set(rows); names = sorted(names); list(names)",
        "list(dict.fromkeys(rows))",
        "obj.hash('text')",
    ],
)
def test_an_order_that_does_not_matter(file: Path, line: str) -> None:
    file.write_text(f"rows = obj = ['a']\n{line}\n")
    assert find_unordered(file) == []


def test_what_is_asked_at_import(file: Path) -> None:
    file.write_text(
        "import os\nRNG = np.random.default_rng()\ndef step():\n    return os.listdir('.')\n"
        "class Data:\n    names = os.listdir('.')\nif __name__ == '__main__':\n    os.listdir('.')\n"
    )
    assert find_at_import(file) == [2, 6]


def test_work_that_is_divided(file: Path) -> None:
    file.write_text("import torch\nsize = len(rows) // torch.get_num_threads()\nrows = 'threading.Thread'\n")
    assert [each.line for each in find_divided(file)] == [2]


def test_a_file_that_is_no_python(file: Path) -> None:
    file.write_text("no python {")
    assert find_unordered(file) == find_at_import(file) == []
    assert find_divided(file.with_name("absent.py")) == []
