"""The action does what it says, run by a real runner (act) and as GitHub documents its own; the examples are valid."""

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

from preflight.cli import options, run

REPOSITORY = Path(__file__).parents[1]
SCRIPTS = Path(sys.executable).parent
ACTION = yaml.safe_load((REPOSITORY / "action.yml").read_text(encoding="utf-8"))
STEPS = {step["name"]: step for step in ACTION["runs"]["steps"]}
CHECK = '''
def check_world():
    """The world is as it should be."""
    print("::set-env name=EVIL::1")
    assert {}, "one is not two"
'''
STUB = "name: x\ndescription: x\nruns: {using: composite, steps: [{run: echo STUB, shell: bash}]}\n"
GIT = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-c", "init.defaultBranch=main"]
WORKFLOW = """
on: [push]
jobs:
  a:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
      - id: preflight
        uses: ./preflight-action
        continue-on-error: true
        with: {{config: foo.yaml, package: none, python: "{python}", args: --only mine}}
      - env:
          TOLD: ${{{{ steps.preflight.outputs.verdict }}}},${{{{ steps.preflight.outputs.exit-code }}}}
          REPORT: ${{{{ steps.preflight.outputs.report }}}}
        run: |
          echo "told=$TOLD;evil=$EVIL"
          ls "$REPORT"
"""


@pytest.mark.parametrize(
    ("schema", "file"),
    [
        ("github-actions", "action.yml"),
        ("github-workflows", "examples/ci/github.yml"),
        ("gitlab-ci", "examples/ci/gitlab.yml"),
    ],
)
def test_files_follow_the_schemas_of_their_services(schema: str, file: str) -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{schema}", str(REPOSITORY / file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_no_input_becomes_part_of_a_script() -> None:
    for step in STEPS.values():
        assert "${{" not in step.get("run", "")
        assert "run" not in step or step["shell"] == "bash"
        assert "uses" not in step or "@v" in step["uses"]


def test_examples_use_only_inputs_and_outputs_that_exist() -> None:
    text = (REPOSITORY / "examples" / "ci" / "github.yml").read_text(encoding="utf-8")
    for job in yaml.safe_load(text)["jobs"].values():
        for step in job["steps"]:
            if "/preflight@" in step.get("uses", ""):
                assert step.get("with", {}).keys() <= ACTION["inputs"].keys()
    assert "outputs.verdict" in text
    assert "verdict" in ACTION["outputs"]


@pytest.mark.parametrize("name", ["github.yml", "gitlab.yml", "Jenkinsfile"])
def test_the_page_shows_the_examples_as_they_are(name: str) -> None:
    page = (REPOSITORY / "docs" / "ci.md").read_text(encoding="utf-8")
    assert (REPOSITORY / "examples" / "ci" / name).read_text(encoding="utf-8") in page


def test_commands_of_the_examples_are_understood(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = REPOSITORY / "examples" / "ci"
    lines = re.findall(r"sh '([^']*)'", (folder / "Jenkinsfile").read_text(encoding="utf-8"))
    for name in ("github.yml", "gitlab.yml"):
        lines += texts_of(yaml.safe_load((folder / name).read_text(encoding="utf-8")))
    commands = [line.partition("preflight run ")[2] for line in lines if "preflight run " in line]
    assert len(commands) == 3
    for command in commands:
        assert options.views_of(run.parser().parse_args(shlex.split(command)))


def texts_of(value: Any) -> list[str]:
    """Return all text in what YAML holds."""
    if isinstance(value, dict | list):
        return [text for each in (value.values() if isinstance(value, dict) else value) for text in texts_of(each)]
    return [str(value)]


class Job:
    """A folder with a project, and the files that a runner gives to a step."""

    def __init__(self, folder: Path) -> None:
        self.project, self.output = folder / "a project", folder / "output"
        (self.project / "preflight_checks").mkdir(parents=True)
        self.check("2 == 2")
        (self.project / "foo.yaml").write_text("preflight: {deadline: 60}\n", encoding="utf-8")
        self.summary = folder / "summary.md"
        self.told: dict[str, str] = {}

    def check(self, claim: str) -> None:
        (self.project / "preflight_checks" / "check_mine.py").write_text(CHECK.format(claim), encoding="utf-8")

    def run(self, **inputs: str) -> subprocess.CompletedProcess[str]:
        """Run the step `Run preflight` as a runner does, with these inputs and else the defaults."""
        step = STEPS["Run preflight"]
        values = {name: str(each["default"]) for name, each in ACTION["inputs"].items()}
        values |= {"python": sys.executable, "args": "--only mine", **inputs}
        environment = {name: _filled(text, values) for name, text in step["env"].items()}
        environment |= {"GITHUB_ACTIONS": "true", "GITHUB_WORKSPACE": str(self.project)}
        environment |= {"GITHUB_OUTPUT": str(self.output), "GITHUB_STEP_SUMMARY": str(self.summary)}
        environment |= {"RUNNER_TEMP": str(self.project.parent)}
        self.output.write_text("")
        script = self.project.parent / "script.sh"
        script.write_text(step["run"], encoding="utf-8")
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", str(script)],
            cwd=self.project,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            check=False,
        )
        self.told = dict(line.split("=", 1) for line in self.output.read_text().splitlines())
        return done


