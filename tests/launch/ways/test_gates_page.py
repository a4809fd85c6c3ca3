"""What docs/gates.md shows is run, as far as it can be here."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

pytestmark = pytest.mark.slow

PAGE = (Path(__file__).parents[3] / "docs" / "gates.md").read_text(encoding="utf-8")
TRAIN = "import os\nprint('trained', os.environ.get('SLURM_PROCID', ''))\n"


def block(language: str, beginning: str) -> str:
    """Return the block of the page in that language which holds a text."""
    [found] = [
        each for each in re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL) if beginning in each
    ]
    return found


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with what the page names, as the working directory, and preflight on PATH."""
    (tmp_path / "foo.yaml").write_text("preflight: {deadline: 60}\n")
    (tmp_path / "train.py").write_text(TRAIN)
    (tmp_path / "preflight_checks").mkdir()
    check = "from pathlib import Path\ndef check_it():\n    assert not Path('/tmp/x').parent.joinpath({!r}).exists()\n"
    (tmp_path / "preflight_checks" / "check_bad.py").write_text(check.format(str(tmp_path / "bad")))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    return tmp_path


def run(words: list[str], **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, capture_output=True, text=True, timeout=180, env={**os.environ, **variables})


@pytest.mark.parametrize("launcher", ["-- torchrun", "torchrun --no-python", "mpirun"])
def test_a_launcher_on_this_machine(project: Path, launcher: str) -> None:
    if "torchrun" in launcher:
        pytest.importorskip("torch")
    elif shutil.which("mpirun") is None:
        pytest.skip("there is no mpirun")
    root = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    done = run(shlex.split(block("sh", launcher)), OMP_NUM_THREADS="1", OMPI_MCA_rmaps_base_oversubscribe="1", **root)
    assert done.stdout.count("trained") == 2, done.stderr
    assert done.stderr.count("GO  ") == 1


def test_an_sbatch_script(project: Path, slurm: Path) -> None:
    (project / "job.sh").write_text(block("bash", "#SBATCH"))
    assert run(["sbatch", "--wait", "--output=out", "job.sh"]).returncode == 0
    told = Path("out").read_text()
    assert sorted(re.findall("trained .", told)) == [f"trained {number}" for number in range(4)], told
    assert len(list(project.glob("report.n*.json"))) == 2
    (project / "bad").touch()
    assert run(["sbatch", "--wait", "--output=out", "job.sh"]).returncode == 125


@pytest.mark.parametrize("cluster", ["local", "slurm"])
def test_submitit(project: Path, cluster: str, request: pytest.FixtureRequest) -> None:
    pytest.importorskip("submitit", reason="needs submitit")
    if cluster == "slurm":
        request.getfixturevalue("slurm")
    program = block("python", "submitit").replace('folder="log"', f'folder="log", cluster="{cluster}"')
    (project / "start.py").write_text(program)
    done = run([sys.executable, "start.py"])
    assert done.stdout.splitlines()[-1].startswith("trained"), done.stderr
    (project / "bad").touch()
    assert "NO-GO" in run([sys.executable, "start.py"]).stderr


@pytest.mark.parametrize("more", [[], ["--multirun", "lr=1,2"]])
def test_hydra(project: Path, more: list[str]) -> None:
    pytest.importorskip("hydra", reason="needs hydra-core")
    (project / "callback.py").write_text(block("python", "hydra"))
    (project / "conf").mkdir()
    (project / "conf" / "config.yaml").write_text(f"lr: 0.1\npreflight: {{}}\n{block('yaml', 'hydra:')}")
    main = "@hydra.main(version_base=None, config_path='conf', config_name='config')\ndef main(config): print('ran')\n"
    (project / "app.py").write_text(f"import hydra\n{main}main()\n")
    done = run([sys.executable, "app.py", *more], PYTHONPATH=".")
    assert (done.returncode, done.stdout.count("ran")) == (0, len(more) or 1), done.stderr
    (project / "bad").touch()
    done = run([sys.executable, "app.py", *more], PYTHONPATH=".")
    assert (done.returncode, done.stdout.count("ran\n")) == (125, 0)


def test_kubernetes_and_github_name_a_command_that_is_one(project: Path) -> None:
    [container] = yaml.safe_load(block("yaml", "containers:"))["containers"]
    assert run(container["command"]).stdout == "trained \n"
    steps: list[Any] = yaml.safe_load(block("yaml", "steps:"))["steps"]
    assert run(["bash", "-e", "-c", steps[-1]["run"]]).returncode == 0
    (project / "bad").touch()
    assert run(["bash", "-e", "-c", steps[-1]["run"]]).returncode == 1
    assert run(container["command"]).returncode == 125
