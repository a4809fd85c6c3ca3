"""A stored report is judged and shown again, and what is no report is told so."""

import json
import os
from pathlib import Path

import pytest

from preflight.cli.show import main
from preflight.errors import UserError

GOLDEN = Path(__file__).parents[1] / "golden"
STORED = sorted(GOLDEN.glob("*.json"))


@pytest.mark.parametrize("path", STORED, ids=lambda path: path.stem)
def test_a_stored_report_has_its_verdict(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    exit_code = int(path.name.split(".")[1])
    assert main([str(path)]) == exit_code
    assert capsys.readouterr().out == path.with_suffix(".terminal").read_text()


@pytest.mark.parametrize("form", ["junit", "json"])
def test_the_code_does_not_depend_on_the_format(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(GOLDEN / "no_go.1.json"), "--format", form]) == 1
    assert capsys.readouterr().out == (GOLDEN / f"no_go.1.{form}").read_text()


def test_the_stored_verdict_is_not_believed(tmp_path: Path) -> None:
    stored = json.loads((GOLDEN / "no_go.1.json").read_text())
    stored["verdict"] = {"word": "GO", "exit_code": 0}
    (tmp_path / "report.json").write_text(json.dumps(stored))
    assert main([str(tmp_path / "report.json")]) == 1


def test_files_and_the_page_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    outputs = [str(tmp_path / "a.xml"), str(tmp_path / "b.json")]
    (tmp_path / "b.json").write_text("old")
    arguments = ["--format", "junit", "--output", outputs[0], "--format", "json", f"--output={outputs[1]}"]
    assert main([str(GOLDEN / "go.0.json"), *arguments]) == 0
    assert capsys.readouterr().out == (GOLDEN / "go.0.terminal").read_text()
    assert Path(outputs[0]).read_text() == (GOLDEN / "go.0.junit").read_text()
    assert Path(outputs[1]).read_text() == (GOLDEN / "go.0.json").read_text()
    assert sorted(os.listdir(tmp_path)) == ["a.xml", "b.json"]


def test_a_file_beside_a_format_on_the_standard_output(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "page.txt"
    main([str(GOLDEN / "go.0.json"), "--format", "json", "--format", "terminal", "--output", str(page)])
    assert capsys.readouterr().out == (GOLDEN / "go.0.json").read_text()
    assert page.read_text() == (GOLDEN / "go.0.terminal").read_text()


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "latest.json").symlink_to("run1.json")
    main([str(GOLDEN / "go.0.json"), "--format", "json", "--output", str(tmp_path / "latest.json")])
    assert (tmp_path / "latest.json").is_symlink()
    assert json.loads((tmp_path / "run1.json").read_text())["verdict"]["word"] == "GO"


def test_a_device_is_written_as_it_is() -> None:
    assert main([str(GOLDEN / "go.0.json"), "--format", "json", "--output", os.devnull]) == 0
    assert not os.path.isfile(os.devnull)


def test_colors_are_forced_and_refused(preflight) -> None:
    path = str(GOLDEN / "go.0.json")
    assert "\x1b[1;32mGO\x1b[0m" in preflight("show", path, FORCE_COLOR="1").stdout
    assert "\x1b" not in preflight("show", path, FORCE_COLOR="1", NO_COLOR="1").stdout


def test_a_locale_without_umlauts(preflight) -> None:
    ended = preflight("show", str(GOLDEN / "hostile.1.json"), LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")
    assert (ended.returncode, ended.stderr) == (1, "")
    assert "100%|\\u2588" in ended.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--format", "json", "--format", "junit"], "only one format can go to the standard output"),
        (["--format", "json", "--output", "none/report.json"], "there is no folder"),
        (["--format", "json", "--output", "/tmp"], "is a folder"),
    ],
)
def test_outputs_that_cannot_be(arguments: list[str], said: str) -> None:
    with pytest.raises(UserError, match=said):
        main([str(GOLDEN / "go.0.json"), *arguments])


@pytest.mark.parametrize("arguments", [["--output", "x"], ["--format", "json", "--output", "x", "--output", "y"]])
def test_an_output_wants_its_format(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main([str(GOLDEN / "go.0.json"), *arguments])
    assert "--output needs a --format of its own" in capsys.readouterr().err


def test_a_full_disk_loses_the_file_and_not_the_page(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UserError, match="/dev/full cannot be written: No space left"):
        main([str(GOLDEN / "go.0.json"), "--format", "json", "--output", "/dev/full"])
    assert capsys.readouterr().out.splitlines()[-1].startswith("GO  ")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no json",
        "[]",
        "3",
        "{}",
        '{"schema": "preflight.report/2", "results": []}',
        '{"schema": "preflight.report/1"}',
        '{"schema": "preflight.report/1", "results": 3}',
        '{"schema": "preflight.report/1", "results": [3]}',
        '{"schema": "preflight.report/1", "results": [{"check": "a.b", "status": "GREEN"}]}',
        '{"schema": "preflight.report/1", "results": [{"check": "a.b", "status": "FAILED", "findings": [{}]}]}',
        '{"schema": "preflight.report/1", "results": [{"check": 3, "status": "PASSED"}]}',
        '{"schema": "preflight.report/1", "results": [{"check": "a.b", "status": "PASSED", "seconds": "x"}]}',
        '{"schema": "preflight.report/1", "results": [], "facts": 3, "config": 3}',
        "[" * 100_000,
    ],
)
def test_what_is_no_report_is_told(text: str, tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text(text)
    with pytest.raises(UserError, match="is no report"):
        main([str(path)])


@pytest.mark.parametrize(("path", "said"), [("missing.json", "No such file"), ("/tmp", "Is a directory")])
def test_what_cannot_be_read_is_told(path: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        main([path])
