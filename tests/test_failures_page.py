"""docs/failures.md names findings that checks document and tests that are there, and leaves no row out."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
NUMBERS = {"I": 20, "P": 6, "D": 24, "H": 14, "S": 10, "G": 16, "T": 8, "C": 7, "R": 9}
EVERYDAY = set("IPDHSC")
PAGE = (REPOSITORY / "docs/failures.md").read_text(encoding="utf-8")
THREAD = re.compile(r"\[(.+)#(\d+)\]\(https://github\.com/\1/issues/\2\)")
ROWS = [[cell.strip() for cell in line.split("|")[1:-1]] for line in PAGE.splitlines() if re.match(r"\| [A-Z]\d", line)]


@cache
def documented() -> frozenset[str]:
    """Return the ids that the docstrings of the built-in checks list."""
    texts = [path.read_text(encoding="utf-8") for path in (REPOSITORY / "preflight_checks").glob("check_*.py")]
    functions = [node for text in texts for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef)]
    pages = [ast.get_docstring(function) or "" for function in functions]
    return frozenset(name for page in pages for name in re.findall(r"^ *([a-z]+\.[\w-]+)  +\S", page, re.MULTILINE))


def answered(row: list[str]) -> bool:
    return row[2] != "-"


def test_every_row_is_there_once() -> None:
    assert [row[0] for row in ROWS] == sorted({row[0] for row in ROWS}, key=[row[0] for row in ROWS].index)
    assert {row[0] for row in ROWS} == {
        f"{letter}{number:02}" for letter, most in NUMBERS.items() for number in range(1, most + 1)
    }


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_a_row_keeps_its_word(row: list[str]) -> None:
    _, what, findings, shown, threads = row
    assert what
    assert threads == "-" or all(THREAD.fullmatch(each) for each in threads.split(", "))
    if not answered(row):
        assert shown.startswith("no, because ")
        return
    assert set(re.findall(r"`([^`]+)`", findings)) <= documented()
    file, _, name = shown.strip("`").partition("::")
    functions = ast.walk(ast.parse((REPOSITORY / "tests" / file).read_text(encoding="utf-8")))
    assert name in {node.name for node in functions if isinstance(node, ast.FunctionDef)}


def test_nearly_all_everyday_failures_are_found() -> None:
    everyday = [row for row in ROWS if row[0][0] in EVERYDAY]
    assert sum(map(answered, everyday)) >= 0.9 * len(everyday)
