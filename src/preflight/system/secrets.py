"""What is secret here, as far as names and shapes tell, and text without it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import quote

HIDDEN = "***"

# The ends of names whose values nobody wants to see: `HF_TOKEN`, `db.password`, `wandbApiKey`.
_NAME = re.compile(
    r"(?i:tokens?|secrets?|pass(?:word|wd|phrase)s?|_pwd|(?:api|access|secret|private|auth)_?keys?|credentials?|_pat|_auth)$"
    r"|^[A-Z\d_]+_KEYS?$"
)
# Those that name nothing else, however simple the value is.
_SURE = re.compile(r"(?:secrets?|pass(?:word|wd|phrase)s?|_pwd)$", re.IGNORECASE)
_PATH = re.compile(r"[~.]?(?:/[\w.@+ -]+)+/?")
# `<|endoftext|>` and `[PAD]` are tokens of another kind.
_WORD = re.compile(r"<.*>|\[.*\]|\{.*\}|\$.*")

# What services give out has a shape that nothing else has.
_SHAPES = (
    r"\bhf_[A-Za-z0-9]{30,}",
    r"\bgh[opsur]_[A-Za-z0-9]{36,}",
    r"\bgithub_pat_[A-Za-z0-9_]{60,}",
    r"\bglpat-[\w-]{20,}",
    r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",
    r"\bAIza[\w-]{35}",
    r"\bxox[abeoprs]-[\w-]{10,}",
    r"\bpypi-AgE[\w-]{50,}",
    r"\bnpm_[A-Za-z0-9]{36}\b",
    r"\bsk-(?:[a-z]+\d*-){0,3}[A-Za-z0-9_]{32,}",
    r"(?<![\w-])eyJ[\w-]{6,}+\.eyJ[\w-]{6,}+\.[\w-]{10,}",
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----(?s:.*?)(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)",
)
# What stands in front of a secret stays: the scheme of a URL, the name in a query, the kind of an authorization.
_BEHIND = (
    r"(?<=://)[^\s/?#@:'\"<>]*:[^\s/?#'\"<>]*(?=@)",
    r"(?:(?<=http://)|(?<=https://))[^\s/?#@:'\"<>]+(?=@)",
    r"(?P<query>[?&][\w.-]*(?:token|secret|signature|sig|password|api_?key|credential)=)[^&\s'\"<>#]+",
    r"(?P<header>\bauthorization['\"]?\s*[:=]\s*['\"]?(?:(?:bearer|basic|token)\s+)?)[^\s'\",}]{8,}",
    r"(?P<bearer>\bbearer\s+)[\w.~+/-]{16,}=*",
)
_SHAPED = re.compile(f"{'|'.join(_SHAPES)}|(?i:{'|'.join(_BEHIND)})")
# One of these stands in whatever `_SHAPED` finds, and is found several times faster.
_MARKS = (
    *("hf_", "ghp_", "gho_", "ghs_", "ghu_", "ghr_", "github_pat_", "glpat-", "AKIA", "ASIA", "AIza", "xox"),
    *("pypi-AgE", "npm_", "sk-", "eyJ", "PRIVATE KEY", "@", "=", "earer", "EARER", "uthorization", "UTHORIZATION"),
)

_SHORT = 300


class Secrets:
    """The secrets that are known by value, and those that are known by their shape."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        written = {spelling for value in values for spelling in _spellings(value)}
        self._known = sorted(written, key=len, reverse=True)  # the longest first, as one may hold another
        # Nodes say the same titles, paths and versions again and again; equal ones become one object.
        self._short = lru_cache(maxsize=4096)(self._text)

    def hide(self, value: Any) -> Any:
        """Return plain values (text, numbers, lists, mappings) in which `***` stands for each secret."""
        match value:
            case str():
                return self._short(value) if len(value) < _SHORT else self._text(value)
            case None | int() | float():
                return value
            case Mapping():
                return {self.hide(key): self.hide(each) for key, each in value.items()}
            case list() | tuple():
                return [self.hide(each) for each in value]
        return value

    def _text(self, text: str) -> str:
        if len(text) < 8:  # shorter than any secret that can be told from a word
            return text
        for known in self._known:
            text = text.replace(known, HIDDEN)
        if not any(mark in text for mark in _MARKS):
            return text
        return _SHAPED.sub(lambda found: f"{found[found.lastgroup] if found.lastgroup else ''}{HIDDEN}", text)


def named(values: Mapping[str, Any]) -> Iterator[str]:
    """Yield the values, at any depth, that are secret by the names that they stand under."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from named(value)
        elif isinstance(value, list):
            for each in value:
                yield from named({name: each})
        elif isinstance(value, str) and _NAME.search(str(name)) and _is_secret(str(name), value):
            yield value


def passwords() -> Iterator[str]:
    """Yield the passwords of the user's netrc file, where wandb and others keep their keys."""
    import netrc
    import os

    try:
        held = netrc.netrc(os.environ.get("NETRC") or None)
    except (OSError, netrc.NetrcParseError, UnicodeDecodeError):
        return
    yield from (password for _, _, password in held.hosts.values() if password and len(password) >= 8)


def _is_secret(name: str, value: str) -> bool:
    """Tell whether a value can be a secret: no path of a key file, no switch, no token of a vocabulary."""
    if len(value) < 8 or _WORD.fullmatch(value):
        return False
    if _SURE.search(name):
        return True
    if _PATH.fullmatch(value) or "://" in value:
        return False
    return bool(re.search(r"\d", value) and re.search(r"[A-Za-z]", value)) or (len(value) >= 20 and " " not in value)


def _spellings(value: str) -> set[str]:
    """Return a secret as it may be written: as it is, in a URL, in a literal."""
    return {value, quote(value, safe=""), json.dumps(value)[1:-1], repr(value)[1:-1]}
