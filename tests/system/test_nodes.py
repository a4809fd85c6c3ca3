"""What PyYAML makes of a config, and of one that it refuses."""

import pytest

from preflight.system.nodes import composed, refusal, scalars


def test_the_values_of_the_experiments_part() -> None:
    text = "lr: 1e-4\npreflight: {imports: [torch]}\nmodel:\n  sizes: [3, 'x']\n  preflight: 5\n"
    assert {key: node.value for key, node in scalars(text)} == {
        ("lr",): "1e-4",
        ("model", "sizes", 0): "3",
        ("model", "sizes", 1): "x",
        ("model", "preflight"): "5",
    }


def test_what_aliases_share_comes_once() -> None:
    assert [key for key, _ in scalars("a: &a {b: 1}\nc: *a\n")] == [("a", "b")]


@pytest.mark.parametrize("text", ["", "# nothing\n", "a: &x 1\nb: &x 2\n", "just a word"])
def test_nothing_to_see(text: str) -> None:
    assert list(scalars(text)) == []


def test_a_refusal() -> None:
    assert refusal("a: &x 1\nb: &x 2\n") == ("found duplicate anchor 'x'", 2)
    assert refusal("a: 1\n") is None
    assert composed("a: &x 1\nb: &x 2\n") is None
