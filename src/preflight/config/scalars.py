"""What a single value of the config may be: the words for it, and the function that reads it."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from preflight.quantities import LARGEST, parse_count, parse_duration, parse_size

_NAME = r"[^\W\d]\w*(\.[^\W\d]\w*)*"
# What `rehearsal.learning` may ask.
QUESTIONS = ("overfit", "repeatable", "independent", "disjoint")
_ACCESS = frozenset({"read", "write", "execute"})
_PORTS = (1, 65_535)
_DTYPES = {name: name for name in ("float64", "float32", "tf32", "float16", "bfloat16", "float8", "int8")}
_DTYPES |= {"fp64": "float64", "double": "float64", "fp32": "float32", "float": "float32", "fp16": "float16"}
_DTYPES |= {"half": "float16", "bf16": "bfloat16", "fp8": "float8"}


@dataclass(frozen=True, slots=True)
class Scalar:
    """What a scalar may be: the words for it, and the function that reads it or raises ValueError.

    `types` are the names that JSON Schema has for what it may be besides text, `words` all that it may be where these
    are few.
    """

    wanted: str
    read: Callable[[Any], Any]
    types: tuple[str, ...] = ()
    words: tuple[str, ...] = ()


def read_text(value: Any) -> str:
    """Return text that is not empty and that the operating system can take; raises ValueError otherwise."""
    if not isinstance(value, str) or not value.strip() or "\0" in value:
        raise ValueError
    return value


def matching(pattern: str) -> Callable[[Any], str]:
    """Return a reader of text that the pattern matches wholly."""
    compiled = re.compile(pattern)

    def read_matching(value: Any) -> str:
        if not compiled.fullmatch(text := read_text(value)):
            raise ValueError
        return text

    return read_matching


def whole_number(low: int, high: int) -> Callable[[Any], int]:
    """Return a reader of whole numbers from `low` to `high`, also where they stand in quotes."""

    def read_number(value: Any) -> int:
        number = parse_count(value)
        if not low <= number <= high:
            raise ValueError
        return number

    return read_number


def read_number(value: Any) -> float:
    """Return a finite number, also of text such as `1e-4`, which YAML takes for text; raises ValueError otherwise."""
    match value:
        case bool():
            raise ValueError
        case int() if abs(value) <= LARGEST:
            return value
        case float() | str() if math.isfinite(number := float(value)):
            return number
    raise ValueError


def read_bool(value: Any) -> bool:
    """Return `value` where it is true or false; raises ValueError otherwise."""
    match value:
        case bool():
            return value
    raise ValueError


def _read_date(value: Any) -> date:
    if isinstance(value, datetime):
        return value.date()
    return value if isinstance(value, date) else date.fromisoformat(read_text(value))


def _read_specifiers(value: Any) -> str:
    from packaging.specifiers import SpecifierSet

    text = read_text(value).strip()
    SpecifierSet(text)  # InvalidSpecifier is a ValueError
    return text


def _read_open(value: Any) -> int | str:
    return "all" if value == "all" else whole_number(1, 2**31)(value)


def _read_access(value: Any) -> frozenset[str]:
    """Return the words of `read+write` or `[read, write]`."""
    words = value if isinstance(value, list) else read_text(value).split("+")
    access = frozenset(word.strip() if isinstance(word, str) else "" for word in words)
    if not access or not access <= _ACCESS:
        raise ValueError
    return access


def _read_question(value: Any) -> str:
    if value not in QUESTIONS:
        raise ValueError
    return str(value)


def _read_dtype(value: Any) -> str:
    """Return a dtype by torch's name for it, `tf32` and `float8` as they are called everywhere."""
    word = read_text(value).strip().lower().removeprefix("torch.")
    if word not in _DTYPES:
        raise ValueError
    return _DTYPES[word]


def _read_range(value: Any) -> tuple[float, float]:
    if not isinstance(value, list) or len(value) != 2:
        raise ValueError
    low, high = (read_number(end) for end in value)
    if low > high:
        raise ValueError
    return low, high


