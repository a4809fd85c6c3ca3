"""HTML that is escaped by construction: text becomes markup only through `tag`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape

from preflight.reports.text import clipped

_VOID = frozenset({"meta", "input", "br", "link"})

Attributes = Mapping[str, object]


class Markup(str):
    """Text that is HTML already; only `tag`, `joined` and the files of this folder make it."""

    __slots__ = ()


Child = str | Iterable[str]


def tag(name: str, attributes: Attributes | None = None, *children: Child) -> Markup:
    """Return an element; children that are no Markup are escaped, cut where nobody would read on, and made visible.

    An attribute that is True stands without a value, one that is None or False is left out.
    """
    given = (attributes or {}).items()
    told = "".join(
        f" {key}" if value is True else f' {key}="{escape(clipped(str(value)))}"'
        for key, value in given
        if value is not None and value is not False
    )
    start = Markup(f"<{name}{told}>")
    return start if name in _VOID else Markup(f"{start}{joined(*children)}</{name}>")


def joined(*children: Child) -> Markup:
    """Return children in a row."""
    return Markup("".join(_one(each) if isinstance(each, str) else joined(*each) for each in children))


def _one(child: str) -> str:
    return child if isinstance(child, Markup) else escape(clipped(child))
