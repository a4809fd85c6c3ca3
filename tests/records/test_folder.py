"""Records: taken once, appended to by many, and readable whatever was left of them."""

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from preflight.cli.runs import row
from preflight.cli.show import page
from preflight.errors import UserError
from preflight.records.folder import Records, Run, refuse_name
from preflight.records.life import Life
from preflight.records.listing import settled
from preflight.records.record import Event, Record
from preflight.records.states import State

HOSTILE = ["a b", "$(touch x)", "'\"`;|&", "ü☃", "line", "~", "*", "a.b.c", "%s%n"]


@pytest.fixture
def records(tmp_path: Path) -> Records:
    return Records(tmp_path / "runs")


@pytest.fixture
def run(records: Records) -> Run:
    return records.create(Record(name="one", command=("python", "train.py")))


def test_what_is_written_is_read(records: Records) -> None:
    record = Record(name="one", command=("a", "b c", "\udcff\n", "-x"), config="foo.yaml", way="slurm", root="/x")
    run = records.create(record, config="seed: ü\n")
    read = run.read()
    assert replace(read, created="", launcher=None) == record
    assert read.launcher == Life.of()
    assert run.config.read_text() == "seed: ü\n"
    assert run.config.stat().st_mode & 0o777 == 0o600


def test_what_becomes_known_is_added(run: Run) -> None:
    run.know(commit="abc", snapshot="refs/preflight/one")
    run.enter(State.CHECKING)
    run.append("command", argv=["git", "status"], state="running")
    run.enter(State.RUNNING, job=Life.of(), started="2026-01-01T00:00:00+00:00")
    run.enter(State.FAILED, exit_code=7, ended="2026-01-02T00:00:00+00:00")
    read = run.read()
    assert (read.state, read.exit_code, read.commit, read.job) == (State.FAILED, 7, "abc", Life.of())
    assert [event.kind for event in run.events()[0]] == ["known", "state", "command", "state", "state"]
    assert read.flaws == ()


def test_the_folder_is_ignored_by_git(records: Records, run: Run) -> None:
    assert (records.folder / ".gitignore").read_text() == "*\n"


def test_a_taken_name_is_refused_with_what_holds_it(records: Records, run: Run) -> None:
    run.enter(State.RUNNING)
    with pytest.raises(UserError, match=r"the name one is taken: a run of .*, running"):
        records.create(Record(name="one"))
    assert run.read().command == ("python", "train.py")
    (records.folder / "file").touch()
    with pytest.raises(UserError, match="the name file is taken"):
        records.create(Record(name="file"))
    assert sorted(os.listdir(records.folder)) == [".gitignore", "file", "one"]


@pytest.mark.parametrize("name", HOSTILE)
def test_names_may_be_almost_anything(name: str, records: Records) -> None:
    records.create(Record(name=name))
    assert records.names() == [name]
    assert records.run(name).read().name == name


@pytest.mark.parametrize(
    "name", ["", ".", "..", ".hidden", "-x", "a/b", "a\0b", "a\nb", "\x1b[2J", "\udcff", "ü" * 101]
)
def test_names_that_cannot_be(name: str) -> None:
    with pytest.raises(UserError, match="a run cannot be called"):
        refuse_name(name)


def test_a_run_that_is_not_there(records: Records, run: Run) -> None:
    with pytest.raises(UserError, match="no run called on") as missing:
        records.run("on")
    assert missing.value.fix == "Do you mean one?"
    for name in ("..", "", "one/../one", "a\0b"):
        with pytest.raises(UserError):
            records.run(name)


def test_of_fifty_that_want_one_name_one_gets_it(records: Records) -> None:
    def create(number: int) -> str:
        try:
            records.create(Record(name="one", command=(str(number),)))
        except UserError as problem:
            return problem.message
        return f"got {number}"

    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(create, range(50)))
    winners = [each for each in answers if each.startswith("got ")]
    assert len(winners) == 1
    assert winners == [f"got {records.run('one').read().command[0]}"]
    assert all("is taken" in each for each in answers if each not in winners)
    assert sorted(os.listdir(records.folder)) == [".gitignore", "one"]


