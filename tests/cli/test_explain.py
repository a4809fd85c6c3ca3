"""The pages of checks and findings, found without running anything."""

import ast
import re
import subprocess
from dataclasses import fields
from pathlib import Path

import pytest

from preflight import config
from preflight.cli.explain import _about, main, met, read_pages
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
    assert capsys.readouterr().out == (
        "mine.holds  It holds.\nmine.warns  It is well.\nmine.fails  It is there.\n    mine.unwell  it is not well\n"
    )


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


REPOSITORY = Path(__file__).parents[2]
PAGES = list(read_pages(Path(__file__).parent))
NAMES = {name for page in PAGES for name in (page.id, *page.findings)}
PASTED = {line for page in PAGES for line in page.by_hand.splitlines()}
FAMILIES = {name.partition(".")[0] for name in NAMES}
SOURCES = [*REPOSITORY.glob("src/preflight/**/*.py"), *REPOSITORY.glob("preflight_checks/*.py")]
# Files of these names are spoken of, and `data.url` and its kin are keys that `check(per=...)` takes.
NO_FINDINGS = re.compile(r".*\.(json|jsonl|yaml|yml|pkl|txt)|data\.(database|local|url)")


def ids_in(tree: ast.AST) -> dict[str, str]:
    """Return what is written like an id of ours, as a pattern in which a value filled in may be anything."""
    inner = {id(each) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for each in node.values}
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inner:
            found[node.value] = re.escape(node.value)
        elif isinstance(node, ast.JoinedStr):
            parts = [each.value if isinstance(each, ast.Constant) else "{}" for each in node.values]
            found["".join(parts)] = "".join("[a-z0-9-]+" if part == "{}" else re.escape(part) for part in parts)
    shape = re.compile(r"[a-z0-9-]+\.[a-z0-9{}-]+")
    return {
        text: pattern
        for text, pattern in found.items()
        if shape.fullmatch(text) and text.partition(".")[0] in FAMILIES and not NO_FINDINGS.fullmatch(text)
    }


def keys_of_the_config() -> set[str]:
    sections = [config.Data, config.Packages, config.System, config.Gpu, config.Seeds, config.Rehearsal, config.Code]
    return {f"{cls.__name__.lower()}.{field.name}" for cls in sections for field in fields(cls)}


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_every_id_in_the_source_has_its_line(source: Path) -> None:
    written = ids_in(ast.parse(source.read_text(encoding="utf-8")))
    known = NAMES | keys_of_the_config()
    assert [text for text, pattern in written.items() if not any(re.fullmatch(pattern, name) for name in known)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.id)
def test_a_page_says_how_to_see_it_and_how_to_fix_it(page) -> None:
    assert page.subject
    assert subprocess.run(["bash", "-n"], input=page.by_hand, text=True, check=False).returncode == 0
    for name in (page.id, *page.findings):
        lines = list(_about(name, PAGES))
        said = "\n".join(lines)
        for part in ("how to see it", "how to fix it"):
            assert re.search(rf"^{part}\n    \S.*\n {{4,8}}\S", said, re.MULTILINE), said
        assert page.findings.get(name, page.title).split()[0] in said
        # Only what is pasted or opened, and where the check stands, may be wider than a terminal.
        wide = [line for line in lines if len(line) > 80 and page.file not in line and "://" not in line]
        assert {line.strip() for line in wide} <= PASTED


def test_nothing_named_lists_the_families(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert {line.split(" ")[0] for line in capsys.readouterr().out.splitlines()} >= {page.family for page in PAGES}


def test_a_finding_tells_where_people_met_it(capsys: pytest.CaptureFixture[str]) -> None:
    [row] = met(["data.lfs-pointer"])
    assert row[:2] == ("D01", "a Git LFS pointer lies where the weights should")
    main(["data.lfs-pointer"])
    said = capsys.readouterr().out
    assert "    D01  a Git LFS pointer" in said
    assert row.threads
    assert all(f"\n         {thread}\n" in said for thread in row.threads)
