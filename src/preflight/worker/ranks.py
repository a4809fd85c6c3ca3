"""The ranks of one place: processes that add up with those of other places, and who watches how far each comes."""

from __future__ import annotations

import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

from preflight.system import group
from preflight.system.gpu.refusals import first_line
from preflight.system.kernel import die_with_parent, nameless_file, process_state
from preflight.worker.process import own_name
from preflight.worker.stage import BOOT
from preflight.worker.wire import Voice

_TICK = 0.5
_BEAT = 1.0
# Seconds for one attempt to reach the place of the first rank.
_PATIENCE = 5.0
_LONGEST = 4000
# What NCCL and gloo read of the network; none of it can hold a secret.
_VARIABLES = ("NCCL_", "GLOO_", "TORCH_NCCL_", "FI_PROVIDER", "UCX_NET_DEVICES", "MASTER_ADDR")


def attend(lent: str, name: str) -> None:
    """Be the one at a place who starts its ranks, as standard input says, and tells what becomes of them.

    Says `hello` with the facts of the network; to the order `reach` it tries the place of the first rank and says
    `reached`; to the order `go` it starts the ranks and passes on what they say, and beats with the state of each.
    Ends, and its ranks with it, when the standard input does.
    """
    name = own_name(name)
    voice = Voice(os.dup(1), name)
    os.dup2(2, 1)
    place = _Place(lent, name, voice)
    try:
        place.work()
    finally:
        place.close()
        os._exit(0)


class _Place:
    def __init__(self, lent: str, name: str, voice: Voice) -> None:
        self._lent, self._name, self._voice = lent, name, voice
        self._selector = selectors.DefaultSelector()
        self._ranks: dict[int, subprocess.Popen[bytes]] = {}
        self._outputs: dict[int, int] = {}
        self._rests: dict[int, bytes] = {}
        self._switches: dict[int, object] = {}
        self._host = ""
        # The port where the store of the first rank will be, kept so long as it is only tried.
        self._door = socket.create_server(("", 0), family=socket.AF_INET)

    def work(self) -> None:
        self._voice.say(kind="hello", port=self._door.getsockname()[1], **_network())
        self._selector.register(0, selectors.EVENT_READ)
        beaten = time.monotonic()
        orders = b""
        while True:
            for key, _ in self._selector.select(_TICK):
                if key.fd:
                    self._hear(key.fd, key.data)
                    continue
                data = os.read(0, 1 << 20)
                if not data:
                    return
                *lines, orders = (orders + data).split(b"\n")
                for line in lines:
                    self._obey(json.loads(line))
            if time.monotonic() > beaten + _BEAT:
                beaten = time.monotonic()
                self._voice.say(kind="beat", states={str(rank): self._state(rank) for rank in self._ranks})

    def _obey(self, order: Mapping[str, Any]) -> None:
        if order["order"] == "reach":
            hosts = ["127.0.0.1"] if order["place"] == self._name else order["hosts"]
            by, tried = _reach(hosts, order["port"])
            self._host = by
            self._voice.say(kind="reached", by=by, tried=tried)
            return
        self._door.close()
        first, devices = order["ranks"][self._name]
        for rank, device in enumerate(devices, first):
            self._start({**order, "ranks": {}, "host": self._host, "rank": rank, "device": device})

    def _state(self, rank: int) -> str:
        """Return the state of a rank's process; stopped is what has not run since the last beat, not a while ago."""
        import psutil

        pid = self._ranks[rank].pid
        state = process_state(pid)
        with suppress(psutil.Error):
            before, self._switches[rank] = self._switches.get(rank), psutil.Process(pid).num_ctx_switches()
            if state == "T" and before != self._switches[rank]:
                return "R"
        return state

    def _start(self, orders: Mapping[str, Any]) -> None:
        rank = orders["rank"]
        read, write = os.pipe()
        self._outputs[rank] = nameless_file()
        self._ranks[rank] = subprocess.Popen(
            [sys.executable, BOOT, "rank", self._lent, json.dumps({**orders, "answers": write})],
            stdin=subprocess.DEVNULL,
            stdout=self._outputs[rank],
            stderr=self._outputs[rank],
            pass_fds=(write,),
        )
        os.close(write)
        self._rests[rank] = b""
        self._selector.register(read, selectors.EVENT_READ, rank)

    def _hear(self, stream: int, rank: int) -> None:
        """Pass on what a rank says, and its end."""
        data = os.read(stream, 1 << 16)
        *lines, self._rests[rank] = (self._rests[rank] + data).split(b"\n")
        for line in lines:
            self._voice.say(kind="rank", rank=rank, **json.loads(line))
        if not data:
            self._selector.unregister(stream)
            os.close(stream)
            code = self._ranks.pop(rank).wait()
            self._voice.say(kind="ended", rank=rank, ended=group.ending(code), output=_tail(self._outputs[rank]))

    def close(self) -> None:
        """Kill the ranks."""
        for process in self._ranks.values():
            process.kill()


def _tail(file: int) -> str:
    size = os.fstat(file).st_size
    return os.pread(file, _LONGEST, max(0, size - _LONGEST)).decode("utf-8", "replace")


def _network() -> dict[str, Any]:
    """Return the name of this host, the addresses that it stands for here, those of each interface, the variables."""
    import psutil

    host = socket.gethostname()
    interfaces = {
        name: [each.address for each in addresses if each.family == socket.AF_INET]
        for name, addresses in psutil.net_if_addrs().items()
    }
    variables = {name: value for name, value in os.environ.items() if name.startswith(_VARIABLES)}
    own = list(_addresses(host))
    return {"host": host, "own": own, "interfaces": interfaces, "variables": variables, "devices": _devices()}


def _devices() -> int:
    """Return how many GPUs the job sees here; those that are cut in slices do not add up together."""
    from preflight.system.gpu.gather import gather
    from preflight.system.gpu.selection import of_job

    shown = of_job(gather(Path("/"), start=False))
    return 0 if shown.slices else len(shown.devices)


def _addresses(host: str) -> Iterator[str]:
    with suppress(OSError):
        for *_, address in socket.getaddrinfo(host, None, socket.AF_INET, socket.SOCK_STREAM):
            yield str(address[0])


def _reach(hosts: Sequence[str], port: int) -> tuple[str, dict[str, str]]:
    """Return the first host that a connection can be opened to, and why those before it cannot be reached."""
    tried: dict[str, str] = {}
    for host in hosts:
        try:
            socket.create_connection((host, port), _PATIENCE).close()
        except OSError as problem:
            tried[host] = problem.strerror or str(problem)
        else:
            return host, tried
    return "", tried


def be_one(orders: str) -> None:
    """Be one rank: find the others at the store of the first one, take part, stay until all are done."""
    wanted = json.loads(orders)
    answers, rank, seconds = wanted["answers"], wanted["rank"], wanted["seconds"]
    die_with_parent(signal.SIGKILL)

    def say(message: Mapping[str, Any]) -> None:
        os.write(answers, json.dumps(message).encode() + b"\n")

    def open_store() -> Any:
        from torch.distributed import TCPStore

        limit = timedelta(seconds=seconds)
        return TCPStore(wanted["host"], wanted["port"], wanted["number"], rank == 0, timeout=limit)

    try:
        group.take_part(rank, wanted["number"], wanted["device"], open_store, seconds, say)
        # The first rank has the store of all; who attends ends them together.
        signal.pause()
    except BaseException as problem:  # noqa: BLE001 - whatever it is, it is told
        say({"error": f"{type(problem).__name__}: {first_line(problem)}"})
    finally:
        os._exit(0)
