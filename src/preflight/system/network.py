"""The network as the job would meet it: whether a port is free, and whether a host can be reached."""

from __future__ import annotations

import errno
import os
import socket
from contextlib import closing
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import urlsplit


class Outcome(StrEnum):
    """How an attempt to reach a host ended."""

    CONNECTED = "connected"
    UNRESOLVED = "unresolved"
    REFUSED = "refused"
    SILENT = "silent"
    NO_ROUTE = "no route"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached:
    """How one attempt went: the addresses of the host, the system's words for an error, the proxy that was taken."""

    outcome: Outcome
    addresses: tuple[str, ...] = ()
    error: str = ""
    proxy: str = ""


def try_to_listen(port: int) -> int:
    """Listen on a TCP port of every address for a moment, as a server does; return the error's number, 0 for none."""
    for family, address in ((socket.AF_INET6, "::"), (socket.AF_INET, "0.0.0.0")):  # noqa: S104
        try:
            _listen(family, address, port)
        except OSError as error:
            # A machine without IPv6 is no busy port.
            if error.errno not in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL):
                return error.errno or errno.EIO
    return 0


def reach(host: str, port: int, seconds: float) -> Reached:
    """Open a TCP connection; through the proxy of the environment where the direct way fails and there is one."""
    direct = _connect(host, port, seconds)
    proxy = "" if direct.outcome is Outcome.CONNECTED else proxy_for(host, port)
    return _connect_through(proxy, host, port, seconds) if proxy else direct


def proxy_for(host: str, port: int) -> str:
    """Return the proxy that clients would use for this host, without user and password; empty where there is none."""
    from urllib.request import getproxies, proxy_bypass

    scheme = {80: "http", 443: "https"}.get(port, "")
    proxies = getproxies()
    proxy = (proxies.get(scheme) or proxies.get("all", "")) if scheme else ""
    if not proxy or proxy_bypass(f"{host}:{port}"):
        return ""
    parts = urlsplit(proxy if "//" in proxy else f"//{proxy}")
    return f"{parts.hostname}:{parts.port or 80}" if parts.hostname else ""


def has_network() -> bool:
    """Tell whether any interface besides the loopback is up; True where that cannot be told."""
    import psutil

    try:
        # Not /sys/class/net, which shows the network of whoever mounted it.
        return any(facts.isup for name, facts in psutil.net_if_stats().items() if not name.startswith("lo"))
    except OSError:
        return True


def has_loopback() -> bool:
    """Tell whether the loopback is up; True where that cannot be told."""
    import psutil

    try:
        return any(facts.isup for name, facts in psutil.net_if_stats().items() if name.startswith("lo"))
    except OSError:
        return True


def interfaces() -> list[str]:
    """Return the names of the network interfaces of this process's network, up or not."""
    return [name for _, name in socket.if_nameindex()]


def interfaces_for(wanted: str, names: list[str]) -> list[str]:
    """Return which of `names` NCCL_SOCKET_IFNAME means: `eth,ib` begin so, `=eth0` is exactly so, `^lo` is all but."""
    text = wanted.lstrip("^=")
    exact = "=" in wanted[: len(wanted) - len(text)]
    words = [word.partition(":")[0] for word in text.split(",") if word]
    fits = [name for name in names if any(name == word if exact else name.startswith(word) for word in words)]
    return [name for name in names if name not in fits] if wanted.startswith("^") else fits


def _listen(family: socket.AddressFamily, address: str, port: int) -> None:
    with closing(socket.socket(family, socket.SOCK_STREAM)) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        server.bind((address, port))
        server.listen(1)


def _connect(host: str, port: int, seconds: float) -> Reached:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        return Reached(outcome=Outcome.UNRESOLVED, error=_words(error))
    addresses = tuple(dict.fromkeys(str(each[4][0]) for each in found))
    last: OSError = OSError(errno.EHOSTUNREACH, os.strerror(errno.EHOSTUNREACH))
    for family, kind, protocol, _, address in found[:4]:
        try:
            with closing(socket.socket(family, kind, protocol)) as client:
                client.settimeout(seconds)
                client.connect(address)
                return Reached(outcome=Outcome.CONNECTED, addresses=addresses)
        except OSError as error:
            # IPv6 without a route says nothing where IPv4 has more to say.
            if _outcome(error) is not Outcome.NO_ROUTE or _outcome(last) is Outcome.NO_ROUTE:
                last = error
    return Reached(outcome=_outcome(last), addresses=addresses, error=_words(last))


def _connect_through(proxy: str, host: str, port: int, seconds: float) -> Reached:
    name, _, number = proxy.rpartition(":")
    first = _connect(name, int(number), seconds)
    if first.outcome is not Outcome.CONNECTED:
        return Reached(outcome=first.outcome, error=first.error, proxy=proxy)
    try:
        with closing(socket.create_connection((name, int(number)), timeout=seconds)) as client:
            client.sendall(f"CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode())
            answer = client.recv(256).split(b"\r\n")[0].decode("latin-1")
    except OSError as error:
        return Reached(outcome=_outcome(error), error=_words(error), proxy=proxy)
    # 407 asks for a password, which a client has and we do not show.
    let_through = answer.split(" ")[1:2] in (["200"], ["407"])
    return Reached(outcome=Outcome.CONNECTED if let_through else Outcome.FAILED, error=answer, proxy=proxy)


def _outcome(error: OSError) -> Outcome:
    if isinstance(error, TimeoutError):
        return Outcome.SILENT
    if isinstance(error, ConnectionRefusedError):
        return Outcome.REFUSED
    if error.errno in (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN):
        return Outcome.NO_ROUTE
    return Outcome.FAILED


def _words(error: OSError | UnicodeError) -> str:
    return getattr(error, "strerror", None) or str(error)
