"""What a run is on a host that it was sent to: a folder that is unpacked, checked in, become the job, and asked of."""

from __future__ import annotations

import json
import os
import signal
import sys
import tarfile
from contextlib import suppress
from pathlib import Path
from typing import IO

from preflight import writing
from preflight.errors import UserError
from preflight.launch import checks, ways
from preflight.launch.checkout import CHECKOUT
from preflight.launch.gate import become
from preflight.records.folder import Run
from preflight.records.life import Life
from preflight.worker.request import Selection

_PROCESS = "process"


def receive(folder: Path, packed: IO[bytes]) -> int:
    """Unpack what `ssh` sent into a new folder."""
    try:
        folder.mkdir(mode=0o700, parents=True)
        with tarfile.open(fileobj=packed, mode="r|") as tar:
            tar.extraction_filter = getattr(tarfile, "tar_filter", None)  # Python 3.11.4 and later
            tar.extractall(folder)  # noqa: S202 - it comes from the user's own launcher
    except (OSError, tarfile.TarError) as problem:
        raise UserError(f"the run cannot be unpacked: {problem}", where=str(folder)) from None
    return 0


def carry_out(folder: Path) -> int:
    """Check what belongs to this host, and become the job; return what is exited with instead."""
    folder = folder.absolute()
    run = Run(folder)
    record = run.read()
    writing.replace({folder / _PROCESS: json.dumps(Life.of().to_json()).encode()})
    place = folder / CHECKOUT / os.fsdecode((folder / "below").read_bytes())
    config = ways.config_of(run, place)
    report, verdict = checks.check(config, selection=Selection(at=("node", "")), strict=record.strict)
    writing.replace({run.report: checks.stored(report, verdict).encode()})
    checks.tell(report, verdict)
    os.chdir(place)
    return checks.refusal(report, verdict) or become(record.command)


def tell(folder: Path) -> int:
    """Print the report."""
    sys.stdout.write(Run(folder).report.read_text(encoding="utf-8") if Run(folder).report.exists() else "")
    return 0


def end(folder: Path) -> int:
    """Ask the job, and what it started, to end."""
    with suppress(OSError, ValueError, TypeError):
        job = Life.from_json(json.loads((folder / _PROCESS).read_text(encoding="utf-8")))
        if job.is_alive:
            os.killpg(os.getpgid(job.pid), signal.SIGTERM)
    return 0
