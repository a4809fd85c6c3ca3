"""Unanswered: what a config may ask for already, and only a later version looks at."""

import pytest

from preflight import check
from preflight.config import Config

LATER = "is read, and a later version looks at it"
OF_DATA = ("open", "columns", "rows", "missing", "values", "encoding")


@check(when="data")
def check_contents_of_data(config: Config) -> None:
    """No entry of `data:` asks for what only a later version looks at: the files are opened, their contents are not."""
    asked = [
        f"{entry.at.key or 'data'}.{key}"
        for entry in config.data
        for key in OF_DATA
        if getattr(entry, key) not in (None, "", (), {})
    ]
    if asked:
        pytest.skip(f"{', '.join(asked)} {LATER}")


@check(when="gpu.idle")
def check_idle_gpu() -> None:
    """The devices are idle."""
    pytest.skip(f"gpu.idle {LATER}")


@check(when="seeds.command")
def check_seeds_of_a_command() -> None:
    """The command gives the same result twice under one seed."""
    pytest.skip(f"seeds.command {LATER}")


@check(when="rehearsal")
def check_rehearsal() -> None:
    """The real program runs for a few batches."""
    pytest.skip(f"rehearsal {LATER}")
