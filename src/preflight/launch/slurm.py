"""Through sbatch: the options come from the config and are tried first, and the script is the same for every run."""

from __future__ import annotations

import os
import re
import signal
import time
from contextlib import suppress
from typing import Any, ClassVar

from preflight import writing
from preflight.config import Config, Launch
from preflight.errors import UserError
from preflight.launch.commands import CommandFailed
from preflight.launch.supervision import Ending
from preflight.launch.ways import Way
from preflight.nodesets import expand, fold
from preflight.phrases import counted
from preflight.places.slurm_options import as_written, options_in, words
from preflight.records.states import State

TYPE_CHECKING = False
if TYPE_CHECKING:
    from preflight.model import Report
    from preflight.places.nodes import Nodes

# What is executed comes as arguments, which sbatch hands over as they are.
_SCRIPT = b'#!/bin/sh\nexec "$@"\n'
# So many seconds before the time is up, the job is asked to end, and its record learns why.
_NOTICE = "B:TERM@30"
_PATIENCE = 10.0
# Where Slurm itself writes, for one why it ends a job.
_SAID = "slurm.txt"
_DUE = re.compile(r"\*\*\* JOB \d+ ON \S+ CANCELLED AT \S+ DUE TO ([A-Z ]+) \*\*\*")


class Slurm(Way):
    """A batch job."""

    __slots__ = ()
    here: ClassVar[tuple[str, ...]] = ("launch", "")
    there: ClassVar[tuple[str, ...]] = ("node", "")
    is_shown: ClassVar[bool] = False

    def require(self) -> None:
        """Raise UserError where sbatch would refuse the job, or does not know an option."""
        self._try(self._options())

    def _try(self, options: list[str]) -> None:
        try:
            self.commands("sbatch", "--test-only", *options, self._script())
        except CommandFailed as problem:
            message = re.sub(r"^(sbatch: error: |allocation failure: )+", "", problem.message)
            fix = "See what there is, and correct `launch.slurm`:\n    sinfo"
            raise UserError(f"Slurm would refuse the job: {message}", where=_place(self.config), fix=fix) from None

    def start(self) -> str:
        """Submit the job, and return its id."""
        # The supervisor goes where it belongs by itself: sbatch would replace %j and its like in the folder's name.
        ours = ["--chdir=/", f"--output={_pattern(str(self.run.folder))}", "--open-mode=append", "--parsable"]
        submitted = [*ours, f"--job-name={self.run.name}", *self._options(), self._script(), *self.supervisor]
        job = self.commands("sbatch", *submitted).strip().splitlines()[-1].partition(";")[0]
        self.run.know(slurm=job)
        if "array" in self._settings.slurm:
            self.run.enter(State.FINISHED, reason=f"an array: each task has a record, {self.run.name}-TASK")
        return f"as job {job} of Slurm"

    def workers(self) -> Nodes | None:
        """Return workers on all nodes of the job; none where it has one, whose checks run as on any machine."""
        if os.environ.get("SLURM_JOB_NUM_NODES", "1") == "1":
            return None
        from preflight.places.nodes import Nodes
        from preflight.places.slurm import Slurm as Engine

        return Nodes(Engine(os.environ), self.config.python)

    def start_again(self, report: Report, reason: str) -> bool:
        """Put the job back into the queue without its bad nodes, besides those that it was not to have anyway."""
        if not self._settings.requeue:
            return False
        from preflight.launch.requeue import to_leave_out

        bad = to_leave_out(report)
        asked = ("squeue", "--noheader", "--format=%x", f"--jobs={self.record.slurm}")
        without = fold([*expand(self.commands(*asked).strip().replace("(null)", "")), *bad])
        try:
            self._requeue(without, f"without {fold(bad)}: {reason}")
        except UserError as problem:
            raise UserError(f"{problem.message}; to do without them by hand: --exclude={without}") from None
        return True

    def _requeue(self, without: str, reason: str) -> None:
        """Requeue the job, then exclude the nodes, which Slurm refuses before.

        Slurm asks this process to end at once. Until it has ended, or KillWait is over, the job can start nowhere.
        """
        # Slurm's own count has other reasons in it as well.
        times = sum(event.facts.get("state") == State.REQUEUED for event in self.run.events()[0])
        if times >= self._settings.requeue:
            raise UserError(f"it was requeued {counted(times, 'time')} already")
        self._try(self._options(without))
        # Before the deed, so that whatever happens meanwhile it is done no more often than it is counted.
        self.run.enter(State.REQUEUED, reason=reason)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # what is started from now on ignores it too
        job = self.record.slurm
        self.commands("scontrol", "requeue", job)
        try:
            self.commands("scontrol", "update", f"jobid={job}", f"excnodelist={without}")
        except CommandFailed:
            self.commands("scancel", job)
            raise

    def ended(self, ending: Ending) -> dict[str, Any]:
        """Return why Slurm asked the job to end, where it says so."""
        if not ending.asked:
            return {}
        with suppress(OSError):
            if said := _DUE.findall((self.run.folder / _SAID).read_text(errors="replace")):
                return {"reason": f"ended by Slurm: {said[-1].lower()}"}
        with suppress(UserError):
            left = self.commands("squeue", "--noheader", "--format=%L", f"--jobs={self.record.slurm}").strip()
            if re.fullmatch(r"[01]:\d\d", left):
                return {"reason": f"ended by Slurm: its time is up in {left}"}
        return {}

    def stop(self) -> None:
        """Ask the job to end, as a plain scancel would not ask a batch script, then cancel it."""
        job = self.record.slurm
        if job and self._is_running(job):
            self.commands("scancel", "--batch", "--signal=TERM", job, fine=(0, 1))
            until = time.monotonic() + _PATIENCE
            while self._is_running(job):
                if time.monotonic() > until:
                    break
                time.sleep(0.2)
        if job:
            self.commands("scancel", job)

    def _is_running(self, job: str) -> bool:
        words = ("squeue", "--noheader", "--states=RUNNING", "--format=%i", f"--jobs={job}")
        return bool(self.commands(*words, fine=(0, 1)).strip())

    def _script(self) -> str:
        file = self.run.folder / "job.sh"
        writing.replace({file: _SCRIPT}, durable=False)
        return str(file)

    @property
    def _settings(self) -> Launch:
        return self.config.launch or Launch()

    def _options(self, without: str = "") -> list[str]:
        """Return `launch.slurm` as sbatch wants it; raises UserError for an option that it does not know.

        With nodes that it is to be `without` they are those of a job that has begun: what it waited for is over.
        """
        given = as_written(self._settings.slurm, self.config.text)
        if without:
            given = {name: value for name, value in given.items() if name != "dependency"} | {"exclude": without}
        if self._settings.requeue and (given.get("no_requeue") or given.get("no-requeue")):
            message = f"the job is to be requeued (`launch.requeue: {self._settings.requeue}`), and not to be"
            raise UserError(message, where=f"{_place(self.config)}.no_requeue", fix="Remove one of the two.")
        known = options_in(self.commands("sbatch", "--help")) if given else set()
        ours = [] if "signal" in given else [f"--signal={_NOTICE}"]
        # By itself a job is as JobRequeue in slurm.conf has it.
        ours += ["--requeue"] if self._settings.requeue else []
        return [*ours, *words(given, known, _place(self.config))]


def _pattern(folder: str) -> str:
    """Return what sbatch takes for a file in `folder`; it cannot be told of a folder with a backslash (sbatch(1))."""
    return os.devnull if "\\" in folder else f"{folder.replace('%', '%%')}/{_SAID}"


def _place(config: Config) -> str:
    return f"{config.launch.at}.slurm" if config.launch else ""
