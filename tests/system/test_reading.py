"""What a program's text tells of how it reads its data."""

import ast
from pathlib import Path

import pytest

from preflight.system import reading
from preflight.system.code import Source


def program(text: str) -> list[Source]:
    return [Source(path=Path("train.py"), tree=ast.parse(text))]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("import torch\ntorch.load(p)", [None]),
        ("import torch as t\nt.load(p, weights_only=False)", [False]),
        ("from torch import load as l\nl(p, map_location=d, weights_only=True)", [True]),
        ("import torch\ntorch.load(p, **options)", [False]),
        ("import torch\ntorch.load(p, weights_only=flag)", [False]),
        ("import json\njson.load(p)", []),
    ],
)
def test_checkpoint_loads(text: str, found: list[bool | None]) -> None:
    assert reading.checkpoint_loads(program(text)) == found


@pytest.mark.parametrize(
    ("text", "shifts"),
    [
        ("y = int(row['label']) - 1", True),
        ("y -= 1", True),
        ("y = torch.tensor([int(r['kind']) for r in rows]) - 1", True),
        ("y = labels % 10", True),
        ("for i in range(len(x) - 1): pass", False),
        ("if step % 10 == 0: print(step)", False),
        ("y = int(row['label']) + 1", False),
    ],
)
def test_labels_that_are_shifted(text: str, shifts: bool) -> None:
    assert reading.shifts_labels(program(text), "kind") is shifts


def test_names_and_texts() -> None:
    sources = program("import csv\nf = open(p, encoding='utf-8-sig')\ndf.fillna(0)")
    assert {"csv", "encoding", "fillna", "df"} <= reading.names_in(sources)
    assert reading.says(sources, "utf-8-sig")
    assert not reading.says(sources, "encoding")
