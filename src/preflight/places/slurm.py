"""Slurm as an engine: srun starts a program on the nodes of the job, carries its words, tells what became of it."""

from __future__ import annotations

import os
import re
import selectors
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress

from preflight.errors import UserError
from preflight.model import Presence
from preflight.nodesets import expand, fold
from preflight.places.engine import Gone
from preflight.worker.wire import Message, Reader

# Settings of the job's own steps that would change ours: labels in front of lines, streams in files, hooks.
_OTHERS = re.compile(
    r"SLURM_(LABELIO|STD\w+MODE|UNBUFFEREDIO|TASK_(PROLOG|EPILOG)|(EPI|PRO)LOG|KILL_BAD_EXIT|WAIT|MULTI_PROG|HOSTFILE"
    r"|DISTRIBUTION|NTASKS\w*|NPROCS|NNODES|JOB_NUM_NODES|TASKS_PER_NODE|CPUS_PER_TASK|TRES_PER_TASK|CPU_BIND\w*|HINT"
    r"|EXCLUSIVE|EXACT|IMMEDIATE|THREADS|OVERCOMMIT|RELATIVE|DEBUG|SRUN_\w+|MPI_TYPE|WORKING_DIR)|SRUN_\w+"
)
_OPTIONS = (
    *("--overlap", "--kill-on-bad-exit=0", "--wait=0", "--input=all", "--output=all", "--error=all"),
    *("--cpu-bind=none", "--mpi=none", "--chdir=/"),
)
_FAILED = re.compile(r"Task launch for \S+ failed on node (\S+): (.+)")
_ENDED = re.compile(r"srun: error: (\S+): tasks? [\d,-]+: (.+)")
_NODE = re.compile(r"Node failure on (\S+)")
_CANCELLED = re.compile(r"\*\*\* (?:JOB|STEP) \S+ ON \S+ CANCELLED AT (\S+)(?: DUE TO ([A-Z ]+))?")
_NOT_THERE = re.compile(r"execve\(\): (.+)")
_REFUSED = re.compile(r"Unable to create step for job \S+ ")
# States of sinfo's whose nodes run no new step; a star says that the node does not respond.
_UNUSABLE = ("down", "fail", "power", "reboot", "unknown")
_PATIENCE = 5.0
# Within so many seconds of the first task that dies srun says that the job has been ended, if that is why.
_SETTLING = 1.5
_SPOKEN = re.compile(r"^(?:srun|slurmstepd|slurmd)(?:-[^:]+)?: (?:(?:fatal|error): )?(.+)")


