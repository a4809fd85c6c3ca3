"""The system checks under limits, ports, networks and homes that are really too small, taken, cut off or bare."""

import os
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from preflight.config import Config, Import, Location, System
from preflight.model import Finding, Severity
from preflight.testing import run_check

AT = Location("foo.yaml", 7, "preflight.system")
OFFLINE = 'set -- unshare --net "$@"'


@pytest.fixture
def checks(load_check_file: Callable[[str], ModuleType]) -> ModuleType:
    return load_check_file("system")


def asking(**wanted: Any) -> Config:
    return Config(system=System(at=AT, **wanted))


def only(findings: list[Finding]) -> Finding:
    assert len(findings) == 1, findings
    assert (findings[0].file, findings[0].line) == ("foo.yaml", 7)
    return findings[0]


def test_memory(checks: ModuleType, in_world: Any) -> None:
    config = asking(ram=3_000_000_000)
    finding = only(in_world("ulimit -v 2000000", checks.check_memory_is_enough, config))
    assert (finding.id, finding.found, finding.wanted) == ("system.ram", "2.05 GB", "3 GB")
    assert "ulimit -v" in finding.cause
    assert not list(checks.check_memory_is_enough(asking(ram=1_000_000)))


def test_memory_that_no_machine_has(checks: ModuleType) -> None:
    assert only(list(checks.check_memory_is_enough(asking(ram=10**18)))).id == "system.ram"


def test_memory_that_others_hold(checks: ModuleType) -> None:
    total = checks.limits.memory().value
    finding = next(checks.check_memory_is_enough(asking(ram=total)))
    assert (finding.id, finding.severity) == ("system.busy", Severity.WARNING)


def test_shared_memory(checks: ModuleType, in_world: Any) -> None:
    setup = "mount -t tmpfs -o size=8m none /dev/shm"
    finding = only(in_world(setup, checks.check_shared_memory_is_enough, asking(shm=64_000_000)))
    assert (finding.id, finding.found, finding.wanted) == ("system.shm", "8.39 MB", "64 MB")
    mend = finding.fix.splitlines()[-1].replace("sudo ", "")
    assert not in_world(f"{setup}; {mend}", checks.check_shared_memory_is_enough, asking(shm=64_000_000))


def test_shared_memory_that_others_hold(checks: ModuleType, in_world: Any) -> None:
    setup = "mount -t tmpfs -o size=8m none /dev/shm; head -c 6M /dev/zero > /dev/shm/left"
    finding = only(in_world(setup, checks.check_shared_memory_is_enough, asking(shm=8_000_000)))
    assert "hold files" in finding.cause
    assert not in_world(f"{setup}; rm /dev/shm/left", checks.check_shared_memory_is_enough, asking(shm=8_000_000))


def test_shared_memory_of_a_container(checks: ModuleType, in_world: Any) -> None:
    setup = "mount -t tmpfs -o size=64m none /dev/shm"
    config = Config(experiment={"loader": {"num_workers": 4}}, imports=(Import(name="torch"),))
    (finding,) = in_world(setup, checks.check_workers_can_hand_over_batches, config)
    assert (finding.id, finding.severity) == ("system.shm-small", Severity.WARNING)
    assert "loader.num_workers is 4" in finding.message
    mend = finding.fix.splitlines()[-1].replace("sudo ", "")
    assert not in_world(f"{setup}; {mend}", checks.check_workers_can_hand_over_batches, config)
    for healthy in (replace(config, experiment={"num_workers": 0}), replace(config, imports=())):
        assert not in_world(setup, checks.check_workers_can_hand_over_batches, healthy)


def test_open_files(checks: ModuleType, in_world: Any) -> None:
    finding = only(in_world("ulimit -S -n 256", checks.check_files_can_be_opened, asking(nofile=400)))
    assert (finding.id, finding.found, finding.wanted) == ("system.nofile", "256", "400")
    mend = finding.fix.splitlines()[-1]
    assert not in_world(f"ulimit -S -n 256; {mend}", checks.check_files_can_be_opened, asking(nofile=400))


def test_open_files_that_only_root_may_raise(checks: ModuleType, in_world: Any) -> None:
    finding = only(in_world("ulimit -n 256", checks.check_files_can_be_opened, asking(nofile=400)))
    assert "256 only" in finding.cause
    assert "administrator" in finding.fix


@pytest.fixture
def group() -> Iterator[Path]:
    """A control group that allows 40 processes."""
    top = Path("/sys/fs/cgroup/pids")
    if os.geteuid() != 0 or not top.is_dir():
        pytest.skip("needs the pids controller of cgroup v1 and root")
    folder = top / f"preflight-{os.getpid()}"
    folder.mkdir()
    (folder / "pids.max").write_text("40")
    yield folder
    folder.rmdir()


