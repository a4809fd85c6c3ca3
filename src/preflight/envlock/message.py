"""What a commit of the environment says: a subject that can be read at a glance, and a body that names every change."""

from __future__ import annotations

from collections.abc import Sequence

from preflight.envlock.model import Change, Package
from preflight.phrases import without_secrets

WIDEST = 72
_FEW = 10


def message(changes: Sequence[Change], files: Sequence[str]) -> str:
    """Return subject and body; `files` are what the subject names where no package has changed."""
    ordered = sorted(changes, key=_rank)
    if not ordered:
        return f"env: {', '.join(files)}\n"
    body = "\n".join(_line(change) for change in ordered)
    return f"{subject(ordered)}\n\n{body}\n"


def subject(changes: Sequence[Change]) -> str:
    """Return `env: numpy 1.26.4 -> 2.0.1, +wandb 0.27 (pip), -idna`, folded where that is longer than a line."""
    ordered = sorted(changes, key=_rank)
    if len(ordered) > _FEW and all(change.before is None for change in ordered):
        return f"env: +{len(ordered)} packages"
    parts = [_short(change) for change in ordered]
    whole = f"env: {', '.join(parts)}"
    if len(whole) <= WIDEST:
        return whole
    folded = [f"env: {', '.join(parts[:shown])} and {len(parts) - shown} more" for shown in range(1, len(parts))]
    fitting = [each for each in folded if len(each) <= WIDEST]
    return fitting[-1] if fitting else f"env: {len(parts)} packages" if len(parts) > 1 else whole


def _rank(change: Change) -> tuple[int, str, str]:
    order = 1 if change.before is None else 2 if change.after is None else 0
    return order, change.name, change.manager


def _short(change: Change) -> str:
    before, after = change.before, change.after
    if before is None and after is not None:
        return f"+{change.name} {after.version}{_by_pip(after)}"
    if after is None:
        return f"-{change.name}"
    return f"{change.name} {_step(change)}"


def _step(change: Change) -> str:
    """Return what has become of a package that was there and is."""
    before, after = change.before, change.after
    if before is None or after is None:
        return ""
    moved = f" ({after.manager})" if after.manager != before.manager else ""
    if before.version != after.version:
        return f"{before.version} -> {after.version}{moved}"
    if before.build != after.build:
        return f"{after.version} {before.build or '?'} -> {after.build or '?'}{moved}"
    if before.source != after.source:
        return f"{after.version} from {without_secrets(after.source) or 'the index'}{moved}"
    return (
        f"{after.version} edited in place" if change.kind == "edited" else f"{after.version} from another file{moved}"
    )


def _by_pip(package: Package) -> str:
    return " (pip)" if package.manager == "pip" else ""


def _line(change: Change) -> str:
    before, after = change.before, change.after
    if before is None and after is not None:
        what = f"{after.version} {after.build}".strip() + " is new"
    elif before is not None and after is None:
        what = f"{before.version} is gone"
    else:
        what = _step(change)
    return f"{change.manager:<5} {change.name} {what}"
