"""`preflight report`."""

import re
import shlex
import sys
from pathlib import Path
from types import ModuleType

import pytest

from preflight.cli import report
from preflight.cli.main import main
from preflight.errors import UserError
from preflight.records.folder import Records


@pytest.fixture
def project(records: Records, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "preflight.yaml").write_text(f"preflight: {{launch: {{records: {records.folder}}}}}\n")
    monkeypatch.chdir(folder)
    return folder


def test_it_writes_a_folder(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "export", "--dir", "public"]) == 0
    assert capsys.readouterr().out == "20 pages: public/index.html\n"
    assert (project / "public" / "run" / "bad.html").is_file()


@pytest.mark.parametrize("number", ["0", "-1"])
def test_no_runs_are_no_number(project: Path, number: str) -> None:
    with pytest.raises(UserError, match="no number of runs"):
        main(["report", "export", "--dir", "public", "--last", number])


@pytest.mark.parametrize("missing", ["bottle", "waitress"])
def test_a_library_that_is_missing_is_told_with_what_installs_it(
    project: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    pytest.importorskip("bottle", reason="serving needs bottle")
    pytest.importorskip("waitress", reason="serving needs waitress")
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(UserError, match=f"{missing} is not installed") as told:
        main(["report", "serve", "--port", "0"])
    assert told.value.fix == "python -m pip install 'bottle>=0.13' 'waitress>=3.0'"


def test_a_port_that_is_none_is_told(project: Path) -> None:
    with pytest.raises(UserError, match="--port 70000 is no port"):
        main(["report", "serve", "--port", "70000"])


def test_a_folder_without_runs_has_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["report", "export", "--dir", "public"]) == 0
    assert "No run is recorded here." in (tmp_path / "public" / "index.html").read_text()


def test_records_are_made_by_no_look(history: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    main(["report", "export", "--dir", "public"])
    assert [each.name for each in tmp_path.iterdir()] == ["public"]


PAGE = (Path(__file__).parents[2] / "docs" / "reports.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("command", re.findall(r"^preflight report (.*?) *#", PAGE, re.MULTILINE))
def test_the_commands_of_the_page_are_understood(command: str) -> None:
    assert report.parser().parse_args(shlex.split(command)).action in ("serve", "export")


def test_the_page_says_what_installs_the_libraries() -> None:
    from preflight.site import server

    assert server.FIX in PAGE
    assert f":{report.PORT}" in PAGE
