"""What is heard from the workers of a run, and what it comes to: results, facts, places."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from preflight.config import Config
from preflight.isolation.endings import unanswered
from preflight.model import LOCAL, Place, Planned, Presence, Result, Status
from preflight.phrases import in_a_row
from preflight.places.engine import Gone
from preflight.places.workers import Workers
from preflight.system.secrets import Secrets

# The plans of so many kinds of nodes are kept, to be shared by nodes of a kind.
_KINDS = 8
_ENDED = "ended by SIGTERM"


class Watcher(Protocol):
    """Who looks on while a run goes; where the run has one place, `place` is `local`."""

    def planned(self, ids: Sequence[str], place: str) -> None:
        """These checks will run there, besides those named before."""

    def started(self, check: str, place: str) -> None:
        """This check runs now."""

    def ended(self, result: Result) -> None:
        """This is its result."""

    def tick(self) -> None:
        """A fifth of a second has passed."""

    def close(self) -> None:
        """There will be no more."""


class Watchers:
    """Several that look on as one."""

    def __init__(self, *watchers: Watcher) -> None:
        self._watchers = watchers

    def planned(self, ids: Sequence[str], place: str) -> None:
        """Tell it to each."""
        for each in self._watchers:
            each.planned(ids, place)

    def started(self, check: str, place: str) -> None:
        """Tell it to each."""
        for each in self._watchers:
            each.started(check, place)

    def ended(self, result: Result) -> None:
        """Tell it to each."""
        for each in self._watchers:
            each.ended(result)

    def tick(self) -> None:
        """Tell it to each."""
        for each in self._watchers:
            each.tick()

    def close(self) -> None:
        """Tell it to each."""
        for each in self._watchers:
            each.close()


class Heard:
    """What one place has said."""

    __slots__ = ("facts", "last", "plan", "results", "running")

    def __init__(self) -> None:
        self.plan: dict[str, Planned] = {}
        self.results: dict[str, Result] = {}
        self.running: set[str] = set()
        self.facts: dict[str, Any] = {}
        self.last = 0.0

    @property
    def checks(self) -> set[str]:
        """The ids of the checks that the place knows of."""
        return {*self.plan, *self.results, *self.running}


class Hearing:
    """What has been heard from the workers, without what is secret: whatever a report tells came in here.

    Each message costs the same however many there were; one that comes twice is as one that came once.
    """

    def __init__(self, watcher: Watcher | None, secrets: Secrets, began: float = 0.0) -> None:
        """Begin at `began`, in seconds since the epoch, from which the times of results are counted."""
        self._secrets, self._began = secrets, began
        self.heard: dict[str, Heard] = {}
        self._watcher = watcher
        self._plans: list[tuple[list[Mapping[str, Any]], dict[str, Planned]]] = []
        self._facts: dict[str, tuple[Any, Any]] = {}

    def listen(self, workers: Workers, config: Config) -> None:
        """Hear the workers to their end."""
        self.heard |= {name: Heard() for name in workers.names if name not in self.heard}
        for said in workers.messages(config):
            if said is not None:
                self._hear(*said)
            elif self._watcher is not None:
                self._watcher.tick()

    def _hear(self, place: str, message: Mapping[str, Any]) -> None:
        heard, tell = self.heard.setdefault(place, Heard()), self._watcher
        heard.last = time.time()
        match message["kind"]:
            case "planned":
                plan = self._plan(message["checks"])
                new = [name for name in plan if name not in heard.plan]
                heard.plan = {**plan, **heard.plan} if heard.plan else plan
                if tell is not None:
                    tell.planned(new, place)
            case "started":
                check = self._secrets.hide(message["check"])
                if check not in heard.results:
                    heard.running.add(check)
                    if tell is not None:
                        tell.started(check, place)
            case "result":
                result = self.result(message["result"], place)
                heard.running.discard(result.check)
                if result.check not in heard.results and tell is not None:
                    tell.ended(result)
                heard.results[result.check] = result
            case "facts":
                self._take_facts(heard, message["facts"], is_local=place == LOCAL)

    def result(self, told: Mapping[str, Any], place: str) -> Result:
        """Return a result as the report has it, without secrets; whatever name is in it, it came from this place."""
        started, seconds = told.get("started"), told.get("seconds", 0.0)
        since = round(max(0.0, started - self._began), 4) if started else 0.0
        plain = {**self._secrets.hide(told), "place": place, "started": since, "seconds": round(seconds, 4)}
        return Result.from_json(plain)

    def _take_facts(self, heard: Heard, facts: Mapping[str, Any], *, is_local: bool) -> None:
        """Keep facts, equal ones of several nodes once; of the clock how far ahead it is, where it is another's."""
        for key, value in facts.items():
            if key != "clock":
                known, hidden = self._facts.get(key, (None, None))
                if known is not value and known != value:
                    hidden = self._secrets.hide(value)
                    self._facts.setdefault(key, (value, hidden))
                heard.facts[key] = hidden
            elif not is_local:
                heard.facts[key] = round(value - heard.last, 1)

    def _plan(self, checks: list[Mapping[str, Any]]) -> dict[str, Planned]:
        """Return a plan as it is read; the same object where another node said the same, as most do."""
        for told, plan in self._plans:
            if told is checks or told == checks:
                return plan
        planned = [Planned.from_json(each) for each in self._secrets.hide(checks)]
        plan = {each.id: each for each in planned}
        self._plans = [(checks, plan), *self._plans[: _KINDS - 1]]
        return plan

    def results(self, gone: Mapping[str, Gone], *, interrupted: bool = False) -> list[Result]:
        """Return a result for each check that was planned at a place, and those that tell of places themselves."""
        results = [each for name in self.heard for each in self._at(name, gone.get(name), interrupted)]
        return results if interrupted else [*results, *self._disagreement()]

    def _at(self, place: str, gone: Gone | None, interrupted: bool) -> list[Result]:
        heard = self.heard[place]
        results = [heard.results[name] for name in heard.plan if name in heard.results]
        results += [result for name, result in heard.results.items() if name not in heard.plan]
        if gone and gone.presence in {Presence.CANCELLED, Presence.LATE}:
            # What ends a job reaches its checks as well, and a worker may live to tell of it.
            results = [replace(each, reason=gone.reason) if _ENDED in each.reason else each for each in results]
        if interrupted:
            return results
        reason = gone.reason if gone else "the worker ended without an answer from it"
        left = [planned for name, planned in heard.plan.items() if name not in heard.results]
        results += [unanswered(planned, Status.BROKEN, reason, place) for planned in left]
        if gone:
            doing = f"; last heard in {in_a_row(sorted(heard.running))}" if heard.running and place != LOCAL else ""
            results.append(unanswered(_answers(place), Status.BROKEN, gone.reason + doing, place))
        return results

    def facts(self, gone: Mapping[str, Gone]) -> dict[str, Any]:
        """Return what the places that have answered share of the facts gathered there."""
        told = {name: heard.facts for name, heard in self.heard.items() if heard.facts}
        return shared([facts for name, facts in told.items() if name not in gone] or list(told.values()))

    def places(self, gone: Mapping[str, Gone], began: float) -> list[Place]:
        """Return what became of each place; `began` is when the run did, in seconds since the epoch."""
        left = rests({name: heard.facts for name, heard in self.heard.items()}, self.facts(gone))
        return [
            Place(
                name=name,
                presence=gone[name].presence if name in gone else Presence.ANSWERED,
                reason=gone[name].reason if name in gone else "",
                running=sorted(heard.running) if name in gone else (),
                seconds=round(max(0.0, heard.last - began), 3) if heard.last else 0.0,
                facts=left[name],
            )
            for name, heard in self.heard.items()
        ]

    def _disagreement(self) -> list[Result]:
        """Return a BROKEN result for each place whose list of checks is not that of most places, each told once."""
        lists = {name: frozenset(heard.checks) for name, heard in self.heard.items() if heard.plan}
        if len(set(lists.values())) <= 1:
            return []
        counts: dict[frozenset[str], int] = {}
        for each in lists.values():
            counts[each] = counts.get(each, 0) + 1
        usual = max(counts, key=lambda each: (counts[each], len(each)))
        return [
            replace(unanswered(_AGREE, Status.BROKEN, _difference(each, usual), name))
            for name, each in lists.items()
            if each != usual
        ]


