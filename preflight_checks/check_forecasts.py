"""Forecasts: whether the real run has the time, memory and disk that it will take, by what its rehearsal took.

See it by hand:

    df -h OUTPUT
    df -i OUTPUT
    free -g
    nvidia-smi --query-gpu=memory.total,memory.used --format=csv

Mend it:

    Ask for more of what runs short, or make the run need less: fewer epochs, smaller batches, fewer checkpoints kept.
"""

import errno
import os
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from preflight import Finding, check, error, info, warning
from preflight.config import Config, Rehearsal
from preflight.quantities import format_duration, format_size
from preflight.rehearsal import forecasts
from preflight.rehearsal.forecasts import Duration, Growth
from preflight.rehearsal.program import Rehearsed
from preflight.system import disk, limits
from preflight.system.trials import try_to_reserve

# A run that waits for its data is worth a word where a fifth of at least ten minutes is lost.
STALLED, LONG_ENOUGH = 0.2, 600.0
# The allocator needs room between its blocks.
FULL_CARD = 0.97


@check(when="rehearsal", at="node")
def check_real_run_has_what_it_takes(config: Config, rehearsed: Rehearsed) -> Iterator[Finding]:
    """The real run ends within its time, and fits into the memory, the disk and the open files that it may have.

    The rehearsal shows the first batches and the last of each pass; what one of them took is multiplied by how many
    there truly are. Nothing is said where that is not known.

        forecasts.time        the run takes longer than `rehearsal.within`, or than its Slurm job may still last
        forecasts.memory      its memory grows with each batch until there is no more
        forecasts.ram         it takes more memory than `system.ram` says
        forecasts.card        the memory of a GPU fills up with each batch, or is as good as full already
        forecasts.disk        what it saves does not fit into its folder
        forecasts.inodes      it saves more files than the file system has room for
        forecasts.files       it opens files and does not close them, until it may open no more
        forecasts.stalls      the GPU waits for data
        forecasts.run         what the run will take
    """
    if rehearsed.code not in (0, None):
        return
    at = (config.rehearsal or Rehearsal()).at
    where = {"file": at.file, "line": at.line}
    whole = forecasts.duration(rehearsed)
    for found in (
        _time(config, whole, where),
        _memory(config, rehearsed, where),
        _card(rehearsed, where),
        _disk(config, rehearsed, where),
        _files(rehearsed, where),
        _stalls(rehearsed, whole, where),
        _run(rehearsed, whole, where),
    ):
        yield from found


def _time(config: Config, whole: Duration | None, where: dict[str, Any]) -> Iterator[Finding]:
    limit, source = _time_limit(config)
    if whole is None or limit is None or whole.seconds <= limit:
        return
    say = error if whole.low > limit else warning
    found, wanted = format_duration(whole.seconds), format_duration(limit)
    yield say(
        f"the run takes about {found}, and {source} allows {wanted}",
        id="forecasts.time",
        found=found,
        wanted=wanted,
        cause=f"{_passes(whole)} at {_each(whole)} a batch",
        fix="Allow more time (`--time` for Slurm), or train for fewer epochs, on more GPUs or with larger batches",
        evidence=_made(whole),
        **where,
    )


def _time_limit(config: Config) -> tuple[float | None, str]:
    """Return the seconds that the run may take, and what says so."""
    found = []
    if config.rehearsal and config.rehearsal.within is not None:
        found.append((config.rehearsal.within, "`rehearsal.within`"))
    end = os.environ.get("SLURM_JOB_END_TIME", "")
    if end.isdigit():
        found.append((float(end) - time.time(), "what is left of the Slurm job"))
    return min(found, default=(None, ""))


