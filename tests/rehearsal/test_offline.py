"""Trackers stay offline, whatever the program tells them; stand-ins for the libraries take what those would."""

import os
from pathlib import Path

import pytest

from preflight.rehearsal.command import read_command
from preflight.rehearsal.orders import Orders
from preflight.rehearsal.program import Rehearsed, rehearse

LIBRARIES = {
    "wandb": "def init(project=None, mode=None): print('wandb', project, mode)",
    "mlflow": "def set_tracking_uri(uri): print('mlflow', uri)",
    "comet_ml": """
def login(api_key): print("comet login")
def start(api_key=None, project_name=None): print("comet online")
class Experiment:
    def __init__(self, **more): print("comet online")
class OfflineExperiment:
    def __init__(self, **more): print("comet offline", more)
""",
}
PROGRAM = """
import comet_ml, mlflow, os, wandb
wandb.init(project="a", mode="online"); wandb.init(); wandb.init(mode="disabled")
mlflow.set_tracking_uri("https://hub.example"); mlflow.set_tracking_uri("sqlite:///mlflow.db")
comet_ml.login("key"); comet_ml.start(api_key="key", project_name="a"); comet_ml.Experiment(api_key="key")
print(*(os.environ[name] for name in ("WANDB_MODE", "NEPTUNE_MODE", "CLEARML_OFFLINE_MODE", "MLFLOW_TRACKING_URI")))
"""


def run(folder: Path, program: str) -> Rehearsed:
    project = folder / "project"
    project.mkdir()
    for name, text in LIBRARIES.items():
        (project / f"{name}.py").write_text(text)
    (project / "train.py").write_text(program)
    orders = Orders(root=project, answers=folder / "answers", features=["offline"])
    return rehearse(read_command("python train.py"), orders, seconds=20)


def test_nothing_is_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://hub.example")
    monkeypatch.setenv("NEPTUNE_MODE", "debug")
    done = run(tmp_path, PROGRAM)
    assert done.output.splitlines() == [
        "wandb a offline",
        "wandb None offline",
        "wandb None disabled",
        "mlflow mlruns",
        "mlflow sqlite:///mlflow.db",
        "comet offline {'project_name': 'a'}",
        "comet offline {}",
        "offline debug 1 mlruns",
    ]


def test_nothing_of_ours_is_in_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFLIGHT_WORKER", "1")
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    for name in [each for each in os.environ if each.startswith(("PYTEST_XDIST", "PYTEST_ADDOPTS"))]:
        monkeypatch.delenv(name)  # of the process that runs this test
    done = run(tmp_path, "import os; print([name for name in os.environ if name.startswith(('PYTEST', 'PREFLIGHT'))])")
    assert done.output == "['PREFLIGHT_REHEARSAL']\n"
