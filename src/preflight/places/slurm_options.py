"""`launch.slurm` as the options of sbatch and of salloc."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from preflight.errors import UserError
from preflight.phrases import in_a_row

_OURS = {"output", "error", "chdir", "wrap", "parsable", "open-mode", "test-only", "wait", "input", "export-file"}


def options_in(page: str) -> set[str]:
    """Return the names of the options that the text of `--help` speaks of."""
    return set(re.findall(r"--([a-z][a-z0-9-]+)", page))


def as_written(options: Mapping[str, Any], text: str) -> dict[str, Any]:
    """Return options with numbers as the config has them: YAML 1.1 reads `time: 1:00:00` as 3600, Slurm as an hour."""
    import yaml

    written = yaml.load(text, Loader=yaml.BaseLoader)  # noqa: S506 - it makes nothing but text
    for key in ("preflight", "launch", "slurm"):
        written = written.get(key) if isinstance(written, Mapping) else None
    raw = written if isinstance(written, Mapping) else {}
    numbers = [name for name, value in options.items() if type(value) in (int, float) and "$" not in raw.get(name, "$")]
    return {**options, **{name: raw[name] for name in numbers}}


def words(given: Mapping[str, object], known: set[str], place: str) -> Iterator[str]:
    """Yield the options as Slurm's commands take them; raises UserError for one that is not `known`, or is ours."""
    for name, value in given.items():
        option, where = name.replace("_", "-"), f"{place}.{name}"
        if option in _OURS:
            raise UserError(f"--{option} is preflight's to set", where=where, fix="Remove the line.")
        if option not in known:
            raise UserError(f"sbatch has no option --{option}", where=where, fix=_nearest(option, known))
        if isinstance(value, Mapping | list):
            raise UserError("an option of sbatch is one value", where=where, fix="Write lists as sbatch does: a,b")
        if value is not False and value is not None:
            yield f"--{option}" if value is True else f"--{option}={value}"


def _nearest(option: str, known: set[str]) -> str:
    from difflib import get_close_matches

    near = get_close_matches(option, known, n=3)
    return f"Do you mean {in_a_row(near)}?" if near else "`sbatch --help` lists them."