def _memory(config: Config, rehearsed: Rehearsed, where: dict[str, Any]) -> Iterator[Finding]:
    taken, limit = forecasts.memory(rehearsed), limits.memory()
    if taken is None:
        return
    wanted = config.system.ram if config.system and config.system.ram else None
    growth = taken.growth
    peak = taken.together + (growth.total if growth else 0)
    allowed, source = min((limit.value, limit.source), (wanted or limit.value, "`system.ram`"))
    values = {"found": format_size(peak), "wanted": format_size(allowed)}
    if growth and peak > allowed:
        yield _fuller("memory", growth, f"{values['found']} of memory", f"{source} allows {values['wanted']}", where)
    elif wanted and taken.together > wanted:
        yield error(
            f"the run takes {values['found']} of memory, `system.ram` says {values['wanted']}",
            id="forecasts.ram",
            cause=f"its {taken.processes} processes took so much in the rehearsal, the largest of them "
            f"{format_size(taken.process)}",
            fix="Ask for more memory, here and in the job (`--mem` for Slurm), or run fewer workers",
            **values,
            **where,
        )


def _fuller(id: str, growth: Growth, all_of_it: str, limit: str, where: dict[str, Any]) -> Finding:
    """Say that memory grows with each batch, until it is full."""
    place = growth.loader.facts["place"]
    held = "is not given back when a pass ends" if growth.persists else "is held until the pass ends"
    passed = f" (the loader made at {os.path.basename(place['file'])}:{place['line']})" if place else ""
    say = error if growth.persists or growth.measured >= 4 else warning
    return say(
        f"the run comes to {all_of_it}, and {limit}",
        id=f"forecasts.{id}",
        cause=f"each batch{passed} leaves {format_size(growth.each)} behind, which {held}",
        fix="Keep numbers instead of tensors that hold their graph (`loss.item()`), and write results out as they come",
        evidence={"bytes a batch": round(growth.each), "batches": growth.batches, "measured": growth.measured},
        **where,
    )


def _card(rehearsed: Rehearsed, where: dict[str, Any]) -> Iterator[Finding]:
    told = [event for event in rehearsed.events if event["kind"] in ("batch", "most") and event.get("card")]
    if not told:
        return
    peaks, sizes = (max(event[name] for event in told) for name in ("cuda", "card"))
    growth = forecasts.growth(rehearsed, lambda batch: sum(batch.facts.get("tensors", ())) or None)
    for number, (peak, size) in enumerate(zip(peaks, sizes, strict=False)):
        values = {"found": format_size(peak), "wanted": format_size(size)}
        if growth and len(sizes) == 1 and peak + growth.total > size:
            full = format_size(peak + growth.total)
            yield _fuller("card", growth, f"{full} on the GPU", f"it has {values['wanted']}", where)
        elif peak > FULL_CARD * size:
            yield warning(
                f"GPU {number} is full at {values['found']} of {values['wanted']}",
                id="forecasts.card",
                cause="the rehearsal took so much in a few batches; a larger sample or a fragment more is too much",
                fix="Lower the batch size, or:\n    export PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True",
                **values,
                **where,
            )


def _disk(config: Config, rehearsed: Rehearsed, where: dict[str, Any]) -> Iterator[Finding]:
    """Compare with the room in the real folders, by the file system that they are on."""
    by_device: dict[int, list[tuple[str, int, int]]] = defaultdict(list)
    folders: dict[int, Path] = {}
    for path, count, size in forecasts.storage(rehearsed).all():
        folder = _existing(Path(path).parent)
        try:
            device = os.stat(folder).st_dev
        except OSError:
            continue
        by_device[device].append((path, count, size))
        folders.setdefault(device, folder)
    for device, files in by_device.items():
        room = disk.room_of(folders[device])
        many, total = sum(count for _, count, _ in files), sum(size for _, _, size in files)
        largest, copies, size = max(files, key=lambda each: each[2])
        cause = f"{largest} alone takes {format_size(size)}"
        if copies > 1:
            cause = f"{copies:,} files like {largest} take {format_size(size)}"
        fix = f"Keep fewer checkpoints, or save where there is more room:\n    df -h {folders[device]}"
        if total > room.free:
            found, free = format_size(total), format_size(room.free)
            message = f"the run saves {found}, {folders[device]} has {free} free"
            yield error(message, id="forecasts.disk", found=found, wanted=free, cause=cause, fix=fix, **where)
        elif _is_beyond_quota(config, folders[device], total):
            message = f"the run saves {format_size(total)}, more than your quota on {folders[device]} has left"
            yield error(message, id="forecasts.disk", cause=cause, fix=fix, **where)
        if room.inodes is not None and many > room.inodes:
            message = f"the run saves {many:,} files, {folders[device]} has room for {room.inodes:,}"
            fix = f"Save fewer, larger files, or elsewhere:\n    df -i {folders[device]}"
            yield error(message, id="forecasts.inodes", cause=cause, fix=fix, **where)


