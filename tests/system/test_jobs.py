"""What a process knows of its part in a job, by the variables that launchers set."""

import pytest

from preflight.system import jobs

TORCHRUN = {
    "RANK": "3",
    "WORLD_SIZE": "4",
    "GROUP_RANK": "1",
    "GROUP_WORLD_SIZE": "2",
    "TORCHELASTIC_RUN_ID": "r",
    "LOCAL_RANK": "1",
}
SLURM = {
    "SLURM_PROCID": "5",
    "SLURM_STEP_NUM_TASKS": "8",
    "SLURM_NODEID": "2",
    "SLURM_STEP_NUM_NODES": "4",
    "SLURM_JOB_ID": "7",
    "SLURM_STEP_ID": "0",
    "SLURMD_NODENAME": "n3",
}
MPI = {"OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_SIZE": "2", "PMIX_NAMESPACE": "x"}
KUBEFLOW = {"RANK": "1", "WORLD_SIZE": "2", "PET_NODE_RANK": "1", "PET_NNODES": "2", "NODE_NAME": "gpu-1"}


@pytest.mark.parametrize(
    ("environment", "kind", "number", "of"),
    [
        (TORCHRUN, "rank", 3, 4),
        (SLURM, "rank", 5, 8),
        ({**SLURM, **TORCHRUN}, "rank", 3, 4),
        (MPI, "rank", 1, 2),
        ({"PMI_RANK": "1", "PMI_SIZE": "2"}, "rank", 1, 2),
        (KUBEFLOW, "rank", 1, 2),
        ({"JOB_COMPLETION_INDEX": "2"}, "node", 2, 0),
    ],
)
def test_each_launcher_tells(environment: dict[str, str], kind: str, number: int, of: int) -> None:
    told = jobs.part(environment)
    assert (told["kind"], told["number"], told["of"]) == (kind, number, of)


@pytest.mark.parametrize(("environment", "of"), [(TORCHRUN, 2), (SLURM, 4), (KUBEFLOW, 2), (MPI, 0)])
def test_one_process_may_stand_for_its_node(environment: dict[str, str], of: int) -> None:
    told = jobs.of_node(jobs.part(environment))
    assert (told["kind"], told["of"]) == ("node", of)


def test_the_node_is_called_as_the_scheduler_does() -> None:
    assert jobs.part(SLURM)["node"] == "n3"
    assert jobs.part(KUBEFLOW)["node"] == "gpu-1"


def test_without_a_launcher_nothing_is_told() -> None:
    # A batch script of Slurm is no step, and a stray RANK is no launcher.
    assert jobs.part({"SLURM_PROCID": "0", "SLURM_JOB_ID": "7", "RANK": "0"}) == {}
    assert jobs.part({"JOB_COMPLETION_INDEX": "x"}) == {}