def _read_set(value: Any) -> tuple[Any, ...]:
    if not isinstance(value, list) or not value or any(isinstance(each, list | dict) for each in value):
        raise ValueError
    return tuple(value)


def _read_host(value: Any) -> str:
    """Return `name:port`; an IPv6 address stands in brackets."""
    text = read_text(value).strip()
    name, _, port = text.rpartition(":")
    plain_name = name and not re.search(r"[\s/@]", name) and (":" not in name or (name[0] == "[" and name[-1] == "]"))
    if not plain_name or not port.isdecimal():
        raise ValueError
    whole_number(*_PORTS)(port)
    return text


def _read_encoding(value: Any) -> str:
    try:
        "".encode(name := read_text(value))
    except LookupError:
        raise ValueError from None
    return name


def _read_glob(value: Any) -> str:
    if (text := read_text(value)).startswith("/"):
        raise ValueError
    return text


def _read_command(value: Any) -> str:
    import shlex

    shlex.split(text := read_text(value))  # raises ValueError where a quote is not closed
    return text


def _read_column(value: Any) -> str:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else read_text(value)


Size = Annotated[int, Scalar("a size such as 50GB, 40GiB or 512MB", parse_size, ("number",))]
Count = Annotated[int, Scalar("a count such as 5000, 100k or 2M", parse_count, ("number",))]
Duration = Annotated[float, Scalar("a duration such as 60s, 2m or 1h30m", parse_duration, ("number",))]
Day = Annotated[date, Scalar("a date such as 2027-01-31", _read_date)]
Specifiers = Annotated[str, Scalar("a version specifier such as >=8.0", _read_specifiers)]
Module = Annotated[str, Scalar("an import name such as torch, or torch>=2.4", matching(_NAME))]
Step = Annotated[str, Scalar("`module:function`", matching(f"{_NAME}:{_NAME}"))]
Port = Annotated[int, Scalar("a port from 1 to 65535", whole_number(*_PORTS), ("number",))]
Host = Annotated[str, Scalar("`name:port`", _read_host)]
Access = Annotated[
    frozenset[str], Scalar("read, write, execute, or some of them joined by `+`", _read_access, ("array",))
]
Open = Annotated[int | Literal["all"], Scalar("a number of files above 0, or `all`", _read_open, ("number",))]
Question = Annotated[str, Scalar(f"one of {', '.join(QUESTIONS)}", _read_question, words=QUESTIONS)]
Dtype = Annotated[str, Scalar("float64, float32, tf32, float16, bfloat16, float8 or int8", _read_dtype)]
Range = Annotated[tuple[float, float], Scalar("two numbers, the smaller first", _read_range, ("array",))]
Choice = Annotated[tuple[Any, ...], Scalar("a list of single values", _read_set, ("array",))]
Encoding = Annotated[str, Scalar("an encoding that Python knows, such as utf-8", _read_encoding)]
Sha256 = Annotated[str, Scalar("64 hexadecimal digits in quotes", matching(r"[0-9a-fA-F]{64}"))]
Glob = Annotated[str, Scalar("a glob below the path, such as **/*.png", _read_glob)]
Command = Annotated[str, Scalar("a command line", _read_command)]
Column = Annotated[str, Scalar("a column name", _read_column, ("integer",))]
Drifted = Annotated[
    str, Scalar("commit, refuse or ignore", matching("commit|refuse|ignore"), words=("commit", "refuse", "ignore"))
]
Requeues = Annotated[int, Scalar("a number from 0 to 10", whole_number(0, 10), ("number",))]
Seed = Annotated[int, Scalar("a whole number from 0 to 2^32 - 1", whole_number(0, 2**32 - 1), ("number",))]
Variable = Annotated[str, Scalar("the name of an environment variable", matching(r"[^\s=]+"))]
FindingId = Annotated[str, Scalar("the id of a finding such as gpu.persistence", matching(r"\S+"))]
Python = Annotated[str, Scalar("an interpreter, such as python or /opt/env/bin/python", read_text)]
Folder = Annotated[Path, Scalar("a folder", lambda value: Path(read_text(value)))]