class SlurmStep:
    """One srun.

    It ends all of a step where the program cannot be started on one node; what it says of the others after that is no
    word about them.
    """

    def __init__(self, argv: Sequence[str], nodes: Sequence[str], environment: Mapping[str, str]) -> None:
        """Start `argv`, an srun with all of its options."""
        self.nodes = tuple(nodes)
        self._refused: dict[str, Gone] = {}
        self._died: dict[str, tuple[float, Gone]] = {}
        self.over: Gone | None = None
        self.words = ""
        self._reader = Reader()
        self._line = b""
        try:
            self._process = subprocess.Popen(
                argv,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as problem:
            raise UserError(f"srun cannot be started: {problem.strerror}", fix="Load Slurm's commands.") from None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._stdin, self._stdout, self._stderr = self._process.stdin, self._process.stdout, self._process.stderr
        self._selector = selectors.DefaultSelector()
        for stream in (self._stdout, self._stderr):
            self._selector.register(stream, selectors.EVENT_READ)

    def write(self, data: bytes) -> None:
        """Send bytes to every task."""
        with suppress(BrokenPipeError):  # srun has ended, and tells why
            self._stdin.write(data)
            self._stdin.flush()

    def read(self, timeout: float) -> list[tuple[str, Message]]:
        """Return what was said, after at most `timeout` seconds."""
        heard: list[tuple[str, Message]] = []
        if not self._selector.get_map():
            if self._process.poll() is None:
                time.sleep(timeout)
            return heard
        for key, _ in self._selector.select(timeout):
            data = os.read(key.fd, 1 << 20)
            if not data:
                self._selector.unregister(key.fileobj)
            elif key.fileobj is self._stdout:
                heard += self._reader.feed(data)
            else:
                *lines, self._line = (self._line + data).split(b"\n")
                for line in lines:
                    self._learn(line.decode("utf-8", "replace"))
        return heard

    @property
    def gone(self) -> dict[str, Gone]:
        """What srun says of nodes; of a task that has died not at once, since that may be the job's end."""
        if self.over is not None:
            return self._refused
        until = time.monotonic() - (0 if self.ended else _SETTLING)
        return self._refused | {name: gone for name, (when, gone) in self._died.items() if when <= until}

    @property
    def ended(self) -> bool:
        """True once srun has ended and all that it carried has been read."""
        return self._process.poll() is not None and not self._selector.get_map()

    def leave(self) -> None:
        """Close the standard input of every task."""
        with suppress(BrokenPipeError):
            self._stdin.close()

    def stop(self) -> None:
        """Kill srun where it is still there, upon which Slurm kills the tasks; that is not waited for."""
        self.leave()
        self._process.kill()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(0.2)
        self._selector.close()
        for stream in (self._stdout, self._stderr):
            stream.close()

    def _learn(self, line: str) -> None:
        """Take what srun says of nodes and of the job."""
        if failed := _FAILED.search(line):
            self._refused[failed[1]] = Gone(Presence.ABSENT, f"Slurm cannot start its worker: {failed[2]}")
        elif failed := _NODE.search(line):
            for name in expand(failed[1]):
                self._refused[name] = Gone(Presence.LOST, "Slurm says that the node has failed")
        elif (ended := _ENDED.match(line)) and not self._is_aborted:
            for name in expand(ended[1]):
                self._died.setdefault(name, (time.monotonic(), Gone(Presence.LOST, self._ending(ended[2]))))
        elif (cancelled := _CANCELLED.search(line)) and not self._is_aborted:
            self.over = _over(*cancelled.groups())
        elif _REFUSED.search(line):
            self._refused |= self._unusable()
        if spoken := _SPOKEN.match(line):
            self.words = spoken[1]

    def _unusable(self) -> dict[str, Gone]:
        """Return the nodes that Slurm would start nothing on, for the sake of which it refuses the whole step."""
        argv = ["sinfo", "--noheader", "--Node", "--format=%N %T", f"--nodes={fold(self.nodes)}"]
        try:
            told = subprocess.run(argv, capture_output=True, text=True, timeout=_PATIENCE, check=True).stdout
        except (OSError, subprocess.SubprocessError):
            return {}
        states = dict(line.split(maxsplit=1) for line in told.splitlines())
        return {
            name: Gone(Presence.ABSENT, f"Slurm says that the node is {_state(state)}")
            for name, state in states.items()
            if name in self.nodes and (state.startswith(_UNUSABLE) or state.endswith("*"))
        }

    @property
    def _is_aborted(self) -> bool:
        return any(gone.presence is Presence.ABSENT for gone in self._refused.values())

    def _ending(self, how: str) -> str:
        cause = _NOT_THERE.search(self.words)
        return f"its worker cannot be started: {cause[1]}" if cause else f"its worker has ended: {how}"


def _state(state: str) -> str:
    return f"{state.strip('*')} and does not respond" if state.endswith("*") else state


def _over(when: str, why: str | None) -> Gone:
    at = when.partition("T")[2] or when
    match (why or "").strip():
        case "TIME LIMIT":
            return Gone(Presence.LATE, f"the job's time limit ended it at {at}")
        case "":
            return Gone(Presence.CANCELLED, f"the job, or this step of it, was cancelled at {at}")
        case other:
            return Gone(Presence.CANCELLED, f"Slurm ended the job at {at}: {other.lower()}")


class Slurm:
    """The nodes of the job that this process is in."""

    kind = "slurm"
    own_name = "$SLURMD_NODENAME"

    def __init__(self, environment: Mapping[str, str]) -> None:
        """Read the job from the variables that Slurm sets; raises UserError where there are none."""
        nodes = environment.get("SLURM_JOB_NODELIST") or environment.get("SLURM_NODELIST")
        self.job = environment.get("SLURM_JOB_ID", "")
        if not (self.job and nodes):
            raise UserError("this is no job of Slurm: SLURM_JOB_ID and SLURM_JOB_NODELIST are not set")
        self.nodes = tuple(expand(nodes))
        self._environment = {name: value for name, value in environment.items() if not _OTHERS.fullmatch(name)}

    def start(self, argv: Sequence[str], nodes: Sequence[str]) -> SlurmStep:
        """Start `argv` on these nodes in a step of its own, beside whatever else the job does there."""
        number = len(nodes)
        shape = [f"--nodes={number}", f"--ntasks={number}", "--ntasks-per-node=1"]
        srun = ["srun", f"--jobid={self.job}", *_OPTIONS, *shape, f"--nodelist={fold(nodes)}", *argv]
        return SlurmStep(srun, nodes, self._environment)
