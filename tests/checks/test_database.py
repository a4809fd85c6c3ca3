"""The database check on files of SQLite that others hold, and on servers that are not there or hang up."""

import os
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from preflight.config import Data, Location
from preflight.model import Finding, Severity, Status
from preflight.testing import run_check

AT = Location("foo.yaml", 5, "preflight.data[0]")
HOLD = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute(f"BEGIN {sys.argv[2]}")
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def checks(load_check_file: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module = load_check_file("database")
    monkeypatch.setattr(module.databases, "SECONDS", 0.1)
    return module


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    path = tmp_path / "docs.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE pages (id INTEGER)")
        connection.commit()
    return path


@pytest.fixture
def hold(docs: Path) -> Iterator[Callable[[str], int]]:
    """Return `hold("EXCLUSIVE")`: another process begins a transaction; its id comes back."""
    held = []

    def begin(kind: str) -> int:
        command = [sys.executable, "-c", HOLD, str(docs), kind]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        held.append(process)
        return process.pid

    yield begin
    for process in held:
        process.kill()
        process.communicate()


def judge(checks: ModuleType, path: str, root: Path) -> list[Finding]:
    return list(checks.check_answers(Data(path=path, at=AT), root))


def only(findings: list[Finding]) -> Finding:
    assert len(findings) == 1, findings
    assert (findings[0].file, findings[0].line) == ("foo.yaml", 5)
    return findings[0]


@pytest.mark.parametrize(
    "form", ["docs.db", "sqlite:///docs.db", "sqlite:///{}/docs.db", "sqlite+pysqlite:///docs.db?x=1"]
)
def test_a_file_that_is_free(form: str, docs: Path, tmp_path: Path, checks: ModuleType) -> None:
    before = docs.read_bytes()
    assert not judge(checks, form.format(tmp_path), tmp_path)
    assert docs.read_bytes() == before
    assert os.listdir(tmp_path) == ["docs.db"]


@pytest.mark.parametrize("form", ["docs.db", "sqlite:///docs.db"])
def test_a_file_that_another_process_holds(form: str, hold: Any, tmp_path: Path, checks: ModuleType) -> None:
    pid = hold("EXCLUSIVE")
    finding = only(judge(checks, form, tmp_path))
    assert (finding.id, finding.severity) == ("database.locked", Severity.ERROR)
    assert "database is locked" in finding.message
    if sys.platform == "linux":
        assert f"process {pid} (" in finding.cause
        subprocess.run(["/bin/sh", "-c", finding.fix.splitlines()[-1]], check=True)
        os.waitpid(pid, 0)
        assert not judge(checks, form, tmp_path)


def test_a_file_that_another_process_writes(hold: Any, tmp_path: Path, checks: ModuleType) -> None:
    hold("IMMEDIATE")
    finding = only(judge(checks, "docs.db", tmp_path))
    assert (finding.id, finding.severity) == ("database.write-locked", Severity.WARNING)


def test_a_file_that_may_only_be_read_is_fine(docs: Path, tmp_path: Path, checks: ModuleType, in_world: Any) -> None:
    docs.chmod(0o444)
    tmp_path.chmod(0o555)
    setup = 'set -- setpriv --bounding-set=-dac_override "$@"'
    assert not in_world(setup, checks.check_answers, Data(path="docs.db", at=AT), tmp_path)
    tmp_path.chmod(0o755)


def test_a_file_that_is_not_there_is_not_made(tmp_path: Path, checks: ModuleType) -> None:
    assert only(judge(checks, "sqlite:///none.db", tmp_path)).id == "database.missing"
    assert not judge(checks, "none.db", tmp_path)
    assert not list(tmp_path.iterdir())
    assert not judge(checks, "sqlite://", tmp_path)
    assert not judge(checks, "sqlite:///:memory:", tmp_path)


def test_a_file_that_is_damaged(docs: Path, tmp_path: Path, checks: ModuleType) -> None:
    content = docs.read_bytes()
    docs.write_bytes(content[:100] + b"\xff" * 200)
    assert only(judge(checks, "docs.db", tmp_path)).id == "database.damaged"
    docs.write_bytes(b"not a database at all")
    assert only(judge(checks, "sqlite:///docs.db", tmp_path)).id == "database.damaged"
    assert not judge(checks, "docs.db", tmp_path)
    docs.write_bytes(content)
    assert not judge(checks, "sqlite:///docs.db", tmp_path)


def test_a_server_that_is_not_there(checks: ModuleType, tmp_path: Path, in_world: Any) -> None:
    finding = only(judge(checks, "postgresql://me:s3cret@127.0.0.1:9/name", tmp_path))
    assert finding.id == "database.host-refused"
    assert "s3cret" not in repr(finding)
    entry = Data(path="mysql://me:s3cret@data.example/name", at=AT)
    assert (
        only(in_world('set -- unshare --net "$@"', checks.check_answers, entry, tmp_path)).id == "database.no-network"
    )


@pytest.fixture
def server() -> Iterator[int]:
    """The port of a PostgreSQL server that knows no password."""
    message = b'SFATAL\0C28P01\0Mpassword authentication failed for user "me"\0\0'

    def refuse(listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            with client:
                asked = client.recv(1024)
                if asked.endswith(b"\x04\xd2\x16\x2f"):
                    client.sendall(b"N")  # no encryption here
                    asked = client.recv(1024)
                if asked:
                    client.sendall(b"E" + (len(message) + 4).to_bytes(4, "big") + message)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=refuse, args=(listener,), daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


def test_a_server_that_refuses(server: int, checks: ModuleType, tmp_path: Path) -> None:
    pytest.importorskip("sqlalchemy", reason="needs SQLAlchemy")
    pytest.importorskip("pg8000", reason="needs pg8000")
    finding = only(judge(checks, f"postgresql+pg8000://me:s3cret@127.0.0.1:{server}/name", tmp_path))
    assert finding.id == "database.refused"
    assert "password authentication failed" in finding.message
    assert "s3cret" not in repr(finding)


def test_a_client_that_is_not_installed(server: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = {"preflight": {"data": [f"postgresql+nodriver://me:s3cret@127.0.0.1:{server}/name"]}}
    (result,) = run_check("database.answers", config, root=tmp_path)
    assert result.status is Status.SKIPPED
    assert "can be reached" in result.reason
    assert "s3cret" not in repr(result)
