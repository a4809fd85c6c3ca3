"""The world that a run met, as far as two can be compared: code, config, packages, driver, data, host, limits."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from preflight.errors import UserError
from preflight.phrases import without_secrets

World = dict[str, dict[str, Any]]

HIDDEN = "(hidden)"
# Keys whose values nobody wants to see on a screen, told whole words of `wandb_api_key` or `authToken`.
_SECRET = re.compile(
    r"(?:^|[^a-z])(?:tokens?|secrets?|pass(?:word|wd|phrase)?|pwd|api_?key|apikey|access_?key|private_?key|credentials?|auth)"
    r"(?:$|[^a-z])"
)
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
_MOST_VALUES = 5_000

# What differs between any two runs and explains nothing.
_OF_ONE_RUN = {"SLURM_JOB_ID"}


def world_of(facts: Mapping[str, Any], config: str = "", source: str = "") -> World:
    """Return what is known from the facts of a report and the text of its config, by kind and name.

    Nothing secret is in it: of the config the values as they are written, so without what the environment gives to
    them, URLs without credentials, and none under a key that is called like a secret.
    """
    commit = {name: facts[name] for name in ("commit", "branch") if facts.get(name)}
    uncommitted = {name: facts[name] for name in ("changed", "untracked") if facts.get(name)}
    devices = [str(each.get("name")) for each in facts.get("gpus") or ()]
    driver = {"driver": facts.get("driver_version"), "GPUs": ", ".join(devices) if devices else None}
    place = {name: facts.get(name) for name in ("host", "system", "processors")}
    return {
        "data": dict(facts.get("data") or {}),
        "packages": dict(facts.get("packages") or {}),
        "config": dict(_values(config, source)),
        "driver": _told(driver),
        "python": _told({"Python": facts.get("python"), "environment": facts.get("prefix")}),
        "locks": dict(facts.get("locks") or {}),
        "code": {**commit, **uncommitted},
        "limits": dict(facts.get("limits") or {}),
        "variables": {name: value for name, value in (facts.get("variables") or {}).items() if name not in _OF_ONE_RUN},
        "host": _told(place),
    }


def _told(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in facts.items() if value not in (None, "")}


def _values(text: str, source: str) -> Iterator[tuple[str, Any]]:
    """Yield each value of a config by its dotted key; none where the text is no config."""
    from itertools import islice

    from preflight.config.document import parse, plain

    try:
        whole = plain(parse(text, source)) if text else {}
    except UserError:
        return
    yield from islice(_flat(whole, ""), _MOST_VALUES) if isinstance(whole, Mapping) and whole else ()


def _flat(value: Any, key: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for name, child in value.items():
            yield from _flat(child, f"{key}.{name}" if key else str(name))
    elif isinstance(value, list) and any(isinstance(each, Mapping | list) for each in value):
        for index, child in enumerate(value):
            yield from _flat(child, f"{key}[{index}]")
    elif _SECRET.search(_CAMEL.sub("_", key).lower()):
        yield key, HIDDEN
    else:
        yield key, _shown(value)


def _shown(value: Any) -> Any:
    if isinstance(value, list):
        return [_shown(each) for each in value]
    if isinstance(value, str):
        return without_secrets(value)
    return value if isinstance(value, bool | int | float) or value is None else str(value)
