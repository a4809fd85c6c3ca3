"""The page around what a view has to show: one file with its style and its script in it, and no way out."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from functools import cache
from pathlib import Path

from preflight.reports.html.markup import Child, Markup, joined, tag


def page(title: str, *parts: Child, style: str = "", script: str = "", forms: str = "'none'") -> str:
    """Return a whole document; nothing in it is loaded from elsewhere, and no other script than ours runs.

    `style` and `script` come after those of a report; `forms` is where a form may be sent, as a policy says it.
    """
    style, script = _text("style.css") + style, _text("script.js") + script
    policy = (
        f"default-src 'none'; style-src 'sha256-{_digest(style)}'; script-src 'sha256-{_digest(script)}'; "
        f"base-uri 'none'; form-action {forms}; connect-src 'self'"
    )
    head = tag(
        "head",
        None,
        tag("meta", {"charset": "utf-8"}),
        Markup(f'<meta http-equiv="Content-Security-Policy" content="{policy}">'),
        tag("meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"}),
        tag("meta", {"name": "color-scheme", "content": "light dark"}),
        tag("meta", {"name": "referrer", "content": "no-referrer"}),
        tag("title", None, title),
        Markup(f"<style>{style}</style>"),
    )
    skip = tag("a", {"class": "skip", "href": "#main"}, "Skip to the report")
    body = tag("body", None, skip, joined(*parts), Markup(f"<script>{script}</script>"))
    return f"<!DOCTYPE html>\n{tag('html', {'lang': 'en'}, head, body)}\n"


@cache
def _text(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return b64encode(hashlib.sha256(text.encode()).digest()).decode()
