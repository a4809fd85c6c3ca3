"""What docs/records.md says is so."""

import re
import shlex
from pathlib import Path

import pytest

from preflight import config
from preflight.cli.main import main
from preflight.errors import UserError
from preflight.records.folder import Records
from preflight.records.record import Record, now
from preflight.records.states import State

PAGE = (Path(__file__).parents[2] / "docs" / "records.md").read_text(encoding="utf-8")


def blocks_of(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


COMMANDS = [line.partition("#")[0].strip() for line in "".join(blocks_of("sh")).splitlines()]


@pytest.mark.parametrize("command", COMMANDS)
def test_the_commands_are_understood(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    records = Records(tmp_path / ".preflight" / "runs")
    for name, state in (("OTHER", State.FINISHED), ("RUN", State.FAILED)):
        run = records.create(Record(name=name))
        run.enter(state, started=now(), exit_code=int(state is State.FAILED))
        run.log.touch()
    assert main(shlex.split(command)[1:]) == 0


def test_every_state_is_told() -> None:
    rows = re.findall(r"^\| ([a-z, ]+) \| ", PAGE, re.MULTILINE)
    assert {word for row in rows for word in row.split(", ")} - {"state", "file"} == {str(each) for each in State}


def test_the_config_is_understood() -> None:
    (block,) = blocks_of("yaml")
    assert Records.of(config.load(None, text=block)).folder == Path("/shared/me/runs")


def test_a_records_key_that_is_misspelt_is_told() -> None:
    with pytest.raises(UserError, match="did you mean `records`"):
        config.load(None, text="preflight: {launch: {record: x}}\n")
