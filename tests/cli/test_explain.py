"""The pages of checks and findings, found without running anything."""

from pathlib import Path

import pytest

from preflight.cli.explain import main, read_pages
from preflight.errors import UserError


def test_a_check_has_its_page(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["mine.warns"]) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"mine.warns\n    {project}/preflight_checks/check_mine.py:9\n\n    It is well.\n")
    assert "Prose about it." in said


def test_a_finding_has_its_line_and_the_page_of_its_check(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["mine.unwell"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("mine.unwell\n    it is not well\n\nmine.warns\n")


def test_an_entry_and_a_family(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["mine.holds[3]", "--config", "foo.yaml"])
    assert capsys.readouterr().out.startswith("mine.holds\n")
    main(["mine"])
    assert capsys.readouterr().out == "mine.holds  It holds.\nmine.warns  It is well.\nmine.fails  It is there.\n"


def test_what_preflight_itself_finds_is_explained(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config.ignore-expired"]) == 0
    assert "`until:` is past" in capsys.readouterr().out


def test_the_nearest_is_named(project: Path) -> None:
    with pytest.raises(UserError) as caught:
        main(["mine.unwel"])
    assert str(caught.value).startswith("mine.unwel is no check and no finding\n  Do you mean mine.unwell?")


def test_a_file_that_cannot_be_read_keeps_no_other_from_being_explained(project: Path) -> None:
    (project / "preflight_checks" / "check_bad.py").write_text("def check_(:\n")
    (project / "preflight_checks" / "check_odd.py").write_bytes(b"\0\xff")
    assert "mine.holds" in {page.id for page in read_pages(project)}


def test_a_wrong_config_that_was_not_named_is_no_hindrance(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "preflight.yaml").write_text("preflight: [\n")
    assert main(["mine.holds"]) == 0
    with pytest.raises(UserError, match=r"preflight\.yaml"):
        main(["mine.holds", "--config", "preflight.yaml"])


def test_nothing_is_run(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "preflight_checks" / "check_loud.py").write_text("raise SystemExit\ndef check_x(): 'A \x1b[5m title.'\n")
    main(["loud.x"])
    assert "A \\x1b[5m title." in capsys.readouterr().out


def test_every_builtin_check_has_a_claim_and_no_finding_twice() -> None:
    pages = list(read_pages(Path(__file__).parent))
    assert [page.id for page in pages if not page.title.endswith(".")] == []
    ids = [page.id for page in pages]
    assert len(ids) == len(set(ids))
    assert [name for page in pages for name, text in page.findings.items() if not text] == []