def test_processes(group: Path, checks: ModuleType, in_world: Any) -> None:
    setup = f"echo $$ > {group}/cgroup.procs"
    finding = only(in_world(setup, checks.check_processes_can_be_started, asking(processes=512)))
    assert finding.id == "system.processes"
    assert str(group) in finding.cause
    assert not in_world(setup, checks.check_processes_can_be_started, asking(processes=20))


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_a_port_in_use(family: socket.AddressFamily, checks: ModuleType) -> None:
    with socket.socket(family) as server:
        server.bind(("127.0.0.1" if family == socket.AF_INET else "::", 0))
        server.listen()
        port = server.getsockname()[1]
        finding = only(list(checks.check_port_is_free(port, asking())))
    assert finding.id == "system.port-in-use"
    assert str(port) in finding.message
    assert f"process {os.getpid()} (" in finding.cause
    assert not list(checks.check_port_is_free(port, asking()))


def test_a_port_that_has_just_been_left_is_free(checks: ModuleType) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            server.accept()[0].close()
    assert not list(checks.check_port_is_free(port, asking()))


def test_a_port_for_root(checks: ModuleType, in_world: Any) -> None:
    setup = 'set -- setpriv --bounding-set=-net_bind_service "$@"'
    assert only(in_world(setup, checks.check_port_is_free, 80, asking())).id == "system.port-not-allowed"
    assert not list(checks.check_port_is_free(0, asking()))


def test_commands(tmp_path: Path, checks: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "ffmpeg").write_text("#!/bin/sh\n")
    blocked, missing = checks.check_commands_are_there(asking(commands=("ffmpeg", "git")))
    assert blocked.id == missing.id == "system.command"
    assert "not executable" in blocked.cause
    assert "git cannot be run" in missing.message
    subprocess.run(["/bin/sh", "-c", "/bin/" + blocked.fix.splitlines()[-1].strip()], check=True)
    assert not list(checks.check_commands_are_there(asking(commands=("ffmpeg",))))