def _is_beyond_quota(config: Config, folder: Path, size: int) -> bool:
    """Ask the file system for the room, in a folder that the config says is written to; it gets it back at once."""
    named = [_existing(config.root / entry.path) for entry in config.paths if "write" in entry.access]
    if not any(folder.is_relative_to(each) for each in named):
        return False
    refusal = try_to_reserve(folder, size)
    return refusal is not None and refusal.errno == errno.EDQUOT


def _existing(folder: Path) -> Path:
    return next((each for each in (folder, *folder.parents) if each.is_dir()), folder)


def _files(rehearsed: Rehearsed, where: dict[str, Any]) -> Iterator[Finding]:
    soft, _ = limits.open_files()
    counted = [event["files"] for event in rehearsed.events if event["kind"] == "batch" and event.get("files")]
    if not counted or soft < 0:
        return
    growth = forecasts.growth(rehearsed, lambda batch: batch.facts.get("files"), noise=1, clear=1)
    if growth and growth.measured > 2 and max(counted) + growth.total > soft:
        found = max(counted) + round(growth.total)
        yield error(
            f"the run comes to {found:,} open files, {soft:,} are allowed",
            id="forecasts.files",
            found=f"{found:,}",
            wanted=f"{soft:,}",
            cause=f"each batch opens {growth.each:.0f} and does not close them",
            fix="Close what is opened for a sample: `with open(...)`, `with Image.open(...)`",
            **where,
        )


def _stalls(rehearsed: Rehearsed, whole: Duration | None, where: dict[str, Any]) -> Iterator[Finding]:
    on_gpu = any(event.get("card") for event in rehearsed.events)
    if not on_gpu or whole is None or whole.seconds < LONG_ENOUGH:
        return
    stall, workers = whole.loader.stall(), whole.loader.workers
    if stall is not None and stall > STALLED and len(os.sched_getaffinity(0)) > workers + 1:
        yield warning(
            f"the GPU waits for data for {stall:.0%} of the run, about {format_duration(stall * whole.seconds)}",
            id="forecasts.stalls",
            cause=f"{workers} workers make a batch in {_each(whole)}, and the GPU needs less for it"
            if workers
            else "batches are made in the process that trains, which does nothing else meanwhile",
            fix=f"Raise `num_workers` of the DataLoader, which is {workers}",
            **where,
        )


def _run(rehearsed: Rehearsed, whole: Duration | None, where: dict[str, Any]) -> Iterator[Finding]:
    taken = forecasts.memory(rehearsed)
    if whole is None or taken is None:
        return
    saved = sum(size for _, _, size in forecasts.storage(rehearsed).all())
    likely, low, high = (format_duration(each) for each in (whole.seconds, whole.low, whole.high))
    between = f" ({low} to {high})" if low != high else ""
    yield info(
        f"the run will take about {likely}{between}, {format_size(taken.together)} of memory "
        f"and {format_size(saved)} of disk",
        id="forecasts.run",
        evidence={**_made(whole), "memory of the largest process": taken.process, "curve": forecasts.curve(rehearsed)},
        **where,
    )


def _made(whole: Duration) -> dict[str, Any]:
    """Return how a forecast was made."""
    return {
        "seconds": round(whole.seconds, 1),
        "seconds at least": round(whole.low, 1),
        "seconds at most": round(whole.high, 1),
        "seconds of a pass": round(whole.epoch, 1),
        "batches measured": whole.measured,
        "batches of a pass": whole.loader.length,
        "passes": round(len(whole.loader.passes) * whole.repeats),
    }


def _passes(whole: Duration) -> str:
    count = round(len(whole.loader.passes) * whole.repeats)
    return f"{count} {'pass' if count == 1 else 'passes'} of {whole.loader.length:,} batches"


def _each(whole: Duration) -> str:
    return format_duration(whole.epoch / (whole.loader.length or 1))
