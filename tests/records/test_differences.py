"""What differs between two worlds, in words and in the order of what it tells."""

import pytest

from preflight.model import Finding, Report, Result, Severity, Status
from preflight.records.differences import Difference, by_kind, compare, suspects_of
from preflight.records.world import HIDDEN, world_of


def told(before: dict, after: dict, kind: str, suspects: str = "") -> list[str]:
    return [str(each) for each in compare({kind: before}, {kind: after}, suspects)]


def test_values_in_words() -> None:
    before = {"torch": "2.12.1", "gone": "1", "same": "3"}
    after = {"torch": "2.13.0", "same": "3", "new": "2"}
    assert told(before, after, "packages") == ["torch 2.12.1 → 2.13.0", "new (none) → 2", "gone 1 → (none)"]


@pytest.mark.parametrize(
    ("before", "after", "wanted"),
    [
        ({"size": 52_000_000, "modified": 1}, {"size": 131, "modified": 2, "sha256": "a"}, "x 52 MB → 131 B"),
        ({"size": 10, "modified": 1, "sha256": "a"}, {"missing": True}, "x 10 B → missing"),
        (
            {"files": 3, "size": 10, "modified": 1},
            {"files": 2, "size": 9, "modified": 1},
            "x 3 files of 10 B → 2 files of 9 B",
        ),
        ({"size": 10, "modified": 1}, {"error": "Permission denied"}, "x 10 B → Permission denied"),
        ({"entries": 30_000, "modified": 1}, {"entries": 30_001, "modified": 2}, "x 30,000 entries → 30,001 entries"),
        ({"size": 10, "modified": 1}, None, "x 10 B → (none)"),
    ],
)
def test_data_in_words(before: dict, after: dict | None, wanted: str) -> None:
    assert told({"x": before, "y": 1}, {"x": after, "y": 1}, "data") == [wanted]


def test_what_was_only_touched_is_no_difference() -> None:
    one, other = {"size": 10, "modified": 1, "sha256": "a"}, {"size": 10, "modified": 2, "sha256": "a"}
    assert told({"x": one}, {"x": other}, "data") == []


def test_other_content_of_the_same_size_has_its_time() -> None:
    one, other = {"size": 10, "modified": 10**18, "sha256": "a"}, {"size": 10, "modified": 2 * 10**18, "sha256": "b"}
    assert told({"x": one}, {"x": other}, "data")[0].startswith("x 10 B of 2001-09-09 ")


def test_limits_are_sizes() -> None:
    assert told({"ram": 64 * 10**9, "nofile": -1}, {"ram": 8 * 10**9, "nofile": 1024}, "limits") == [
        "ram 64 GB → 8 GB",
        "nofile -1 → 1024",
    ]


def test_a_side_that_knows_nothing_is_not_compared() -> None:
    assert compare({"packages": {}}, {"packages": {"torch": "2"}}) == []
    assert compare({}, {"packages": {"torch": "2"}}) == []


def test_what_was_found_wrong_comes_first_then_the_first_of_each_kind() -> None:
    before = {
        "data": {"a": {"missing": True}, "b": {"size": 1}},
        "packages": {"numpy": "1", "torch": "1"},
        "config": {"lr": 1},
    }
    after = {
        "data": {"a": {"size": 1}, "b": {"size": 2}},
        "packages": {"numpy": "2", "torch": "2"},
        "config": {"lr": 2},
    }
    names = [each.name for each in compare(before, after, "torch 2 needs CUDA 13")]
    assert names == ["torch", "a", "lr", "b", "numpy"]
    assert [each.name for each in compare(before, after)][:3] == ["a", "numpy", "lr"]


@pytest.mark.parametrize(
    ("text", "is_first"), [("flash_attn is missing", True), ("xflash-attn", False), ("flash-attention", False)]
)
def test_a_name_is_a_whole_word(text: str, is_first: bool) -> None:
    before, after = {"packages": {"a": "1", "flash-attn": "1"}}, {"packages": {"a": "2", "flash-attn": "2"}}
    assert (compare(before, after, text)[0].name == "flash-attn") is is_first


def test_suspects_are_what_failed() -> None:
    bad = Finding(severity=Severity.ERROR, message="data/train.csv is empty", cause="a copy", evidence={"x": "torch"})
    fine = Finding(severity=Severity.WARNING, message="numpy is old")
    results = [
        Result(check="data.x", status=Status.FAILED, findings=(bad,)),
        Result(check="packages.y", status=Status.PASSED, findings=(fine,)),
    ]
    text = suspects_of(Report(results=results))
    assert "data/train.csv" in text
    assert "numpy" not in text


def test_groups_by_kind() -> None:
    every = [Difference(kind=kind, name=name, before="", after="") for kind, name in ("ax", "by", "az")]
    assert [(kind, [each.name for each in group]) for kind, group in by_kind(every)] == [
        ("a", ["x", "z"]),
        ("b", ["y"]),
    ]


CONFIG = """
lr: 0.1
model: {layers: [1, 2], blocks: [{width: 3}, {width: 4}]}
wandb: {api_key: abc123, authToken: def456, project: x}
password: hunter2
tokenizer: bert
max_tokens_per_batch: 100
url: https://me:secret@example.org/data?signature=abc
env: ${oc.env:HOME}/x
empty: {}
"""


def test_a_config_is_flat_and_tells_no_secret() -> None:
    values = world_of({}, CONFIG)["config"]
    assert values == {
        "lr": 0.1,
        "model.layers": [1, 2],
        "model.blocks[0].width": 3,
        "model.blocks[1].width": 4,
        "wandb.api_key": HIDDEN,
        "wandb.authToken": HIDDEN,
        "wandb.project": "x",
        "password": HIDDEN,
        "tokenizer": "bert",
        "max_tokens_per_batch": HIDDEN,
        "url": "https://example.org/data",
        "env": "${oc.env:HOME}/x",
        "empty": "{}",
    }


@pytest.mark.parametrize("text", ["[", "a: b: c", "\0", "- 1", "3", ""])
def test_what_is_no_config_has_no_values(text: str) -> None:
    assert isinstance(world_of({}, text)["config"], dict)


def test_what_no_two_jobs_have_in_common_is_no_difference() -> None:
    worlds = [world_of({"variables": {"SLURM_JOB_ID": job, "OMP_NUM_THREADS": "1"}}) for job in ("1", "2")]
    assert compare(*worlds) == []


def test_another_environment_is_told() -> None:
    before, after = (world_of({"python": "3.12", "prefix": prefix}) for prefix in ("/env/a", "/env/b"))
    assert [str(each) for each in compare(before, after)] == ["environment /env/a → /env/b"]


def test_a_world_of_nothing() -> None:
    assert not any(world_of({}).values())