def test_fifty_at_once_have_records_of_their_own(records: Records) -> None:
    with ThreadPoolExecutor(50) as pool:
        list(pool.map(lambda number: records.create(Record(name=f"run {number}")), range(50)))
    assert all(not records.run(name).read().flaws for name in records.names())
    assert len(records.names()) == 50


APPENDING = """
import sys
from pathlib import Path
from preflight.records.folder import Run
for number in range(200):
    Run(Path(sys.argv[1])).append("command", writer=sys.argv[2], number=number, text="x" * (number * 20))
"""


def test_many_processes_append_and_no_line_is_lost(run: Run) -> None:
    writers = [subprocess.Popen([sys.executable, "-c", APPENDING, str(run.folder), str(each)]) for each in range(4)]
    assert [each.wait() for each in writers] == [0] * 4
    events, flaws = run.events()
    assert flaws == []
    assert {(each.facts["writer"], each.facts["number"]) for each in events} == {
        (str(writer), number) for writer in range(4) for number in range(200)
    }


def test_machines_write_files_of_their_own(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run.enter(State.STARTING)
    monkeypatch.setattr("preflight.records.life.boot", lambda: "another")
    monkeypatch.setenv("SLURMD_NODENAME", "n1")
    run.enter(State.RUNNING)
    assert len(list(run.folder.glob("events-*.jsonl"))) == 2
    assert {event.host for event in run.events()[0]} == {"n1", os.uname().nodename}
    assert run.read().state is State.RUNNING


def test_a_half_line_is_told_and_harms_no_other(run: Run) -> None:
    run.know(commit="abc")
    file = next(run.folder.glob("events-*.jsonl"))
    with open(file, "ab") as events:
        events.write(b'\n{"at": "2026-01-01T00:00:00+00:00", "kind": "sta')
    run.enter(State.RUNNING)
    read = run.read()
    assert (read.state, read.commit) == (State.RUNNING, "abc")
    assert read.flaws == (f"{file.name} holds a line that is cut off or damaged",)


@pytest.mark.parametrize(
    ("text", "flaw"),
    [
        ("", "record.json cannot be read"),
        ('{"schema": "preflight.record/1", "name": "o', "record.json cannot be read"),
        ('{"schema": "preflight.record/2"}', "its schema is 'preflight.record/2', this version reads"),
        ("[]", "record.json cannot be read"),
        ("[" * 100_000, "record.json cannot be read"),
        ('{"schema": "preflight.record/1", "state": "dreaming"}', "record.json cannot be read"),
        ('{"schema": "preflight.record/1", "launcher": {"host": "x"}}', "record.json cannot be read"),
        ('{"schema": "preflight.record/1", "command": 3}', "record.json cannot be read"),
    ],
)
def test_what_an_other_version_or_a_full_disk_has_left_is_told(text: str, flaw: str, run: Run) -> None:
    (run.folder / "record.json").write_text(text)
    run.enter(State.RUNNING)
    read = run.read()
    assert flaw in read.flaws[0]
    assert read.name == "one"


def test_keys_of_a_later_version_are_passed_over(run: Run) -> None:
    stored = json.loads((run.folder / "record.json").read_text())
    (run.folder / "record.json").write_text(json.dumps({**stored, "colour": "blue"}))
    run.know(taste="sweet", commit="abc")
    read = run.read()
    assert (read.commit, read.command, read.flaws) == ("abc", ("python", "train.py"), ())


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="the record cannot be written: Not a directory"):
        Records(tmp_path / "file" / "runs").create(Record(name="one"))


def test_a_folder_without_a_record(records: Records) -> None:
    (records.folder / "odd").mkdir(parents=True)
    assert records.run("odd").read().flaws == ("record.json is not there",)


@pytest.fixture
def full_disk(tmp_path: Path, in_world) -> str:
    """Shell text after which the folder of records lies on a disk with no room."""
    return f"mkdir -p {tmp_path}/full; mount -t tmpfs -o size=64k tmpfs {tmp_path}/full"


def create_and_fill(folder: Path) -> list[str]:
    """Create runs until the disk is full, then append until it is full; return what was said."""
    records = Records(folder / "runs")
    run = records.create(Record(name="first", command=("x",)))
    said = []
    try:
        for _ in range(1000):
            run.append("command", text="x" * 5000)
    except OSError as problem:
        said.append(problem.strerror)
    try:
        records.create(Record(name="second"), config="x" * 20_000)
    except UserError as problem:
        said.append(problem.message)
    read = run.read()
    return [*said, str(read.command), *read.flaws, *sorted(os.listdir(folder / "runs"))]