_AGREE = Planned(id="node.agrees-on-checks", title="Every node runs the same checks")


def _answers(place: str) -> Planned:
    if place == LOCAL:
        return Planned(id="worker.answers", title="The worker answers until all checks have run")
    return Planned(id="node.answers", title="Every node answers until all checks have run")


def _difference(here: frozenset[str], usual: frozenset[str]) -> str:
    parts = [
        f"{what} {in_a_row(sorted(ids))}" for what, ids in (("lacks", usual - here), ("also has", here - usual)) if ids
    ]
    return f"its list of checks is not that of the other nodes: it {', and '.join(parts)}"


def shared(facts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what is the same in all of `facts` that tell of it, also within their mappings, one level deep."""
    common: dict[str, Any] = {}
    differs: set[str] = set()
    for each in facts:
        for key, value in each.items():
            known = common.setdefault(key, value)
            if key in differs or known is value or known == value:
                continue
            common[key] = _same(known, value)
            if not common[key]:
                differs.add(key)
    return {key: value for key, value in common.items() if key not in differs}


def rests(facts: Mapping[str, Mapping[str, Any]], common: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return what the `facts` of each place hold besides what is common, within mappings as well.

    Where places differ in a fact each that tells of it has it, a mapping that holds nothing more as an empty one: of
    a place without it nothing is known.
    """
    differ = {key for each in facts.values() for key, value in each.items() if not _is_common(key, value, common)}
    return {
        name: {
            key: _besides(value, common.get(key))
            for key, value in each.items()
            if key in differ and (isinstance(value, Mapping) or not _is_common(key, value, common))
        }
        for name, each in facts.items()
    }


def _is_common(key: str, value: object, common: Mapping[str, Any]) -> bool:
    return key in common and (common[key] is value or common[key] == value)


def _same(one: object, other: object) -> dict[str, Any]:
    if not (isinstance(one, Mapping) and isinstance(other, Mapping)):
        return {}
    return {key: value for key, value in one.items() if key in other and other[key] == value}


def _besides(value: Any, common: Any) -> Any:
    """Return what a fact holds besides what is common; all of it where the two are no mappings."""
    if not (isinstance(value, Mapping) and isinstance(common, Mapping)):
        return value
    return {key: each for key, each in value.items() if key not in common or common[key] != each}
