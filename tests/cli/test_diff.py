"""What has changed since it last worked: of launched runs, of plain ones, and of stored reports."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from preflight.cli.diff import main as diff
from preflight.errors import UserError
from preflight.model import Report, Result, Status
from preflight.records.folder import Records, Run
from preflight.records.record import Record
from preflight.records.states import State


def git(folder: Path, *words: str) -> str:
    command = ["git", "-c", "user.name=A", "-c", "user.email=a@example.org", *words]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path


def write_report(file: Path, **facts: object) -> None:
    results = (Result(check="a.b", status=Status.PASSED),)
    file.write_text(json.dumps(Report(results=results, facts=facts, started="2026-01-01T00:00:00+00:00").to_json()))


def run_of(
    folder: Path, name: str, state: State, hour: int, *, config: str = "", commit: str = "", **facts: object
) -> Run:
    run = Records(folder / ".preflight" / "runs").create(Record(name=name), config=config)
    run.know(commit=commit) if commit else None
    code = {State.FINISHED: 0, State.FAILED: 1}.get(state)
    run.enter(state, started=f"2026-01-01T{hour:02}:00:00+00:00", exit_code=code)
    write_report(run.report, **facts)
    return run


def test_by_default_the_failing_state_against_the_last_green_one(folder: Path, capsys) -> None:
    run_of(folder, "old", State.FINISHED, 1, packages={"torch": "2.10"})
    run_of(folder, "green", State.FINISHED, 2, packages={"torch": "2.12"}, config="lr: 1\n")
    run_of(folder, "red", State.FAILED, 3, packages={"torch": "2.13"}, config="lr: 2\n")
    run_of(folder, "stopped", State.STOPPED, 4, packages={"torch": "2.14"})
    assert diff([]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("green (finished, 2026-01-01 ")
    assert "red (failed, 2026-01-01 " in lines[0]
    assert lines[1:] == ["", "packages", "  torch 2.12 → 2.13", "", "config", "  lr 1 → 2"]
    assert diff(["red", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)[0]["after"] == "2.13"
    assert diff(["old", "green"]) == 1
    assert "torch 2.10 → 2.12" in capsys.readouterr().out
    assert diff(["green", "green"]) == 0
    assert "nothing has changed" in capsys.readouterr().out


def test_two_reports(folder: Path, capsys) -> None:
    write_report(folder / "a.json", host="one")
    write_report(folder / "b.json", host="two")
    assert diff(["a.json", "b.json"]) == 1
    assert capsys.readouterr().out.splitlines()[1:] == ["", "host", "  host one → two"]
    (folder / "c.json").write_text("{}")
    with pytest.raises(UserError, match=r"c\.json is no report"):
        diff(["a.json", "c.json"])


@pytest.mark.parametrize(
    "facts", [{"packages": 3}, {"data": {"x": "y"}}, {"gpus": [3]}, {"data": {"x": {"size": "a"}}}]
)
def test_facts_that_are_none(facts: dict, folder: Path) -> None:
    write_report(folder / "a.json", data={"x": {"size": 1}}, packages={"a": "1"}, gpus=[{"name": "H100"}])
    write_report(folder / "b.json", **facts)
    with pytest.raises(UserError, match="cannot be compared"):
        diff(["a.json", "b.json"])


def test_there_is_nothing_to_compare(folder: Path) -> None:
    with pytest.raises(UserError, match="nothing has failed here yet"):
        diff([])
    run_of(folder, "red", State.LOST, 1)
    with pytest.raises(UserError, match="nothing has worked before red"):
        diff([])
    with pytest.raises(UserError, match="no run called x"):
        diff(["x"])


def test_commits_and_files_those_that_are_imported_first(folder: Path, capsys) -> None:
    git(folder, "init", "--quiet")
    for name in ("a_notes.md", "model.py", "train.py", "z.py"):
        (folder / name).write_text("import model\n" if name == "train.py" else "x = 1\n")
    (folder / "foo.yaml").write_text("preflight: {rehearsal: {command: python train.py}}\n")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--message=first")
    first = git(folder, "rev-parse", "HEAD")
    for name in ("a_notes.md", "model.py", "z.py"):
        (folder / name).write_text("x = 2\n")
    git(folder, "commit", "--quiet", "--all", "--message=a new model")
    second = git(folder, "rev-parse", "HEAD")
    run_of(folder, "green", State.FINISHED, 1, commit=first)
    run_of(folder, "red", State.FAILED, 2, commit=second)
    assert diff(["--config", "foo.yaml"]) == 1
    assert capsys.readouterr().out.splitlines()[2:] == [
        "code",
        f"  commit {first[:8]} → {second[:8]}",
        f"  {second[:7]} a new model",
        "  model.py (imported by the program)",
        "  a_notes.md",
        "  z.py",
    ]
    run_of(folder, "gone", State.FAILED, 3, commit="0" * 40)
    assert diff(["--config", "foo.yaml"]) == 1
    assert "the commits between them are not known: " in capsys.readouterr().out


def test_the_whole_story_of_plain_runs(folder: Path, preflight) -> None:
    (folder / "preflight_checks").mkdir()
    check = folder / "preflight_checks" / "check_mine.py"
    check.write_text("def check_holds():\n    assert not open('data.csv').read() == ''\n")
    (folder / "foo.yaml").write_text("lr: 1\napi_key: hunter2\npreflight: {data: [data.csv]}\n")
    (folder / "data.csv").write_text("id\n1\n2\n")
    told = {"XDG_STATE_HOME": str(folder / "state"), "CUDA_VISIBLE_DEVICES": "0", "MY_TOKEN": "hunter3"}
    first = preflight("run", "--config", "foo.yaml", "--only", "code", **told)
    assert first.returncode == 0
    assert preflight("diff", "--config", "foo.yaml", **told).returncode == 2  # only a part was run
    green = preflight("run", "--config", "foo.yaml", **told)
    assert green.returncode == 0, green.stdout
    (folder / "data.csv").write_text("")
    (folder / "foo.yaml").write_text("lr: 2\napi_key: hunter4\npreflight: {data: [data.csv]}\n")
    red = preflight("run", "--config", "foo.yaml", **{**told, "CUDA_VISIBLE_DEVICES": "1"})
    assert red.returncode == 1
    since = [line for line in red.stdout.splitlines() if line.startswith("since the last GO (")]
    assert "): data.csv 7 B → 0 B · lr 1 → 2 · CUDA_VISIBLE_DEVICES 0 → 1" in since[0]
    assert red.stdout.splitlines()[-1].startswith("NO-GO")
    shown = preflight("diff", "--config", "foo.yaml", **told)
    assert shown.returncode == 1
    assert "  lr 1 → 2" in shown.stdout.splitlines()
    kept = b"".join(each.read_bytes() for each in (folder / "state").rglob("*") if each.is_file())
    assert b"hunter" not in kept + red.stdout.encode() + shown.stdout.encode()
    assert sorted(os.listdir(folder)) == ["data.csv", "foo.yaml", "preflight_checks", "state"]