def test_a_full_disk(full_disk: str, in_world, tmp_path: Path) -> None:
    said = in_world(full_disk, create_and_fill, tmp_path / "full")
    assert said[:3] == ["No space left on device", "the record cannot be written: No space left on device", "('x',)"]
    assert said[-2:] == [".gitignore", "first"]
    assert all("cut off" in each for each in said[3:-2])


CREATING = """
import sys
from pathlib import Path
from preflight.records.folder import Records
from preflight.records.listing import settled
from preflight.records.record import Record
from preflight.records.states import State
number = 0
while True:
    run = Records(Path(sys.argv[1])).create(Record(name=f"run {number}", command=("x",)), config="a: 1\\n")
    for state in (State.CHECKING, State.STARTING, State.RUNNING, State.FINISHED):
        run.enter(state)
    number += 1
"""


def test_killed_at_any_moment_every_record_is_whole(records: Records) -> None:
    for moment in range(12):
        folder = Records(records.folder / str(moment))
        process = subprocess.Popen([sys.executable, "-c", CREATING, str(folder.folder)])
        while not folder.names():
            time.sleep(0.005)
        time.sleep(0.003 * moment)
        process.send_signal(signal.SIGKILL)
        process.wait()
        for name in folder.names():
            read = folder.run(name).read()
            assert (read.command, read.flaws) == (("x",), ())


def test_what_killed_launchers_left_is_swept(records: Records, run: Run) -> None:
    left = records.folder / ".new-0123456789abcdef"
    left.mkdir()
    records.create(Record(name="two"))
    assert left.exists()
    os.utime(left, (1, 1))
    records.create(Record(name="three"))
    assert not left.exists()


def test_a_later_attempt_begins_again() -> None:
    record = Record(name="one")
    told = [
        Event(at="3", host="a", kind="state", facts={"state": "failed", "exit_code": 1, "ended": "3", "reason": "x"}),
        Event(at="1", host="b", kind="state", attempt=1, facts={"state": "running", "started": "1"}),
    ]
    after = record.after(told)
    assert (after.state, after.exit_code, after.ended, after.reason, after.attempt) == ("running", None, "", "", 1)


@pytest.mark.parametrize(
    ("told", "wanted"),
    [
        (["running", "starting"], "running"),
        (["finished", "running"], "finished"),
        (["stopped", "failed"], "stopped"),
        (["lost", "finished"], "finished"),
        (["lost", "running"], "lost"),
        (["dreaming", "running"], "running"),
    ],
)
def test_clocks_that_differ_do_not_decide(told: list[str], wanted: str) -> None:
    events = [Event(at=str(at), host="", kind="state", facts={"state": state}) for at, state in enumerate(told)]
    after = Record(name="one").after(events)
    assert after.state == wanted
    assert bool(after.flaws) == ("dreaming" in told)


SIMPLE = st.none() | st.booleans() | st.integers() | st.text(max_size=3)
JSON = (
    SIMPLE | st.lists(SIMPLE, max_size=2) | st.dictionaries(st.sampled_from(["host", "pid", "x"]), SIMPLE, max_size=3)
)
FACTS = st.dictionaries(st.sampled_from([*Record.__slots__, "other"]), JSON, max_size=4)


@settings(deadline=None, suppress_health_check=list(HealthCheck))
@given(first=FACTS, later=FACTS)
def test_whatever_a_record_holds_it_is_read_and_shown(run: Run, first: dict[str, Any], later: dict[str, Any]) -> None:
    (run.folder / "record.json").write_text(json.dumps({"schema": "preflight.record/1", **first}))
    for file in run.folder.glob("events-*"):
        file.unlink()
    run.append("state", **{name: value for name, value in later.items() if name != "kind"})
    read = run.read()
    assert read.name == "one"
    assert row(read)[0] == "one"
    assert list(page(run, read, run.events()[0]))
    json.dumps(settled(Records(run.folder.parent), [read])[0].to_json())
