"""Databases: SQL databases answer, and nobody keeps the job out of them.

See it by hand:

    sqlite3 -readonly FILE 'PRAGMA integrity_check'
    fuser -v FILE
    nc -vz HOST PORT

Mend it:

    Give the job the address and the account that work here, and end whoever holds the lock.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from shlex import quote

import pytest

from preflight import Finding, check, error, warning
from preflight.causes.network import explain_unreached
from preflight.config import Data
from preflight.phrases import without_secrets
from preflight.system import databases, disk, network, processes
from preflight.system.databases import Database, NotInstalled, State

SECONDS_TO_CONNECT = 5.0
NETWORK = ("nfs", "cifs", "smb", "lustre", "gpfs", "beegfs", "ceph", "fuse.sshfs", "9p")


@check(per="data.database")
def check_answers(entry: Data, root: Path) -> Iterator[Finding]:
    """The database can be reached and read, and no other process has it locked.

    A file of SQLite is read, and its writer's lock taken for a moment. A server is connected to with the SQLAlchemy of
    the experiment's environment, and asked for the number 1. Passwords are never shown.

        database.missing       no file is there
        database.damaged       the file is no database, or a damaged one
        database.locked        another process keeps everybody else out
        database.write-locked  another process keeps other writers out
        database.no-network    this machine has no network
        database.host-unknown  the name of the server cannot be resolved
        database.host-refused  the server's host refuses the connection
        database.host-silent   the server does not answer in time
        database.host-failed   the connection ends without an answer
        database.refused       the server answers, and refuses: the password, or the name of the database
    """
    if entry.local or entry.database.startswith("sqlite"):
        path = databases.sqlite_file(entry.database, root)
        # What is not there, and what only is called like a database, `data.is-readable` judges.
        if (not entry.local or databases.is_sqlite(path)) and path.name != ":memory:" and path != root:
            yield from _judge_file(entry, path, databases.look_at_file(path))
    else:
        yield from _judge_server(entry)


def _judge_file(entry: Data, path: Path, database: Database) -> Iterator[Finding]:
    shown = without_secrets(entry.path)
    holder = (
        f"process {database.holder} ({processes.name_of(database.holder)})" if database.holder else "another process"
    )
    mount = disk.mount_of(path.parent) if path.parent.is_dir() else disk.Mount()
    end = "Let it finish, or end it" + (f":\n    kill {database.holder}" if database.holder else "")
    if database.state is State.MISSING:
        cause = f"there is no file {path}, and a client would make an empty one"
        yield _say(error, entry, "missing", f"{shown} does not exist", cause=cause, fix="Fetch it, or correct the path")
    elif database.state is State.DAMAGED:
        fix = (
            f"Fetch it again; a client's own test tells more:\n    sqlite3 {quote(str(path))} 'PRAGMA integrity_check'"
        )
        yield _say(error, entry, "damaged", f"{shown} cannot be read: {database.words}", cause=database.words, fix=fix)
    elif database.state is State.LOCKED and mount.type.startswith(NETWORK):
        cause = f"{holder} has it locked; it lies on {mount.type}, where locks fail, too"
        fix = "Copy the file to a local disk, and give the job that path"
        yield _say(error, entry, "locked", f"{shown}: {database.words}", cause=cause, fix=fix)
    elif database.state is State.LOCKED:
        cause = f"{holder} has it locked for itself alone"
        yield _say(error, entry, "locked", f"{shown}: {database.words}", cause=cause, fix=end)
    elif database.state is State.READABLE:
        message = f"{shown} can be read but not written: {database.words}"
        yield _say(warning, entry, "write-locked", message, cause=f"{holder} is writing to it", fix=end)


def _judge_server(entry: Data) -> Iterator[Finding]:
    shown = without_secrets(entry.database)
    host, port = databases.server_of(entry.database)
    if host and port:
        reached = network.reach(host, port, SECONDS_TO_CONNECT)
        if reached.outcome is not network.Outcome.CONNECTED:
            why = explain_unreached(reached)
            message = f"{shown} cannot be reached: {reached.error or why.name}"
            yield _say(error, entry, why.name, message, cause=why.cause, fix=why.fix)
            return
    try:
        database = databases.look_at_server(entry.database)
    except NotInstalled as missing:
        reachable = "can be reached" if host else "is there"
        pytest.skip(f"{shown}: the server {reachable}, and cannot be asked more without {missing}")
    if database.state is not State.USABLE:
        fix = "Correct the user, the password or the name of the database, or ask who runs the server"
        message = f"{shown} refuses: {database.words.replace(entry.database, shown)}"
        yield _say(
            error, entry, "refused", message, cause=f"{host}:{port} takes connections, but not this one", fix=fix
        )


def _say(say: Callable[..., Finding], entry: Data, name: str, message: str, **more: object) -> Finding:
    return say(message, id=f"database.{name}", file=entry.at.file, line=entry.at.line, **more)
