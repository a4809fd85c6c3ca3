"""`preflight env`: lock what is installed, tell whether it still is what the lock says, and go back to it."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from preflight import config as configuration
from preflight.cli import options
from preflight.envlock.environment import Environment, find
from preflight.phrases import counted, shown
from preflight.reports.text import visible

TYPE_CHECKING = False
if TYPE_CHECKING:
    from preflight.envlock.drift import Drift
    from preflight.envlock.plan import Plan

IN_SYNC, DRIFTED = 0, 1
_ACTIONS = {
    "check": "say whether what is installed is what the lock says",
    "lock": "write the lock from what is installed",
    "diff": "show every difference between the lock and what is installed",
    "commit": "lock, and commit the files of the lock alone",
    "restore": "install what the lock says, and remove what it does not",
    "hook": "have git check before every commit or push",
}
_FOLDED = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What an action works on: the environment, the project's folder, the locks that the config names."""

    environment: Environment
    root: Path
    locks: tuple[Path, ...]
    arguments: argparse.Namespace

    @property
    def is_json(self) -> bool:
        """Whether a program reads the answer."""
        return bool(self.arguments.form == "json")


def parser() -> argparse.ArgumentParser:
    """Return what the command takes."""
    parser = options.command_parser("env", "Lock what is installed, and tell whether it still is that.")
    parser.epilog = "exit codes: 0 in sync, 1 drift, 2 cannot tell"
    actions = parser.add_subparsers(dest="action", metavar="|".join(_ACTIONS), required=True)
    for name, what in _ACTIONS.items():
        action = actions.add_parser(name, help=what, description=what.capitalize() + ".", allow_abbrev=False)
        options.add_config(action)
        if name == "hook":
            action.add_argument("what", choices=["install"], help="install it")
            action.add_argument(
                "--before", choices=["commit", "push"], default="commit", help="when to check; default: before a commit"
            )
            continue
        action.add_argument("--prefix", metavar="FOLDER", type=Path, help="the environment; default: the job's")
        action.add_argument("--format", dest="form", choices=["text", "json"], default="text", help="text or json")
        if name in ("lock", "commit"):
            action.add_argument("--offline", action="store_true", help="ask no index")
        if name in ("check", "diff"):
            action.add_argument("--deep", action="store_true", help="read every installed module as well")
            action.add_argument("--offline", action="store_true", help="ask no index, which this never does")
    return parser


def main(argv: Sequence[str]) -> int:
    """Do what is asked; 0 in sync or done, 1 where something differs."""
    arguments = parser().parse_args(argv)
    config = configuration.load(arguments.config)
    if arguments.action == "hook":
        from preflight.envlock.hook import install

        options.say(f"{visible(install(config.root, f'pre-{arguments.before}'))}\n")
        return IN_SYNC
    environment = find(config.root, prefix=arguments.prefix, python=config.python)
    if arguments.prefix is None and not config.python:
        from preflight.envlock.project import refuse_other_name

        refuse_other_name(environment, config.root)
    named = config.packages.lock if config.packages else ()
    locks = tuple(config.root / name for name in named)
    job = Job(environment=environment, root=config.root, locks=locks, arguments=arguments)
    return {"check": _check, "diff": _check, "lock": _lock, "commit": _commit, "restore": _restore}[arguments.action](
        job
    )


def _check(job: Job) -> int:
    from preflight.envlock import fingerprint

    locks = _locks(job)
    is_plain = job.arguments.action == "check" and not job.arguments.deep
    seen = fingerprint.fingerprint(job.environment.prefix)
    if is_plain and all(fingerprint.unchanged(seen, lock) for lock in locks):
        return _tell_in_sync(job, locks)
    from preflight.envlock.drift import drift
    from preflight.envlock.inventory import Inventory

    inventory = Inventory.of(job.environment)
    found = [drift(lock, inventory, job.root, deep=job.arguments.deep) for lock in locks]
    for each in found:
        if not each.changes and is_plain:
            fingerprint.remember(seen, each.file)
    if not any(each.changes for each in found):
        return _tell_in_sync(job, locks)
    if job.is_json:
        options.say(_json(job, [_as_json(each) for each in found], is_in_sync=False))
    else:
        most = 10_000 if job.arguments.action == "diff" else _FOLDED
        options.say("".join(f"{visible(line)}\n" for each in found for line in _told(job, each, most)))
    return DRIFTED


