"""The runs of a project: listed, shown, and what they printed."""

import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from preflight.cli.logs import main as logs
from preflight.cli.runs import main as runs
from preflight.cli.show import main as show
from preflight.errors import UserError
from preflight.records.folder import Records, Run
from preflight.records.life import Life
from preflight.records.record import Record
from preflight.records.states import State

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.fixture
def records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Records:
    monkeypatch.chdir(tmp_path)
    return Records(tmp_path / ".preflight" / "runs")


@pytest.fixture
def run(records: Records) -> Run:
    run = records.create(Record(name="a b", command=("python", "train it.py", "\x1b[2J"), config="foo.yaml"))
    run.know(commit="0123456789abcdef", branch="trunk", snapshot="refs/preflight/a%20b", changes=" train.py | 2 +-")
    run.enter(State.RUNNING, started="2026-01-01T00:00:00+00:00", job=Life.of())
    return run


def finish(run: Run, state: State = State.FAILED, code: int = 3) -> None:
    run.enter(state, exit_code=code, ended="2026-01-01T01:30:00+00:00")


def test_a_line_for_each_run(run: Run, records: Records, capsys: pytest.CaptureFixture[str]) -> None:
    finish(run)
    records.create(Record(name="later", command=("x" * 100,)))
    assert runs([]) == 0
    head, first, second = capsys.readouterr().out.splitlines()
    assert head.split() == ["RUN", "STATE", "CREATED", "TOOK", "WHERE", "COMMIT", "COMMAND"]
    assert first.startswith("a b    failed 3")
    assert "1h30m  local  01234567  python 'train it.py' '\\x1b[2J'" in first
    assert second.startswith("later  created")
    assert second.endswith("...")


def test_no_runs(records: Records, capsys: pytest.CaptureFixture[str]) -> None:
    assert runs([]) == 0
    assert capsys.readouterr().out == f"no runs in {records.folder}\n"
    assert runs(["--json"]) == 0
    assert json.loads(capsys.readouterr().out) == []


def test_the_last_and_all(records: Records, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(23):
        run = records.create(Record(name=f"run{number:02}", created=f"2026-01-01T00:00:{number:02}+00:00"))
        os.utime(run.folder / "record.json", (number, number))
    runs([])
    lines = capsys.readouterr().out.splitlines()
    assert (len(lines), lines[1].split()[0], lines[-1]) == (22, "run03", "3 earlier runs: --last 0 shows all")
    runs(["--last", "0"])
    assert len(capsys.readouterr().out.splitlines()) == 24
    runs(["--last", "2", "--json"])
    assert [each["name"] for each in json.loads(capsys.readouterr().out)] == ["run21", "run22"]
    with pytest.raises(SystemExit):
        runs(["--last", "-1"])


def test_a_record_that_cannot_be_read_is_told(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    (run.folder / "record.json").write_text("{")
    runs([])
    assert "(record.json cannot be read: " in capsys.readouterr().out


def test_from_a_folder_below_and_where_the_config_says(run: Run, tmp_path: Path, monkeypatch, capsys) -> None:
    (tmp_path / "below" / "it").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "below" / "it")
    runs([])
    assert "a b" in capsys.readouterr().out
    (tmp_path / "foo.yaml").write_text(f"preflight: {{launch: {{records: {tmp_path}/else}}}}\n")
    Records(tmp_path / "else").create(Record(name="elsewhere"))
    runs(["--config", str(tmp_path / "foo.yaml")])
    assert "elsewhere" in capsys.readouterr().out


def test_what_a_run_printed(run: Run, preflight) -> None:
    run.log.write_bytes(b"epoch 1\n\xff\x1b[1mbold\n")
    ended = subprocess.run([sys.executable, "-m", "preflight", "logs", "a b"], capture_output=True, check=True)
    assert ended.stdout == b"epoch 1\n\xff\x1b[1mbold\n"


def test_a_run_without_a_log(run: Run) -> None:
    with pytest.raises(UserError, match="the run a b has no log: it is running"):
        logs(["a b"])
    with pytest.raises(UserError, match="no run called c"):
        logs(["c"])


def test_following_ends_with_the_run(run: Run, capfd: pytest.CaptureFixture[str]) -> None:
    def write() -> None:
        for number in range(3):
            with open(run.log, "a") as log:
                log.write(f"epoch {number}\n")
            time.sleep(0.1)
        finish(run)

    thread = threading.Thread(target=write)
    thread.start()
    assert logs(["-f", "a b"]) == 0
    thread.join()
    assert capfd.readouterr().out == "epoch 0\nepoch 1\nepoch 2\n"


def test_following_ends_where_the_job_was_killed(run: Run, capfd: pytest.CaptureFixture[str]) -> None:
    run.log.write_text("epoch 0\n")
    run.know(job=replace(Life.of(), started=1.0))
    assert logs(["-f", "a b"]) == 0
    assert capfd.readouterr().out == "epoch 0\n"


def test_all_that_is_known_of_a_run(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    finish(run)
    run.append("command", argv=["git", "status"], code=0)
    assert show(["a b"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "a b  failed  exit code 3"
    assert "  command      python 'train it.py' '\\x1b[2J'" in lines
    assert "  commit       0123456789abcdef on trunk" in lines
    assert "  took         1h30m" in lines
    assert "   train.py | 2 +-" in lines
    assert any(line.endswith('command  argv ["git", "status"], code 0') for line in lines)


def test_a_run_with_its_report(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    run.report.write_text((GOLDEN / "no_go.1.json").read_text())
    assert show(["a b"]) == 1
    assert capsys.readouterr().out.splitlines()[-1].startswith("NO-GO")
    assert show(["a b", "--format", "json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["record"]["name"], len(told["events"])) == ("a b", 2)


def test_a_file_comes_before_a_run(records: Records, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    records.create(Record(name="same"))
    (tmp_path / "same").write_text((GOLDEN / "go.0.json").read_text())
    assert show(["same"]) == 0
    assert capsys.readouterr().out == (GOLDEN / "go.0.terminal").read_text()


def test_a_run_that_is_called_like_a_file(records: Records, capsys: pytest.CaptureFixture[str]) -> None:
    records.create(Record(name="x.json"))
    assert show(["x.json"]) == 0
    with pytest.raises(UserError, match=r"y\.json cannot be read: No such file"):
        show(["y.json"])


def test_neither_a_file_nor_a_run(run: Run) -> None:
    with pytest.raises(UserError, match="there is no run called a") as missing:
        show(["a"])
    assert missing.value.fix
