"""Plain hosts as an engine: an ssh to each starts a program there, carries its words, tells what became of it."""

from __future__ import annotations

import os
import selectors
import shlex
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress

from preflight.errors import UserError
from preflight.model import Presence
from preflight.nodesets import expand, fold
from preflight.places.engine import Gone
from preflight.worker.wire import Message, Reader

# ssh asks nobody, and gives up a host that it cannot reach, or that the network has lost, by itself (ssh_config(5)).
_OPTIONS = (
    *("-T", "-x", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10"),
    *("-o", "ServerAliveInterval=5", "-o", "ServerAliveCountMax=3"),
)
# What ssh itself ends with where it, and not the program, has failed (ssh(1)).
_BROKEN = 255
_LONGEST = 300


def read_hosts(text: str) -> list[str]:
    """Return the hosts of `a,b[1-3]`, or of the lines of a hostfile, `#` beginning a comment.

    Of a line the first word is the host: what mpirun's hostfiles say of slots is passed over. Raises UserError where
    there is none, and for a name that ssh would take for an option.
    """
    lines = [line.partition("#")[0].split() for line in text.splitlines()]
    try:
        names = [name for line in lines if line for name in expand(line[0])]
    except ValueError as problem:
        raise UserError(f"these are no hosts: {problem}", fix="Write them as a,b or n[1-4].") from None
    if not names or any(name.startswith("-") for name in names):
        raise UserError(f"these are no hosts: {text.strip()[:80] or 'nothing'}", fix="Write them as a,b or n[1-4].")
    return list(dict.fromkeys(names))


class HostsStep:
    """One ssh to each host."""

    over: Gone | None = None

    def __init__(self, commands: Mapping[str, Sequence[str]]) -> None:
        """Start the command of each host."""
        self.nodes = tuple(commands)
        self.gone: dict[str, Gone] = {}
        self.words = ""
        self._selector = selectors.DefaultSelector()
        self._readers = {name: Reader() for name in commands}
        self._said = dict.fromkeys(commands, "")
        self._spoke: set[str] = set()
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        try:
            for name, command in commands.items():
                self._begin(name, command)
        except OSError as problem:
            self.stop()
            raise UserError(f"ssh cannot be started: {problem.strerror}", fix="Install OpenSSH's client.") from None

    def _begin(self, name: str, command: Sequence[str]) -> None:
        pipe = subprocess.PIPE
        process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True)
        self._processes[name] = process
        for stream in (process.stdout, process.stderr):
            assert stream is not None
            self._selector.register(stream, selectors.EVENT_READ, name)

    def write(self, data: bytes) -> None:
        """Send bytes to the program on every host; they fit into what a pipe holds."""
        for process in self._processes.values():
            assert process.stdin is not None
            with suppress(OSError, ValueError):  # it has ended, and its end tells why
                process.stdin.write(data)
                process.stdin.flush()

    def read(self, timeout: float) -> list[tuple[str, Message]]:
        """Return what was said, after at most `timeout` seconds."""
        heard: list[tuple[str, Message]] = []
        if not self._selector.get_map():
            time.sleep(0 if self.ended else timeout)
        else:
            for key, _ in self._selector.select(timeout):
                data, name = os.read(key.fd, 1 << 20), str(key.data)
                if not data:
                    self._selector.unregister(key.fileobj)
                elif key.fileobj is self._processes[name].stdout:
                    # Whatever name is in a frame, it came from this host.
                    heard += [(name, message) for _, message in self._readers[name].feed(data)]
                else:
                    self._said[name] = (self._said[name] + data.decode("utf-8", "replace"))[-2000:]
        self._spoke |= {name for name, _ in heard}
        self._look()
        return heard

    def _look(self) -> None:
        """Learn how each ssh has ended."""
        for name, process in self._processes.items():
            if name not in self.gone and process.poll() not in (None, 0):
                presence = Presence.LOST if name in self._spoke else Presence.ABSENT
                self.gone[name] = Gone(presence, self._why(name, process.returncode))

    def _why(self, name: str, code: int) -> str:
        lines = [line.strip() for line in self._said[name].splitlines() if line.strip()]
        last = f": {lines[-1][:_LONGEST]}" if lines else ""
        if code == _BROKEN:
            return f"ssh has failed{last}"
        return f"its worker was ended by signal {-code}" if code < 0 else f"its worker left with exit code {code}{last}"

    @property
    def ended(self) -> bool:
        """True once every ssh has ended and all that was said has been read."""
        return not self._selector.get_map() and all(each.poll() is not None for each in self._processes.values())

    def leave(self) -> None:
        """Close the standard input of every program."""
        for process in self._processes.values():
            assert process.stdin is not None
            with suppress(OSError):
                process.stdin.close()

    def stop(self) -> None:
        """Kill every ssh; a program that loses its wire ends by itself."""
        self.leave()
        for process in self._processes.values():
            process.kill()
            with suppress(subprocess.TimeoutExpired):
                process.wait(0.2)
            for stream in (process.stdout, process.stderr):
                if stream is not None:
                    stream.close()
        self._selector.close()


class Hosts:
    """Hosts that ssh reaches without a question; preflight and the environment lie there at the same paths as here."""

    own_name = "$HOST"

    def __init__(self, names: Sequence[str], ssh: Sequence[str] = ("ssh",)) -> None:
        """Take the names of the hosts, as ssh knows them, and the ssh that reaches them."""
        self.nodes = tuple(names)
        self._ssh = tuple(ssh)

    @property
    def kind(self) -> str:
        """What `--on` says for them."""
        return f"ssh:{fold(self.nodes)}"

    def start(self, argv: Sequence[str], nodes: Sequence[str]) -> HostsStep:
        """Start `argv` on these hosts, one process on each; raises UserError where there is no ssh."""
        commands = {}
        for name in nodes:
            words = [name if word == self.own_name else word for word in argv]
            commands[name] = [*self._ssh, *_OPTIONS, "--", name, shlex.join(words)]
        return HostsStep(commands)