def _lock(job: Job) -> int:
    from preflight import writing

    found = _plan(job)
    writing.save(found.files)
    if job.is_json:
        files = [str(path) for path in found.files]
        options.say(_json(job, [], files=files, unlocked=dict(found.unlocked), notes=list(found.notes)))
    else:
        options.say("".join(f"{visible(line)}\n" for line in _told_of_lock(job, found)))
    return IN_SYNC


def _commit(job: Job) -> int:
    from preflight.envlock import commit
    from preflight.envlock.plan import changes_since_commit

    found = _plan(job)
    changes = changes_since_commit(found, job.root)
    files = {path: found.files.get(path) or path.read_bytes() for path in found.every}
    said = commit.commit(job.root, files, changes)
    if job.is_json:
        options.say(_json(job, [], commit=said, unlocked=dict(found.unlocked), notes=list(found.notes)))
        return IN_SYNC
    *lines, _ = _told_of_lock(job, found)
    lines.append(f"env: {said}" if said else "env: nothing to commit")
    options.say("".join(f"{visible(line)}\n" for line in lines))
    return IN_SYNC


def _restore(job: Job) -> int:
    from preflight.envlock.restore import restore

    [lock, *_] = _locks(job)
    done = restore(lock, job.environment, job.root)
    if job.is_json:
        options.say(_json(job, [], done=list(done)))
    else:
        lines = [f"env: {len(done)} changes make {job.environment.told} what {lock.name} says", *done]
        options.say("".join(f"{visible(line)}\n" for line in (lines if done else lines[:1])))
    return IN_SYNC


def _plan(job: Job) -> Plan:
    from preflight.envlock.inventory import Inventory
    from preflight.envlock.plan import plan

    return plan(Inventory.of(job.environment), job.root, offline=job.arguments.offline)


def _locks(job: Job) -> list[Path]:
    from preflight.envlock.project import lock_of

    return list(job.locks) or [lock_of(job.environment, job.root)]


def _tell_in_sync(job: Job, locks: Sequence[Path]) -> int:
    if job.is_json:
        options.say(_json(job, [{"lock": str(lock), "changes": []} for lock in locks], is_in_sync=True))
        return IN_SYNC
    names = " and ".join(shown(lock) for lock in locks)
    options.say(visible(f"env: {job.environment.told} is what {names} says") + f"\n  {_why(job)}\n")
    return IN_SYNC


def _told(job: Job, found: Drift, most: int) -> list[str]:
    from preflight.envlock import wording

    if not found.changes:
        return [f"env: {job.environment.told} is what {shown(found.file)} says"]
    return [
        f"env: {counted(len(found.changes), 'difference')} between {shown(found.file)} and {job.environment.told}",
        f"  {_why(job)}",
        *wording.lines(found.changes, most),
        *wording.ways(found),
    ]


def _told_of_lock(job: Job, found: Plan) -> list[str]:
    from preflight.envlock import wording

    lines = [f"env: {job.environment.told}, {_why(job)}"]
    lines += [f"env: {note}" for note in found.notes]
    lines += wording.told_unlocked(found.unlocked)
    written = " and ".join(shown(path) for path in found.files)
    count = counted(len(found.packages), "package")
    lines.append(f"env: {written}: {count}" if written else f"env: {shown(found.lock)} says so already: {count}")
    return lines


def _why(job: Job) -> str:
    return f"chosen since {job.environment.why}"


def _as_json(found: Drift) -> dict[str, object]:
    from dataclasses import asdict

    return {"lock": str(found.file), "changes": [asdict(change) for change in found.changes]}


def _json(job: Job, locks: Sequence[object], *, is_in_sync: bool | None = None, **more: object) -> str:
    environment = job.environment
    facts = {"prefix": str(environment.prefix), "kind": environment.kind, "why": environment.why}
    document: dict[str, object] = {"environment": {**facts, "python": environment.python_version}}
    if is_in_sync is not None:
        document |= {"in_sync": is_in_sync, "locks": locks}
    return json.dumps({**document, **more}, indent=2, default=dict) + "\n"
