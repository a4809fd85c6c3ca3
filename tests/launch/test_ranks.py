"""Which process of a node this is."""

import os
import shlex
import subprocess
import sys

import pytest

from preflight.launch import ranks

TORCH = {"LOCAL_RANK": "2", "TORCHELASTIC_RUN_ID": "none", "MASTER_PORT": "29500", "GROUP_WORLD_SIZE": "1"}
STEP = {"SLURM_LOCALID": "1", "SLURM_JOB_ID": "7", "SLURM_STEP_ID": "0", "SLURM_NODEID": "0"}


@pytest.mark.parametrize(
    ("environment", "number"),
    [
        ({}, None),
        ({"LOCAL_RANK": "2"}, None),  # somebody's own variable
        (TORCH, 2),
        (STEP, 1),
        ({**STEP, **TORCH}, 2),  # torchrun in a step of Slurm
        ({**STEP, "SLURM_LOCALID": "0", "OMPI_COMM_WORLD_LOCAL_RANK": "3", "PMIX_NAMESPACE": "x"}, 3),
        ({"LOCAL_RANK": "x", "TORCHELASTIC_RUN_ID": "none"}, None),
        ({"SLURM_LOCALID": "1"}, None),
    ],
)
def test_the_innermost_launcher_counts(environment: dict[str, str], number: int | None) -> None:
    found = ranks.find(environment)
    assert (found and found.number) == number


@pytest.mark.parametrize("name", ["TORCHELASTIC_RESTART_COUNT", "MASTER_PORT", "GROUP_RANK"])
def test_another_start_has_another_key(name: str) -> None:
    one, other = ranks.find(TORCH), ranks.find({**TORCH, name: "17"})
    assert one
    assert other
    assert one.key != other.key
    assert one.key == ranks.find({**TORCH, "LOCAL_RANK": "0"}).key  # type: ignore[union-attr]


def test_a_launcher_that_is_started_again_under_the_same_name_is_another() -> None:
    program = "import os; from preflight.launch import ranks; print(ranks.find(os.environ).key)"
    ask = [sys.executable, "-c", program]
    shell = f"export LOCAL_RANK=0\n{shlex.join(ask)}\nbash -c {shlex.quote(f'{shlex.join(ask)}; true')}\ntrue"
    environment = {**os.environ, **TORCH}
    del environment["LOCAL_RANK"]
    starts = [subprocess.run(["bash", "-c", shell], env=environment, capture_output=True, text=True) for _ in range(2)]
    keys = [start.stdout.split() for start in starts]
    assert len(keys[0]) == 2
    assert keys[0][0] == keys[0][1], "a shell in between is not the launcher"
    assert keys[0][0] != keys[1][0]


@pytest.mark.parametrize(("nodes", "is_named"), [("1", False), ("2", True)])
def test_the_node_is_named_where_there_are_several(nodes: str, *, is_named: bool) -> None:
    found = ranks.find({**STEP, "SLURM_STEP_NUM_NODES": nodes, "SLURMD_NODENAME": "n1"})
    assert found
    assert found.node == ("n1" if is_named else "")