def test_variables(checks: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMPTY_ONE", "")
    monkeypatch.setenv("FULL_ONE", "a secret")
    monkeypatch.delenv("NO_ONE", raising=False)
    config = asking(env=("EMPTY_ONE", "FULL_ONE", "NO_ONE"))
    finding = only(list(checks.check_variables_are_set(config)))
    assert finding.id == "system.env"
    assert "EMPTY_ONE, NO_ONE are not set" in finding.message
    assert "secret" not in str(finding)
    monkeypatch.setenv("EMPTY_ONE", "1")
    monkeypatch.setenv("NO_ONE", "1")
    assert not list(checks.check_variables_are_set(config))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A bare home, with no variable set that a client would look at."""
    for name in list(os.environ):
        if name.startswith(
            ("WANDB", "HF_", "HUGGING", "AWS_", "NETRC", "XDG_", "TRANSFORMERS", "COMET", "GOOGLE", "KAGG")
        ):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("client", ["wandb", "huggingface", "aws", "comet", "google", "kaggle", "neptune"])
def test_no_credentials(client: str, home: Path, checks: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    assert set(checks.LOGINS) == set(checks.credentials.FINDERS)
    monkeypatch.setattr(checks.credentials, "_machine", lambda: "")
    finding = only(list(checks.check_credentials_are_there(client, asking(), home)))
    assert finding.id == "system.credentials"
    assert client in finding.message


@pytest.mark.parametrize(
    ("client", "variable", "value"),
    [
        ("wandb", "WANDB_API_KEY", "k"),
        ("wandb", "WANDB_MODE", "offline"),
        ("huggingface", "HF_TOKEN", "k"),
        ("huggingface", "HF_HUB_OFFLINE", "1"),
        ("aws", "AWS_WEB_IDENTITY_TOKEN_FILE", "/token"),
        ("comet", "COMET_API_KEY", "k"),
        ("neptune", "NEPTUNE_API_TOKEN", "k"),
    ],
)
def test_a_variable_is_enough(
    client: str, variable: str, value: str, *, home: Path, checks: ModuleType, monkeypatch: Any
) -> None:
    monkeypatch.setenv(variable, value)
    assert not list(checks.check_credentials_are_there(client, asking(), home))


def test_an_unknown_client(home: Path, checks: ModuleType) -> None:
    with pytest.raises(pytest.skip.Exception, match="clearml"):
        list(checks.check_credentials_are_there("clearml", asking(), home))


@pytest.fixture
def server() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


def test_a_host_that_answers_and_one_that_refuses(server: str, checks: ModuleType) -> None:
    assert not list(checks.check_host_can_be_reached(server, asking()))
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    finding = only(list(checks.check_host_can_be_reached(f"127.0.0.1:{port}", asking())))
    assert finding.id == "system.host-refused"


def test_a_host_without_a_name(checks: ModuleType, in_world: Any) -> None:
    # A resolver on this machine that refuses, so that no name is asked for outside.
    setup = (
        "echo nameserver 127.0.0.1 > /tmp/resolv.$$; mount --bind /tmp/resolv.$$ /etc/resolv.conf; rm /tmp/resolv.$$"
    )
    finding = only(in_world(setup, checks.check_host_can_be_reached, "no-such-host.invalid:443", asking()))
    assert finding.id == "system.host-unknown"


def test_a_host_that_keeps_silent(checks: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "SECONDS_TO_CONNECT", 0.2)
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server:
        port = server.getsockname()[1]
        # A full queue of connections drops every further one, as a firewall does.
        waiting = [socket.socket() for _ in range(4)]
        for client in waiting:
            client.setblocking(False)
            client.connect_ex(("127.0.0.1", port))
        finding = only(list(checks.check_host_can_be_reached(f"127.0.0.1:{port}", asking())))
        for client in waiting:
            client.close()
    assert finding.id == "system.host-silent"


@pytest.mark.parametrize("host", ["192.0.2.1:443", "hub.example:443"])
def test_no_network(host: str, checks: ModuleType, in_world: Any) -> None:
    finding = only(in_world(OFFLINE, checks.check_host_can_be_reached, host, asking()))
    assert finding.id == "system.no-network"
    assert "no interface but the loopback" in finding.cause


def test_no_route(checks: ModuleType, in_world: Any) -> None:
    pair = "ip link add one type veth peer name two && ip link set one up && ip link set two up"
    setup = f'set -- unshare --net bash -c \'{pair}; exec "$@"\' bash "$@"'
    finding = only(in_world(setup, checks.check_host_can_be_reached, "192.0.2.1:443", asking()))
    assert finding.id == "system.no-network"
    assert "no route to 192.0.2.1" in finding.cause


def answer_once(server: socket.socket, answer: bytes) -> None:
    """Be a proxy: take one connection that asks nothing, and answer the one that does."""
    server.accept()[0].close()
    client, _ = server.accept()
    client.recv(1000)
    client.sendall(answer)
    client.close()


@pytest.mark.parametrize(
    ("answer", "name"), [(b"HTTP/1.1 200 OK\r\n\r\n", ""), (b"HTTP/1.1 502 Bad\r\n\r\n", "host-failed")]
)
def test_a_proxy(answer: bytes, name: str, checks: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        thread = threading.Thread(target=answer_once, args=(proxy, answer))
        thread.start()
        monkeypatch.setenv("https_proxy", f"http://user:password@127.0.0.1:{proxy.getsockname()[1]}")
        monkeypatch.delenv("no_proxy", raising=False)
        findings = list(checks.check_host_can_be_reached("hub.invalid:443", asking()))
        thread.join()
    assert [finding.id for finding in findings] == ([f"system.{name}"] if name else [])
    assert "password" not in str(findings)


def test_a_proxy_that_is_missing(checks: ModuleType, in_world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    # Port 443 of this machine's own is nobody's, which a proxy does not care about.
    finding = only(list(checks.check_host_can_be_reached("127.0.0.1:443", asking())))
    assert finding.id == "system.host-refused"
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        thread = threading.Thread(target=answer_once, args=(proxy, b"HTTP/1.1 200 OK\r\n\r\n"))
        thread.start()
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{proxy.getsockname()[1]}")
        assert not list(checks.check_host_can_be_reached("127.0.0.1:443", asking()))
        thread.join()


def test_a_proxy_that_is_gone(checks: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{port}")
    finding = only(list(checks.check_host_can_be_reached("hub.invalid:443", asking())))
    assert finding.id == "system.host-refused"
    assert f"the proxy 127.0.0.1:{port}" in finding.cause


def test_as_a_run_sees_it(server: str, tmp_path: Path) -> None:
    taken = int(server.rpartition(":")[2])
    with socket.create_server(("127.0.0.1", 0)) as gone:
        free = gone.getsockname()[1]
    results = run_check("system.port-is-free", {"preflight": {"system": {"ports": [taken, free]}}}, root=tmp_path)
    assert [result.status.name for result in results] == ["FAILED", "PASSED"]
