"""A run that is launched again: the same commit, config, command and lock, or what of it is no longer the same."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from preflight.config import Config
from preflight.errors import UserError
from preflight.launch import surroundings, ways
from preflight.launch.launch import Order
from preflight.records.folder import Run
from preflight.records.record import Record


def order(run: Run, name: str, way: str) -> tuple[Order, list[str]]:
    """Return what launches the run again, and a line for each thing that is not as it was.

    Raises UserError where the record does not say enough.
    """
    record = run.read()
    if not record.commit or not record.command:
        raise UserError(f"{run.name} cannot be launched again: its record holds no commit", fix=_why(record))
    config = ways.config_of(run, Path(record.root))
    again = Order(
        config=config,
        command=record.command,
        name=name,
        way=way or record.way,
        commit=record.commit,
        strict=record.strict,
    )
    return again, list(_differences(record, config))


def _differences(record: Record, config: Config) -> Iterator[str]:
    if (now := surroundings.locks_digest(config)) != record.lock:
        before = f"it was {record.lock[:12]}" if record.lock else "there was none"
        yield f"the lock of the environment is {now[:12] or 'gone'}, {before}"
    prefix = surroundings.prefix_of(config)
    if prefix != record.environment:
        yield f"the environment is {prefix}, it was {record.environment}"


def _why(record: Record) -> str:
    return f"It was {record.state}" + (f": {record.reason}" if record.reason else "")
