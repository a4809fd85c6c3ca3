"""What a config says of device, workers, processes and nodes, and what it does not say."""

import pytest

from preflight.system.experiment import cpu_setting, node_setting, wants_several_processes, worker_setting


@pytest.mark.parametrize(
    ("experiment", "setting"),
    [
        ({"device": "cpu"}, "device: cpu"),
        ({"trainer": {"accelerator": "cpu", "devices": 1}}, "trainer.accelerator: cpu"),
        ({"training": {"use_cpu": True}}, "training.use_cpu: True"),
        ({"device": "cuda"}, ""),
        ({"device": "auto"}, ""),
        ({"device": "cpu", "trainer": {"accelerator": "gpu"}}, ""),
        ({"ema": {"device": "cpu"}}, ""),
        ({"no_cuda": False}, ""),
        ({"use_cuda": False}, "use_cuda: False"),
        ({}, ""),
    ],
)
def test_a_run_on_the_cpu(experiment: dict[str, object], setting: str) -> None:
    assert cpu_setting(experiment) == setting


def test_workers() -> None:
    assert worker_setting({"train": {"num_workers": 4}, "val": [{"num_workers": 2}]}) == ("train.num_workers", 4)
    assert worker_setting({"num_workers": "auto", "use_workers": True}) == ("", 0)


def test_processes_and_nodes() -> None:
    assert wants_several_processes({"trainer": {"devices": 2}})
    assert not wants_several_processes({"gpus": 1, "devices": "auto", "seed": 4})
    assert node_setting({"trainer": {"num_nodes": 2}}) == 2
    assert node_setting({"num_nodes": True}) == 1
