"""The words for people who write checks: `error`, `warning`, `info` and `@check`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, get_args

from preflight.model import Finding, Severity

AnyFunction = TypeVar("AnyFunction", bound=Callable[..., Any])

Side = Literal["", "launch", "node"]

# What a check needs that wants all that the config imports.
ALL_IMPORTS = "*"
# Checks with one of these tags cost seconds: they take part where the config asks for them, or `--tag` does.
ON_REQUEST = frozenset({"perf"})


class ChildFailed(Exception):
    """A function that `fresh` ran raised, or its process died; the text says which and where.

    `hung` is true where it gave no answer in time.
    """

    def __init__(self, text: str, *, hung: bool = False) -> None:
        super().__init__(text)
        self.hung = hung


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What `@check` says of a function; an undecorated check has these defaults."""

    timeout: float | None = None
    needs: tuple[str, ...] = ()
    per: str = ""
    when: str = ""
    tags: tuple[str, ...] = ()
    at: str = ""
    runs: int = 0


def check(  # noqa: PLR0913 - each is a word of its own
    *,
    timeout: float | None = None,
    needs: str | Sequence[str] = (),
    per: str = "",
    when: str = "",
    tags: Sequence[str] = (),
    at: Side = "",
    runs: int = 0,
) -> Callable[[AnyFunction], AnyFunction]:
    """Say about a check what plain pytest has no word for.

    `timeout` is its deadline in seconds (default: the config's `deadline`). `needs` names modules that it uses: it
    runs where they are imported already, and is SKIPPED where they cannot be; `needs="*"` is all that the config
    imports. `per` names a list in the config (`imports`, `data`, `paths`, `system.ports`, …): the check runs once for
    each entry and gets it as the argument `entry`; `per="gpu"` runs it once for each device and gives the index as
    `device`. `when` names a key of the config (`seeds.step`): without it the check does not take part, with it the
    check counts as asked for. `tags` can be selected with `--tag`. `runs` is how many times in a row it may run the
    experiment's program: each may take `rehearsal.time`, and the deadline leaves room for them. `at` says which
    machine can tell, where a job is launched onto another one: only the `node` that runs it (GPUs, limits, its own
    disks), or only the one that it is `launch`ed from (git, the text of the code); without it both are asked.

    Raises ValueError for another word there.
    """
    if at not in get_args(Side):
        raise ValueError(f"at={at!r} is no side of a launch; known: {', '.join(map(repr, get_args(Side)))}")

    def say(function: AnyFunction) -> AnyFunction:
        names = (needs,) if isinstance(needs, str) else tuple(needs)
        terms = Terms(timeout=timeout, needs=names, per=per, when=when or per, tags=tuple(tags), at=at, runs=runs)
        function.__preflight__ = terms  # type: ignore[attr-defined]
        return function

    return say


def terms_of(function: Callable[..., Any]) -> Terms:
    """Return what `@check` said of `function`, or the defaults."""
    terms = getattr(function, "__preflight__", None)
    return terms if isinstance(terms, Terms) else Terms()


def error(message: str, **more: Any) -> Finding:
    """Return a finding that refuses the launch; the keywords are those of `Finding`."""
    return Finding(severity=Severity.ERROR, message=message, **more)


def warning(message: str, **more: Any) -> Finding:
    """Return a finding that refuses the launch only under `--strict`."""
    return Finding(severity=Severity.WARNING, message=message, **more)


def info(message: str, **more: Any) -> Finding:
    """Return a finding that only tells."""
    return Finding(severity=Severity.INFO, message=message, **more)
