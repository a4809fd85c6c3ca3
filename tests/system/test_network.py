"""Ports and hosts, as a server and a client meet them."""

import errno
import socket
from typing import Any

import pytest

from preflight.system import network
from preflight.system.network import Outcome


@pytest.mark.parametrize(
    ("variables", "host", "port", "proxy"),
    [
        ({}, "hub.example", 443, ""),
        ({"https_proxy": "http://user:secret@proxy.example:3128"}, "hub.example", 443, "proxy.example:3128"),
        ({"https_proxy": "proxy.example"}, "hub.example", 443, "proxy.example:80"),
        ({"http_proxy": "http://proxy.example:3128"}, "hub.example", 443, ""),
        ({"http_proxy": "http://proxy.example:3128"}, "hub.example", 80, "proxy.example:3128"),
        ({"all_proxy": "http://proxy.example:3128"}, "hub.example", 443, "proxy.example:3128"),
        ({"https_proxy": "http://proxy.example:3128"}, "hub.example", 29500, ""),
        ({"https_proxy": "http://proxy.example:3128", "no_proxy": ".example"}, "hub.example", 443, ""),
    ],
)
def test_the_proxy_of_a_host(
    variables: dict[str, str], host: str, port: int, proxy: str, *, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert network.proxy_for(host, port) == proxy


def test_a_name_that_is_none() -> None:
    assert network.reach("a..b", 29500, 0.1).outcome is Outcome.UNRESOLVED


def test_listening_leaves_the_port_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert network.try_to_listen(port) == errno.EADDRINUSE
    assert network.try_to_listen(port) == 0
    assert network.try_to_listen(port) == 0


def test_a_machine_without_ipv6(in_world: Any) -> None:
    # A network of its own has no address but can be listened on, and IPv6 is off there.
    setup = 'set -- unshare --net bash -c \'echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6; exec "$@"\' bash "$@"'
    assert in_world(setup, network.try_to_listen, 29500) == 0


def test_whether_there_is_a_network(in_world: Any) -> None:
    assert in_world('set -- unshare --net "$@"', network.has_network) is False
    pair = "ip link add one type veth peer name two && ip link set one up && ip link set two up"
    assert in_world(f'set -- unshare --net bash -c \'{pair}; exec "$@"\' bash "$@"', network.has_network) is True
