"""The server as a user starts it: a process with a port."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path

import psutil
import pytest

from preflight.records.folder import Records

Serve = Callable[..., tuple[subprocess.Popen[str], str]]


@pytest.fixture
def project(records: Records, tmp_path: Path) -> Path:
    """Return the folder of a project that has these records."""
    pytest.importorskip("waitress", reason="serving needs waitress")
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "foo.yaml").write_text(f"preflight: {{launch: {{records: {records.folder}}}}}\n")
    return folder


@pytest.fixture
def serve(project: Path) -> Iterator[Serve]:
    """Return `serve(*options)`: the process and the address that it prints."""
    started = []

    def starting(*options: str) -> tuple[subprocess.Popen[str], str]:
        command = [
            sys.executable,
            "-m",
            "preflight",
            "report",
            "serve",
            "--config",
            "foo.yaml",
            "--port",
            "0",
            *options,
        ]
        process = subprocess.Popen(
            command, cwd=project, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
        )
        started.append(process)
        assert process.stdout
        line = process.stdout.readline()
        assert line, process.stderr and process.stderr.read()
        return process, re.findall(r"http://\S+", line)[0]

    yield starting
    for process in started:
        process.kill()
        process.communicate()


def port_of(address: str) -> int:
    return int(re.findall(r":(\d+)/", address)[0])


def status_of(address: str, path: str = "/", method: str = "GET", **headers: str) -> int:
    connection = HTTPConnection("127.0.0.1", port_of(address), timeout=20)
    try:
        connection.request(method, path, headers=headers)
        return connection.getresponse().status
    finally:
        connection.close()


def test_it_listens_on_this_machine_alone_and_ends_quietly(serve: Serve) -> None:
    process, address = serve()
    assert address.startswith("http://127.0.0.1:")
    listens = [each.laddr.ip for each in psutil.Process(process.pid).net_connections() if each.status == "LISTEN"]
    assert listens == ["127.0.0.1"]
    assert status_of(address) == status_of(address, "/run/bad.html") == 200
    assert status_of(address, Host="evil.example") == 421
    assert status_of(address, method="POST") == 405
    assert status_of(address, "/run/..%2f..%2f..%2fetc%2fpasswd.html") == 404
    os.killpg(process.pid, signal.SIGINT)
    said, errors = process.communicate(timeout=20)
    assert (process.returncode, errors) == (0, ""), said


def test_others_need_the_token(serve: Serve) -> None:
    _, address = serve("--bind", "0.0.0.0")
    token = address.partition("?token=")[2]
    assert len(token) >= 40
    assert status_of(address) == status_of(address, "/run/bad.html") == status_of(address, "/?token=x") == 403
    assert status_of(address, f"/?token={token}") == 303
    assert status_of(address, Cookie=f"preflight-token={token}") == 200
    assert status_of(address, Cookie=f"preflight-token={token}", Host="evil.example") == 421


def test_a_token_can_be_wanted_here_too(serve: Serve) -> None:
    _, address = serve("--token")
    assert status_of(address) == 403


def test_a_killed_one_leaves_nothing(serve: Serve, project: Path, records: Records) -> None:
    before = {str(each) for each in [*project.rglob("*"), *records.folder.rglob("*")]}
    process, address = serve()
    assert status_of(address) == status_of(address, "/trends.html") == 200
    family = [process.pid, *(each.pid for each in psutil.Process(process.pid).children(recursive=True))]
    process.kill()
    process.wait()
    assert family == [process.pid]
    assert {str(each) for each in [*project.rglob("*"), *records.folder.rglob("*")]} == before
    with socket.socket() as again:
        again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        again.bind(("127.0.0.1", port_of(address)))


def test_one_who_says_nothing_stops_no_other(serve: Serve) -> None:
    _, address = serve()
    silent = [socket.create_connection(("127.0.0.1", port_of(address))) for _ in range(20)]
    try:
        for each in silent:
            each.sendall(b"GET / HTTP/1.1\r\nHost: local")
        began = time.monotonic()
        assert status_of(address) == 200
        assert time.monotonic() - began < 10
    finally:
        for each in silent:
            each.close()


@pytest.mark.parametrize("words", [["--port", "TAKEN"], ["--bind", "192.0.2.1"], ["--bind", "nowhere.invalid"]])
def test_where_nothing_can_listen_is_told(project: Path, words: list[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        words = [each.replace("TAKEN", str(taken.getsockname()[1])) for each in words]
        command = [sys.executable, "-m", "preflight", "report", "serve", "--config", "foo.yaml", *words]
        done = subprocess.run(command, cwd=project, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "nothing can listen at " in done.stderr
    assert "Traceback" not in done.stderr
