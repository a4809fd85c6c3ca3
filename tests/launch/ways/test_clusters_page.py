"""What docs/clusters.md shows of launchers on one machine is run, and its manifests are understood."""

import json
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

from preflight.cli import gate, options, run

REPOSITORY = Path(__file__).parents[3]
PAGE = (REPOSITORY / "docs" / "clusters.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```sh\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
MANIFESTS = sorted((REPOSITORY / "examples" / "kubernetes").glob("*.yaml"))


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with what the page names, as the working directory, and preflight on PATH."""
    (tmp_path / "foo.yaml").write_text("preflight: {deadline: 60}\n")
    (tmp_path / "train.py").write_text("print('trained')\n")
    (tmp_path / "preflight_checks").mkdir()
    check = "import os\ndef check_it():\n    assert os.environ.get('RANK') != os.environ.get('BAD', 'none')\n"
    (tmp_path / "preflight_checks" / "check_bad.py").write_text(check)
    monkeypatch.chdir(tmp_path)
    for name in ("TMPDIR", "XDG_STATE_HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    for name in ("OMPI_ALLOW_RUN_AS_ROOT", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "OMPI_MCA_rmaps_base_oversubscribe"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return tmp_path


def call(command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=180)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(len(BLOCKS)), ids=[shlex.split(block)[0] for block in BLOCKS])
def test_launchers_leave_reports_that_are_one(project: Path, number: int) -> None:
    if shutil.which(shlex.split(BLOCKS[number])[0]) is None:
        pytest.skip("the launcher is not installed")
    started, merged = BLOCKS[number].splitlines()
    done = call(started)
    assert done.returncode == 0, done.stderr
    done = call(merged)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1].startswith("GO ")


@pytest.mark.slow
def test_a_rank_that_fails_and_one_that_is_missing(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if shutil.which("torchrun") is None:
        pytest.skip("torchrun is not installed")
    [started, merged] = next(block for block in BLOCKS if "$RANK" in block).splitlines()
    monkeypatch.setenv("BAD", "2")
    call(started.replace(" > rank.$RANK.json", " > rank.$RANK.json || true"))
    done = call(f"{merged} --format json")
    report = json.loads(done.stdout)
    failed = {each["place"].rpartition(":")[2] for each in report["results"] if each["status"] == "FAILED"}
    assert (done.returncode, failed, len(report["places"])) == (1, {"2"}, 4)
    (project / "rank.2.json").unlink()
    done = call(merged)
    assert (done.returncode, "rank 2" in done.stdout) == (3, True), done.stdout


def containers(manifest: Path) -> list[dict[str, Any]]:
    specs = [
        each["spec"]["template"]["spec"] for each in yaml.safe_load_all(manifest.read_text()) if each["kind"] == "Job"
    ]
    return [each for spec in specs for each in [*spec.get("initContainers", ()), *spec["containers"]]]


@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda path: path.stem)
def test_the_commands_of_a_manifest_are_understood(manifest: Path) -> None:
    commands = [[*each["command"], *each.get("args", ())] for each in containers(manifest)]
    [ours] = [each[1:] for each in commands if each[0] == "preflight"]
    if ours[0] == "gate":
        arguments, command = options.split_command(gate.parser(), ours[1:])
        assert command[0] == "torchrun"
    else:
        arguments = run.parser().parse_args(ours[1:])
    assert str(arguments.config) == "foo.yaml"


@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda path: path.stem)
def test_a_manifest_names_only_what_it_defines(manifest: Path) -> None:
    text = manifest.read_text()
    for each in containers(manifest):
        defined = {variable["name"] for variable in each.get("env", ())}
        used = set(re.findall(r"\$\((\w+)\)", " ".join([*each["command"], *each.get("args", ())])))
        assert used <= defined
    for spec in (doc["spec"]["template"]["spec"] for doc in yaml.safe_load_all(text) if doc["kind"] == "Job"):
        volumes = {each["name"] for each in spec["volumes"]}
        assert {mount["name"] for each in containers(manifest) for mount in each["volumeMounts"]} == volumes