def _filled(text: str, values: dict[str, str]) -> str:
    for name, value in values.items():
        text = text.replace(f"${{{{ inputs.{name} }}}}", value)
    assert "${{" not in text
    return text


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job(tmp_path)


@pytest.mark.parametrize(
    ("claim", "config", "code", "verdict"),
    [
        ("1 == 2", "foo.yaml", 1, "NO-GO"),
        ("1 / 0", "foo.yaml", 3, "NO VERDICT"),
        ("True", "none.yaml", 2, ""),
    ],
)
def test_outputs_tell_the_verdict(job: Job, claim: str, config: str, code: int, verdict: str) -> None:
    job.check(claim)
    done = job.run(config=config)
    assert done.returncode == code, done.stderr
    assert (job.told["exit-code"], job.told["verdict"]) == (str(code), verdict)
    if verdict:
        report = json.loads((Path(job.told["report"]) / "report.json").read_text())
        assert report["verdict"]["word"] == verdict
        assert job.summary.read_text().startswith(f"## preflight: {verdict}\n")


def test_inputs_are_words_and_no_commands(job: Job, tmp_path: Path) -> None:
    evil = f"--only mine\n  -k $(touch${{IFS}}{tmp_path}/one) `touch {tmp_path}/two` ; touch {tmp_path}/three"
    job.run(args=evil, config=f"foo.yaml; touch {tmp_path}/four")
    assert {"one", "two", "three", "four"}.isdisjoint(each.name for each in tmp_path.iterdir())
    done = job.run(args="--only\n  mine\n", config="foo.yaml", strict="true")
    assert done.returncode == 0, done.stdout + done.stderr
    assert job.told["verdict"] == "GO"
    assert json.loads((Path(job.told["report"]) / "report.json").read_text())["strict"] is True


def test_a_real_runner_runs_it(job: Job, tmp_path: Path) -> None:
    act = shutil.which("act", path=f"{SCRIPTS}{os.pathsep}{os.environ['PATH']}")
    if not act:
        pytest.skip("there is no act")
    job.check("1 == 2")
    (job.project / "preflight-action").mkdir()
    shutil.copy(REPOSITORY / "action.yml", job.project / "preflight-action")
    (job.project / ".github" / "workflows").mkdir(parents=True)
    (job.project / ".github" / "workflows" / "w.yml").write_text(WORKFLOW.format(python=sys.executable))
    command = [act, "push", "--platform", "ubuntu-latest=-self-hosted", "--no-cache-server"]
    for name in ("actions/upload-artifact@v4", "actions/setup-python@v5"):
        stub = tmp_path / name
        stub.mkdir(parents=True)
        (stub / "action.yml").write_text(STUB)
        committed(stub)
        command += ["--local-repository", f"{name}={stub}"]
    committed(job.project)
    environment = {**os.environ, "HOME": str(tmp_path)}
    done = subprocess.run(command, cwd=job.project, env=environment, capture_output=True, text=True, check=False)
    lines = [line.partition("| ")[2] for line in done.stdout.splitlines()]
    assert done.returncode == 0, done.stdout + done.stderr
    assert "told=NO-GO,1;evil=" in lines
    assert any("report.xml" in line for line in lines)
    assert "## preflight: NO-GO" in done.stdout
    assert "preflight_checks/check_mine.py:5" in done.stdout


def committed(folder: Path) -> None:
    """Make a repository of a folder."""
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "x"]):
        subprocess.run([*GIT, *words], cwd=folder, check=True)
