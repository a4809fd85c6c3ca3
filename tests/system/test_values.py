"""Fingerprints of values: equal bits are equal, different bits are named by their path."""

import math
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preflight.system.values import differing, fingerprint

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.complex_numbers() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=10,
)


@given(PLAIN)
def test_a_value_equals_itself(value: Any) -> None:
    assert differing(fingerprint(value), fingerprint(value)) == []
    assert all(leaf.comparable for leaf in fingerprint(value).values())


@given(st.floats(), st.floats())
def test_floats_differ_by_bits(one: float, two: float) -> None:
    same = math.copysign(1, one) == math.copysign(1, two) and (one == two or (math.isnan(one) and math.isnan(two)))
    if not math.isnan(one) or not math.isnan(two):
        assert (differing(fingerprint(one), fingerprint(two)) == []) == same


@pytest.mark.parametrize(
    ("one", "two", "paths"),
    [
        ({"loss": 0.1, "lr": 1}, {"loss": 0.2, "lr": 1}, ["['loss']"]),
        ({"a": [1, (2, 3)]}, {"a": [1, (2, 4)]}, ["['a'][1][1]"]),
        ([1], [1, 2], ["", "[1]"]),
        (1, 1.0, [""]),
        (1, True, [""]),
        ((1,), [1], [""]),
        ({1, 2, 3}, {1, 2, 4}, [""]),
        ({"a": 1}, {"b": 1}, ["['a']", "['b']"]),
    ],
)
def test_the_paths_that_differ_are_named(one: Any, two: Any, paths: list[str]) -> None:
    assert differing(fingerprint(one), fingerprint(two)) == paths


def test_a_set_has_no_order() -> None:
    assert differing(fingerprint({"a", "b", "c"}), fingerprint({"c", "b", "a"})) == []


def test_dataclasses_are_looked_into() -> None:
    @dataclass
    class State:
        loss: float
        step: int

    assert differing(fingerprint(State(1.0, 2)), fingerprint(State(1.0, 3))) == [".step"]


def test_what_holds_weights_is_looked_into() -> None:
    class Model:
        def __init__(self, weight: float) -> None:
            self.weight = weight

        def state_dict(self) -> dict[str, float]:
            return OrderedDict(weight=self.weight)

    assert differing(fingerprint(Model(1.0)), fingerprint(Model(2.0))) == ["['weight']"]


def test_a_stranger_cannot_be_compared() -> None:
    [leaf] = fingerprint(object()).values()
    assert not leaf.comparable
    assert leaf.shown == "a builtins.object"


def test_many_leaves_are_folded() -> None:
    one, two = list(range(20_000)), [*range(19_999), 0]
    assert len(fingerprint(one)) == 10_001
    assert differing(fingerprint(one), fingerprint(two)) == ["…"]


def test_a_list_that_holds_itself_ends() -> None:
    endless: list[Any] = []
    endless.append(endless)
    assert len(fingerprint(endless)) < 100


def test_arrays() -> None:
    numpy = pytest.importorskip("numpy")
    one = numpy.arange(6.0).reshape(2, 3)
    assert differing(fingerprint(one), fingerprint(one.copy(order="F"))) == []
    assert differing(fingerprint(one), fingerprint(one.reshape(3, 2))) == [""]
    assert differing(fingerprint(one), fingerprint(one.astype("float32"))) == [""]
    assert differing(fingerprint(one * numpy.nan), fingerprint(one * numpy.nan)) == []
    assert fingerprint(numpy.float32(0.5))[""].shown == "0.5"
    assert not fingerprint(numpy.array([object()]))[""].comparable


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "complex64", "bool", "int64", "float8_e4m3fn"])
def test_tensors(dtype: str) -> None:
    torch = pytest.importorskip("torch")
    one = torch.tensor([[0.0, 1.0], [1.0, 0.0]]).to(getattr(torch, dtype))
    two = one.clone()
    assert differing(fingerprint(one), fingerprint(two)) == []
    assert differing(fingerprint(one.T.contiguous().T), fingerprint(one)) == []
    two[0, 0] = 1
    assert differing(fingerprint({"x": one}), fingerprint({"x": two})) == ["['x']"]
    assert fingerprint(one)[""].shown == f"{dtype} (2, 2)"


def test_tensors_of_other_kinds() -> None:
    torch = pytest.importorskip("torch")
    dense = torch.eye(3)
    assert differing(fingerprint(dense.to_sparse()), fingerprint(dense)) == []
    assert differing(fingerprint(torch.nn.Parameter(dense)), fingerprint(dense)) == []
    assert fingerprint(torch.tensor(0.25))[""].shown == "0.25"
    assert fingerprint(torch.empty(0, 3))[""].comparable
    layer = torch.nn.Linear(2, 1)
    assert list(fingerprint(layer)) == ["", "['weight']", "['bias']"]
