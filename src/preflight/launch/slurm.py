"""Through sbatch: the options come from the config and are tried first, and the script is the same for every run."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, ClassVar

from preflight import writing
from preflight.config import Config, Launch
from preflight.errors import UserError
from preflight.launch.commands import CommandFailed
from preflight.launch.supervision import Ending
from preflight.launch.ways import Way
from preflight.phrases import in_a_row
from preflight.records.states import State

# What is executed comes as arguments, which sbatch hands over as they are.
_SCRIPT = b'#!/bin/sh\nexec "$@"\n'
_OURS = {"output", "error", "chdir", "wrap", "parsable", "open-mode", "test-only", "wait", "input", "export-file"}
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
        options = self._options()
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
        words = [*ours, f"--job-name={self.run.name}", *self._options(), self._script(), *self.supervisor]
        job = self.commands("sbatch", *words).strip().splitlines()[-1].partition(";")[0]
        self.run.know(slurm=job)
        if "array" in (self.config.launch or Launch()).slurm:
            self.run.enter(State.FINISHED, reason=f"an array: each task has a record, {self.run.name}-TASK")
        return f"as job {job} of Slurm"

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

    def _options(self) -> list[str]:
        """Return `launch.slurm` as sbatch wants it; raises UserError for an option that it does not know."""
        given = as_written((self.config.launch or Launch()).slurm, self.config.text)
        known = set(re.findall(r"--([a-z][a-z0-9-]+)", self.commands("sbatch", "--help"))) if given else set()
        return [*([] if "signal" in given else [f"--signal={_NOTICE}"]), *_words(given, known, _place(self.config))]


def as_written(options: Mapping[str, Any], text: str) -> dict[str, Any]:
    """Return options with numbers as the config has them: YAML 1.1 reads `time: 1:00:00` as 3600, Slurm as an hour."""
    import yaml

    written = yaml.load(text, Loader=yaml.BaseLoader)  # noqa: S506 - it makes nothing but text
    for key in ("preflight", "launch", "slurm"):
        written = written.get(key) if isinstance(written, Mapping) else None
    raw = written if isinstance(written, Mapping) else {}
    numbers = [name for name, value in options.items() if type(value) in (int, float) and "$" not in raw.get(name, "$")]
    return {**options, **{name: raw[name] for name in numbers}}


def _words(given: Mapping[str, object], known: set[str], place: str) -> Iterator[str]:
    for name, value in given.items():
        option, where = name.replace("_", "-"), f"{place}.{name}"
        if option in _OURS:
            raise UserError(f"--{option} is preflight's to set", where=where, fix="Remove the line.")
        if option not in known:
            raise UserError(f"sbatch has no option --{option}", where=where, fix=_nearest(option, known))
        if isinstance(value, Mapping | list):
            raise UserError("an option of sbatch is one value", where=where, fix="Write lists as sbatch does: a,b")
        if value is not False and value is not None:
            yield f"--{option}" if value is True else f"--{option}={value}"


def _pattern(folder: str) -> str:
    """Return what sbatch takes for a file in `folder`; it cannot be told of a folder with a backslash (sbatch(1))."""
    return os.devnull if "\\" in folder else f"{folder.replace('%', '%%')}/{_SAID}"


def _place(config: Config) -> str:
    return f"{config.launch.at}.slurm" if config.launch else ""


def _nearest(option: str, known: set[str]) -> str:
    from difflib import get_close_matches

    near = get_close_matches(option, known, n=3)
    return f"Do you mean {in_a_row(near)}?" if near else "`sbatch --help` lists them."
