"""Sizes, durations and counts, read as people write them and written back for people."""

from __future__ import annotations

import math
import re

# What a signed 64-bit number holds: no machine has more bytes, files or rows.
LARGEST = 2**63 - 1
LONGEST = 366 * 86_400.0

_NUMBER = re.compile(r"(\d[\d_]*(?:\.\d+)?(?:[eE][+-]?\d{1,3})?)\s*([a-zA-Z]*)", re.ASCII)
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?\s*(?:ms|d|h|min|m|s)\s*)+", re.ASCII)
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|d|h|min|m|s)", re.ASCII)

_THOUSANDS = ("", "k", "m", "g", "t", "p")
_SIZES = {"b": 1}
for _power, _letter in enumerate(_THOUSANDS[1:], start=1):
    _SIZES |= {_letter: 1000**_power, f"{_letter}b": 1000**_power}
    _SIZES |= {f"{_letter}i": 1024**_power, f"{_letter}ib": 1024**_power}
_COUNTS = {letter: 1000**power for power, letter in enumerate(_THOUSANDS[:5])} | {"b": 1000**3}
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86_400.0}


def parse_size(value: object) -> int:
    """Return bytes: `50GB` and `50G` are 50 * 10^9, `40GiB` and `40Gi` are 40 * 2^30, a bare number is bytes.

    Raises ValueError where `value` is no size.
    """
    return _whole(value, _SIZES | {"": 1}, "a size such as 50GB, 40GiB or 512MB")


def parse_count(value: object) -> int:
    """Return a number of things: `100k`, `2M`, `1_000`, `5e4` or a bare number.

    Raises ValueError where `value` is no count.
    """
    return _whole(value, _COUNTS, "a count such as 5000, 100k or 2M")


def parse_duration(value: object) -> float:
    """Return seconds: `60s`, `2m`, `1h30m`, `1.5 h`, `250ms`; a bare number is seconds.

    Raises ValueError where `value` is no duration, not above zero or longer than a year.
    """
    text = _text(value)
    if _DURATION.fullmatch(text):
        seconds = sum(float(number) * _SECONDS[unit] for number, unit in _DURATION_PART.findall(text))
    elif (match := _NUMBER.fullmatch(text)) and not match[2]:
        seconds = float(match[1].replace("_", ""))
    else:
        raise ValueError(f"{text!r} is not a duration such as 60s, 2m or 1h30m")
    if not 0 < seconds <= LONGEST:
        raise ValueError(f"{text!r} is not between zero and a year")
    return seconds


def format_size(size: float) -> str:
    """Return bytes in the decimal unit that reads best: `50 GB`, `1.5 MB`, `0 B`."""
    power = 0
    while abs(size) >= 999.5 and power < len(_THOUSANDS) - 1:
        size, power = size / 1000, power + 1
    unit = ("B", "kB", "MB", "GB", "TB", "PB")[power]
    return f"{size:.0f} {unit}" if abs(size) >= 99.5 else f"{size:.3g} {unit}"


def format_duration(seconds: float) -> str:
    """Return seconds as people say them: `0.25 s`, `3.2 s`, `45 s`, `2m`, `1h30m`."""
    if seconds < 59.5:
        return f"{seconds:.0f} s" if seconds >= 9.95 else f"{seconds:.2g} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    parts = ((hours, "h"), (minutes, "m"), (rest, "s"))
    return "".join(f"{number}{unit}" for number, unit in parts if number)


def _text(value: object) -> str:
    """Return what `value` reads like in a file; booleans and everything but numbers and text are refused."""
    match value:
        case bool():
            raise ValueError(f"{value} is not a number")
        case int() if abs(value) > LARGEST:
            raise ValueError("the number is larger than 2^63")
        case float() if not math.isfinite(value):
            raise ValueError(f"{value} is not a finite number")
        case int() | float() | str():
            return str(value).strip()
    raise ValueError(f"a {type(value).__name__} is not a number")


def _whole(value: object, units: dict[str, int], wanted: str) -> int:
    text = _text(value)
    match = _NUMBER.fullmatch(text)
    unit = units.get(match[2].lower()) if match else None
    if match is None or unit is None:
        raise ValueError(f"{text!r} is not {wanted}")
    number = match[1].replace("_", "")
    amount = int(number) * unit if number.isdecimal() and len(number) < 20 else float(number) * unit
    if amount > LARGEST:
        raise ValueError(f"{text!r} is larger than 2^63")
    if unit == 1 and amount != int(amount):
        raise ValueError(f"{text!r} is not a whole number")
    return round(amount)
