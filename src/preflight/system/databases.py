"""SQL databases as a client meets them: a file of SQLite and who holds it, a server and what it answers."""

from __future__ import annotations

import os
import re
import sqlite3
from contextlib import closing, suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

SECONDS = 3
_MAGIC = b"SQLite format 3\0"
_PORTS = {"postgresql": 5432, "postgres": 5432, "mysql": 3306, "mariadb": 3306, "mssql": 1433, "oracle": 1521}


class State(StrEnum):
    """What can be done with a database."""

    USABLE = "usable"
    READABLE = "readable"
    LOCKED = "locked"
    MISSING = "missing"
    DAMAGED = "damaged"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Database:
    """How a database answered, in its own words where it did not; `holder` is who locks it, 0 if unknown."""

    state: State
    words: str = ""
    holder: int = 0


class NotInstalled(Exception):
    """What a client would need is not installed; the text says what."""


def sqlite_file(url: str, root: Path) -> Path:
    """Return the file that a path or a `sqlite:///` URL names (with a fourth slash it is absolute)."""
    if "://" not in url:
        return root / os.path.expanduser(url)
    return root / unquote(url.partition("://")[2].partition("?")[0].removeprefix("/"))


def is_sqlite(path: Path) -> bool:
    """Tell whether a file starts as the databases of SQLite do."""
    with suppress(OSError), open(path, "rb") as file:
        return file.read(len(_MAGIC)) == _MAGIC
    return False


def server_of(url: str) -> tuple[str, int]:
    """Return the host and the port that a client would connect to; an empty host where that is a local socket."""
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or _PORTS.get(parts.scheme.partition("+")[0], 0)


def look_at_file(path: Path) -> Database:
    """Read a database of SQLite and take the lock of a writer for a moment; nothing is written and no file made."""
    if not path.is_file():
        return Database(state=State.MISSING)
    try:
        with closing(_connect(path, "ro")) as reader:
            reader.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.Error as error:
        return _refusal(path, error, State.LOCKED)
    try:
        with closing(_connect(path, "rw")) as writer:
            writer.execute("BEGIN IMMEDIATE")
            writer.rollback()
    except sqlite3.Error as error:
        if "locked" in str(error):
            return _refusal(path, error, State.READABLE)
    return Database(state=State.USABLE)


def look_at_server(url: str) -> Database:
    """Connect with the SQLAlchemy of the experiment's environment and ask for 1. Raises NotInstalled."""
    try:
        import sqlalchemy
    except ImportError:
        raise NotInstalled("SQLAlchemy") from None
    written = re.sub(r"^postgres(?=[:+])", "postgresql", url)
    try:
        engine = sqlalchemy.create_engine(written, poolclass=sqlalchemy.pool.NullPool)
    except (ImportError, sqlalchemy.exc.NoSuchModuleError) as error:
        raise NotInstalled(getattr(error, "name", "") or str(error)) from None
    try:
        with engine.connect() as connection:
            connection.execute(sqlalchemy.text("SELECT 1"))
    except sqlalchemy.exc.SQLAlchemyError as error:
        words = str(getattr(error, "orig", None) or error).strip().splitlines()
        return Database(state=State.REFUSED, words=words[0] if words else type(error).__name__)
    return Database(state=State.USABLE)


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    # `mode` keeps SQLite from making a file that is not there.
    return sqlite3.connect(f"file:{quote(os.path.abspath(path))}?mode={mode}", uri=True, timeout=SECONDS)


def _refusal(path: Path, error: sqlite3.Error, locked: State) -> Database:
    if "locked" in str(error):
        return Database(state=locked, words=str(error), holder=_holder(path))
    return Database(state=State.DAMAGED, words=str(error))


def _holder(path: Path) -> int:
    """Return the process that has a lock on the file for writing, where the system tells (Linux does)."""
    facts = path.stat()
    here = f"{os.major(facts.st_dev):02x}:{os.minor(facts.st_dev):02x}:{facts.st_ino}"
    with suppress(OSError):
        for line in Path("/proc/locks").read_text(encoding="ascii").splitlines():
            columns = line.split()
            if here in columns and "WRITE" in columns and columns[4].isdecimal():
                return int(columns[4])
    return 0
