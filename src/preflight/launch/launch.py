"""The straight line of a launch: take the name, agree on environment and commit, check out, check, start."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from preflight.config import Config, Launch
from preflight.errors import UserError
from preflight.launch import checks, snapshot, surroundings, ways
from preflight.launch.checkout import CHECKOUT, check_out
from preflight.launch.commands import Commands
from preflight.launch.snapshot import Snapshot
from preflight.phrases import in_a_row
from preflight.records.folder import Records, Run
from preflight.records.record import Record, now
from preflight.records.states import State


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is to be launched.

    `way` is how (`local`, `tmux`, `slurm`, `ssh:HOST`). `commit` is one to run as it is (a rerun's), `message` that of
    a commit to be made of what differs, `clean` refuses where anything does; without any, that is a snapshot.
    """

    config: Config
    command: tuple[str, ...]
    name: str
    way: str = "local"
    commit: str = ""
    message: str = ""
    clean: bool = False
    strict: bool = False


def launch(order: Order, tell: Callable[[str], None]) -> int:
    """Launch; return 0 once it is started, or what is exited with where it is not; a local one does not return.

    `tell` hears a line about what happens. Raises UserError where the launch is refused before any check; the record
    says so too.
    """
    ways.find(order.way)
    config = order.config
    source = os.path.abspath(config.source) if config.source else ""
    record = Record(
        name=order.name,
        command=order.command,
        config=source,
        root=str(config.root.absolute()),
        way=order.way,
        strict=order.strict,
    )
    run = Records.of(config).create(record, config=config.text)
    way, commands = ways.of(run, config), Commands(run)
    with _on_record(run):
        way.require()
        around = surroundings.agree(config)
        taken = _commit(order, commands)
        for line in taken.uncovered:
            tell(f"the checkout lacks {line}")
        folder = _check_out(run, config, taken, commands)
        run.know(
            **{name: getattr(taken, name) for name in ("commit", "branch", "changes")},
            snapshot=taken.ref, lock=around.lock, environment=around.prefix, checkout=str(folder),
        )  # fmt: skip
        tell(f"{order.name}: {_told(taken)}, checked out in {folder}")
        if code := checks.admit(run, replace(config, root=folder), way.here, strict=order.strict):
            return code
        run.enter(State.STARTING)
        tell(f"{order.name}: started {way.start()}")
    return 0


@contextmanager
def _on_record(run: Run) -> Iterator[None]:
    """Note in the record why a launch ended early."""
    try:
        yield
    except UserError as problem:
        with suppress(OSError):
            run.enter(State.REFUSED, reason=problem.message, ended=now())
        raise
    except OSError as problem:
        raise UserError(f"the run cannot be prepared: {problem.strerror}", where=str(problem.filename or "")) from None
    except KeyboardInterrupt:
        run.enter(State.STOPPED, reason="interrupted while it was launched", ended=now())
        raise


def _commit(order: Order, commands: Commands) -> Snapshot:
    root = order.config.root
    if order.commit:
        return snapshot.known(root, order.commit, commands.tell)
    if order.clean:
        return snapshot.require_clean(root, commands.tell)
    if order.message:
        return snapshot.commit(root, order.message, commands.tell)
    return snapshot.take(root, order.name, commands.tell)


def _told(taken: Snapshot) -> str:
    what = "a snapshot of what is not committed" if taken.ref else "the commit"
    return f"{what} {taken.commit[:10]}" + (f" on {taken.branch}" if taken.branch else "")


def _check_out(run: Run, config: Config, taken: Snapshot, commands: Commands) -> Path:
    """Return the folder in the checkout that is what the config's root is in the working tree."""
    top = run.folder / CHECKOUT
    check_out(taken.top, taken.commit, top, commands.tell)
    below = os.path.relpath(os.path.realpath(config.root), os.path.realpath(taken.top))
    folder = Path(os.path.normpath(top / below))
    if not folder.is_dir():
        raise UserError(f"the commit has no folder {below}", where=str(config.root))
    _link(config, folder)
    _refuse_left_behind(config, folder)
    return folder


def _link(config: Config, folder: Path) -> None:
    """Make the links of `launch.link`."""
    launch = config.launch or Launch()
    for name in launch.link:
        target, link = config.root / name, folder / name
        where = f"{launch.at}.link"
        if os.path.isabs(name) or ".." in Path(name).parts:
            raise UserError(
                f"{name} is no path below the root", where=where, fix="Write an absolute path where it is used."
            )
        if not os.path.lexists(target):
            raise UserError(f"{target} does not exist", where=where, fix=f"Make it, or remove {name} from the list.")
        if os.path.lexists(link):
            raise UserError(f"{name} is in the commit already", where=where, fix=f"Remove {name} from the list.")
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(target.absolute())


def _refuse_left_behind(config: Config, folder: Path) -> None:
    """Raise UserError where data lies in the working tree and is in no commit: the run would not find it."""
    names = [each.local for each in config.data if each.local and not os.path.isabs(os.path.expanduser(each.local))]
    left = [name for name in names if (config.root / name).exists() and not (folder / name).exists()]
    if left:
        tops = ", ".join(sorted({Path(name).parts[0] for name in left}))
        raise UserError(
            f"the checkout of the run lacks {in_a_row(left)}, which no commit holds",
            where=config.source,
            fix=f"Write an absolute path, or let the checkout have a link:\n    launch: {{link: [{tops}]}}",
        )
