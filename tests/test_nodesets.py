import pytest
from hypothesis import given
from hypothesis import strategies as st

from preflight.nodesets import expand, fold

NAME = st.builds(
    lambda before, number, width, after: f"{before}{number:0{width}}{after}",
    st.sampled_from(["n", "gpu", "rack1-node", "a.b"]),
    st.integers(0, 1200),
    st.sampled_from([0, 3, 4]),
    st.sampled_from(["", "-ib", ".cluster"]),
)


@pytest.mark.parametrize(
    ("names", "folded"),
    [
        (["n1", "n2", "n3", "n7", "n9"], "n[1-3,7,9]"),
        (["n1"], "n1"),
        (["n09", "n10", "n11"], "n[09-11]"),
        (["n9", "n10"], "n[9-10]"),
        (["login", "n1", "n2"], "n[1-2],login"),
        (["rack1-n1", "rack1-n2", "rack2-n1"], "rack1-n[1-2],rack2-n1"),
        ([], ""),
    ],
)
def test_names_are_folded(names, folded):
    assert fold(names) == folded
    assert sorted(expand(folded)) == sorted(names)


@pytest.mark.parametrize("text", ["n[1-", "n1]", "n[[1]]", "n[a-b]", "n[]"])
def test_what_is_no_list_is_refused(text):
    with pytest.raises(ValueError):  # noqa: PT011
        expand(text)


@given(st.lists(st.one_of(NAME, st.sampled_from(["login", "head"])), max_size=40))
def test_folding_loses_no_name(names):
    assert set(expand(fold(names))) == set(names)
