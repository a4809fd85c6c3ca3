"""What docs/launching.md shows is understood."""

import re
from pathlib import Path

import pytest

from preflight import config
from preflight.cli.main import COMMANDS

PAGES = [Path(__file__).parents[2] / "docs" / name for name in ("launching.md", "gates.md")]
TEXT = PAGES[0].read_text(encoding="utf-8")


@pytest.mark.parametrize("block", re.findall(r"^```yaml\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL))
def test_settings_are_understood(block: str) -> None:
    assert config.load(None, text=block).launch


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_are_commands(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    named = {*re.findall(r"^ +preflight (\w+)", text, re.MULTILINE), *re.findall(r"`preflight (\w+)", text)}
    assert named <= COMMANDS.keys()
    assert named
