"""The sources of randomness that a seeded program must not depend on, and how a run meets them in a given state."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from preflight.rehearsal.command import Command

# Each is moved by a salt: one whole number, and equal numbers mean equal behaviour. 0 leaves it as it is by nature.
SOURCES = ("random", "numpy", "torch", "entropy", "hash", "names", "completion", "time", "memory", "threads")
# Sources that are at rest only where they are given a salt; the others rest by themselves as long as nobody looks.
_RESTLESS = ("random", "numpy", "torch", "entropy", "hash", "names", "completion")
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS", "VECLIB_NUM_THREADS")
_DAY = 86_400.0
# How far another time of day lies ahead; an odd number, so that day, hour, minute and second are all others.
_AHEAD = _DAY + 7_507.25
# What glibc's malloc fills memory with (gnu.org/software/libc/manual, "Memory Allocation Tunables"); its caches for
# each thread hand memory out as it is.
_FILLED = "glibc.malloc.perturb={byte}:glibc.malloc.tcache_count=0"
_BYTES = {1: 85, 2: 170}


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What one run meets: a salt for each source, the time at which it `begins`, and what is watched in it.

    With `counted` the clock goes on by a millisecond at each question, so that two runs see equal times. In a `traced`
    world each line of the user's is stepped through for what it draws, and the places are told at which it meets a
    source; in a `watched` one functions of libraries are stood in for, so that more of these places are known.
    """

    salts: Mapping[str, int] = field(default_factory=dict)
    begins: float = 0.0
    counted: bool = False
    watched: bool = False
    traced: bool = False

    def but(self, **salts: int) -> World:
        """Return a world in which some sources have other salts."""
        return replace(self, salts={**self.salts, **salts})

    def features(self) -> list[str]:
        """Return the modules of `inside` that make this world, in order."""
        salts = self.salts
        asked = {
            "entropy": salts.get("entropy"),
            "generators": any(salts.get(name) for name in ("random", "numpy", "torch")),
            "listings": salts.get("names"),
            "completion": salts.get("completion"),
            "clock": salts.get("time") or self.counted,
            "filled": salts.get("memory"),
            "uninitialised": self.watched,
            "draws": self.traced,
        }
        return [name for name, is_asked in asked.items() if is_asked]

    def settings(self) -> dict[str, dict[str, Any]]:
        """Return what these modules are told."""
        salts, watched, seen = self.salts, self.watched, self.watched or self.traced
        begin = self.begins + (_AHEAD if salts.get("time") == 2 else 0.0)
        return {
            "entropy": {"salt": salts.get("entropy", 0), "watched": seen},
            "generators": {"salts": {name: salts.get(name, 0) for name in ("random", "numpy", "torch")}},
            "listings": {"salt": salts.get("names", 0), "watched": seen},
            "completion": {"salt": salts.get("completion", 0), "watched": seen},
            "clock": {"begin": begin, "step": 0.001 if self.counted else 0.0, "watched": watched},
            "filled": {"byte": _BYTES.get(salts.get("memory", 0), 0)},
            "uninitialised": {"salt": salts.get("memory", 0)},
            "draws": {"sources": ["random", "numpy", "torch"]},
        }

    def around(self, command: Command) -> Command:
        """Return the command as it runs in this world."""
        return replace(command, variables={**command.variables, **self.variables(command.environment())})

    def variables(self, environment: Mapping[str, str]) -> dict[str, str]:
        """Return the variables that make this world; what the job's own environment fixes is left as it is."""
        salts = self.salts
        changed: dict[str, str] = {}
        if salts.get("hash") and "hash" not in fixed(environment):
            changed["PYTHONHASHSEED"] = str(salts["hash"])
        if salts.get("threads") == 2 and "threads" not in fixed(environment):
            changed |= dict.fromkeys(_THREADS, str(other_threads()))
        if byte := _BYTES.get(salts.get("memory", 0)):
            tunables = [environment.get("GLIBC_TUNABLES", ""), _FILLED.format(byte=byte)]
            changed["GLIBC_TUNABLES"] = ":".join(filter(None, tunables))
        return changed


def baseline(begins: float) -> World:
    """Return the world of the first run: as it is by nature, and what never is the same twice at rest."""
    return World(salts=dict.fromkeys(_RESTLESS, 1), begins=begins, traced=True)


def perturbed(begins: float, *, without: Sequence[str] = ()) -> World:
    """Return the world in which every source is another; but for threads, which change the last bits of any sum."""
    return World(salts={name: 2 for name in SOURCES if name not in ("threads", *without)}, begins=begins)


def pinned(begins: float) -> World:
    """Return a world in which every source is at rest and watched: two runs in it do the same, if any do."""
    return World(salts=dict.fromkeys((*_RESTLESS, "memory"), 1), begins=begins, counted=True, watched=True)


def fixed(environment: Mapping[str, str]) -> set[str]:
    """Return the sources that an environment fixes."""
    found = set()
    if environment.get("PYTHONHASHSEED", "random") != "random":
        found.add("hash")
    if any(name in environment for name in _THREADS):
        found.add("threads")
    return found


def other_threads() -> int:
    """Return another number of threads than what libraries take by themselves, within those that are allowed."""
    return 1 if len(os.sched_getaffinity(0)) > 1 else 2
