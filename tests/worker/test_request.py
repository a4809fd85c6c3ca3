"""Which checks a selection takes, on which side of a launch."""

from typing import Any

import pytest

from preflight import config as configuration
from preflight.run import run
from preflight.words import check
from preflight.worker.request import Selection

CHECKS = """
@check(at="launch")
def check_launch():
    pass

@check(at="node")
def check_node():
    pass

def check_both():
    pass
"""


@pytest.mark.parametrize(
    ("at", "names"),
    [
        ((), {"launch", "node", "both"}),
        (("launch", ""), {"launch", "both"}),
        (("node", ""), {"node", "both"}),
        (("launch",), {"launch"}),
    ],
)
def test_each_side_runs_what_it_can_tell(project: Any, at: tuple[str, ...], names: set[str]) -> None:
    project.checks("sides", CHECKS)
    config = configuration.load(None, text="preflight: {}", root=project.folder)
    report = run(config, selection=Selection(only=("sides",), at=at))
    assert {result.check for result in report.results} == {f"sides.{name}" for name in names}


@pytest.mark.parametrize(
    ("selection", "takes_part"),
    [
        (Selection(), True),
        (Selection(at=("node", "")), True),
        (Selection(only=("nodes.are-alike",)), True),
        (Selection(only=("nodes.are-alike",), tags=("slow",)), False),
        (Selection(only=("data",)), False),
        (Selection(keyword="data"), False),
    ],
)
def test_nodes_are_compared_unless_something_else_is_chosen(selection: Selection, *, takes_part: bool) -> None:
    assert selection.names("nodes.are-alike") is takes_part


def test_a_side_that_there_is_not_is_no_silent_absence() -> None:
    with pytest.raises(ValueError, match="no side of a launch"):
        check(at="nodes")  # type: ignore[arg-type]
