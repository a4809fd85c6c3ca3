"""The pages that are made from the source are up to date, and what they are for takes them."""

import shutil
import subprocess
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

from preflight.cli.main import COMMANDS

REPOSITORY = Path(__file__).parents[1]
DOCS = REPOSITORY / "docs"


def made() -> dict[str, str]:
    spec = spec_from_file_location("make", DOCS / "make.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.pages()


PAGES = made()


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_what_the_source_makes_of_it(name: str) -> None:
    assert (DOCS / name).read_text(encoding="utf-8") == PAGES[name], "`make docs` brings it up to date"


@pytest.mark.parametrize("text", PAGES.values(), ids=list(PAGES))
def test_nothing_of_this_machine_is_in_them(text: str) -> None:
    assert str(REPOSITORY) not in text
    assert str(Path.home()) + "/" not in text


def test_the_man_page_has_every_command_and_no_mistake() -> None:
    page = DOCS / "preflight.1"
    assert all(f".SS preflight {name}\n" in page.read_text() for name in COMMANDS)
    if not shutil.which("mandoc"):
        pytest.skip("mandoc is not installed")
    done = subprocess.run(["mandoc", "-T", "lint", page], capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("", 0)


@pytest.mark.parametrize(("code", "wanted"), [(0, 0), (1, 2), (2, 3), (3, 3), (130, 3)])
def test_the_wrapper_for_nagios(code: int, wanted: int, tmp_path: Path) -> None:
    _, _, block = (DOCS / "formats.md").read_text(encoding="utf-8").partition("```bash\n")
    (tmp_path / "plugin").write_text(block.partition("```")[0])
    (tmp_path / "preflight").write_text(f"#!/bin/sh\necho line; exit {code}\n")
    (tmp_path / "preflight").chmod(0o755)
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    done = subprocess.run(["sh", tmp_path / "plugin", "foo.yaml"], env=environment, capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (wanted, b"line\n")
