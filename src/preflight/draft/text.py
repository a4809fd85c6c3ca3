"""A section as YAML, and where it goes in a config that must stay as it is."""

from __future__ import annotations

from typing import Any

import yaml

from preflight.config.document import Node, parse, plain
from preflight.errors import UserError

WIDEST = 100


def write(section: dict[str, Any]) -> str:
    """Return the section as YAML, one line for each entry."""
    if not section:
        return "preflight: {}\n"
    lines = ["preflight:"]
    for key, value in section.items():
        short = f"  {key}: {_flow(value)}"
        is_short = isinstance(value, dict) or not any(isinstance(entry, dict) for entry in value)
        if is_short and len(short) <= WIDEST:
            lines.append(short)
        elif isinstance(value, dict):
            lines += [f"  {key}:", *(f"    {name}: {_flow(part)}" for name, part in value.items())]
        else:
            lines += [f"  {key}:", *(f"    - {_flow(entry)}" for entry in value)]
    return "\n".join(lines) + "\n"


def append(text: str, section: str, source: str) -> str:
    """Return what must follow `text` for the section to be a part of it, everything else unchanged.

    Raises UserError where the file has a section already, or ends so that nothing can follow.
    """
    before = parse(text, source)
    if "preflight" in before.value:
        where = f"{source}:{before.value['preflight'].line}"
        fix = "Remove it first, or see what would be written:\n    preflight init --print"
        raise UserError("there is a `preflight:` section already", where=where, fix=fix)
    gap = "\n" if text.endswith("\n") or not text else "\n\n"
    line_end = "\r\n" if "\r\n" in text else "\n"
    # A blank line would lengthen a block scalar that keeps its line ends.
    for between in (gap if text else "", gap[1:]):
        addition = (between + section).replace("\n", line_end)
        if _is_kept(before, text + addition):
            return addition
    fix = "Print the section and put it in by hand:\n    preflight init --print"
    raise UserError("nothing can be appended to this file", where=source, fix=fix)


def _is_kept(before: Node, text: str) -> bool:
    try:
        after = parse(text, "").value
    except UserError:
        return False
    rest = {key: node for key, node in after.items() if key != "preflight"}
    # Compared as text, since .nan is not equal to itself.
    return "preflight" in after and repr(plain(Node(rest, 1))) == repr(plain(before))


def _flow(value: Any) -> str:
    text = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, allow_unicode=True, width=float("inf"))
    return text.removesuffix("\n").removesuffix("\n...")
