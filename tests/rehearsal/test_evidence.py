"""What counts between the outputs of two runs, and what passes."""

import pytest

from preflight.rehearsal.evidence import Evidence, Noise, evidence_of, text_difference
from preflight.rehearsal.program import Rehearsed


def told(text: str) -> Evidence:
    return evidence_of(Rehearsed(code=0, seconds=1.0, output=text, events=[]))


PASSING = [
    ("2026-11-26 21:08:01,123 INFO begins", "2026-11-27 03:11:59,007 INFO begins"),
    ("epoch 1 took 3.21s", "epoch 1 took 11.5s"),
    ("elapsed: 3.2", "elapsed: 0.7"),
    ("{'train_runtime': 0.53, 'samples_per_second': 12.3}", "{'train_runtime': 1.7, 'samples_per_second': 9.1}"),
    ("saved to /tmp/tmpab12/model.pt", "saved to /tmp/tmpzz99/model.pt"),
    ("<object at 0x7f00aa>", "<object at 0x7f11bb>"),
    ("\r 3%|# | 1/30 [00:01<00:09, 2.3it/s]", "\r 3%|# | 1/30 [00:04<00:40, 0.9it/s]"),
    ("run 20261126-210801-ab12cd", "run 20261127-031159-ff00aa"),
    ("started at 1764190000.25", "started at 1764290000.75"),
    ("\x1b[32mfine\x1b[0m", "fine"),
]


@pytest.mark.parametrize(("one", "other"), PASSING)
def test_what_passes(one: str, other: str) -> None:
    assert text_difference(told(one), told(other), Noise()) is None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("loss 0.6369", "loss 0.2697"),
        ("theta: 1.25", "theta: 1.50"),
        ("digest 1f2e3d4c", "digest 1f2e3d4d"),
        ("train ['a', 'b']", "train ['b', 'a']"),
        ("[0.5219839097124932]", "[0.1219839097124932]"),
    ],
)
def test_what_counts(one: str, other: str) -> None:
    assert text_difference(told(one), told(other), Noise()) is not None


def test_a_number_that_differs_in_one_world_says_nothing_about_two() -> None:
    one, again = told("step 3 loss 0.25 id 1234\nend"), told("step 3 loss 0.25 id 9876\nend")
    noise = Noise(one, again)
    assert text_difference(one, told("step 3 loss 0.25 id 5555\nend"), noise) is None
    assert text_difference(one, told("step 3 loss 0.75 id 5555\nend"), noise) is not None


def test_lines_of_several_processes_come_in_any_order() -> None:
    one, again = told("a 1\nb 2"), told("b 2\na 1")
    assert text_difference(one, again, Noise()) is not None
    assert text_difference(one, again, Noise(one, again)) is None
    assert text_difference(one, told("b 3\na 1"), Noise(one, again)) is not None
