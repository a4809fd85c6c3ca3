"""What is known of a module: how its import went, and where it comes from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any


class Outcome(StrEnum):
    """How the import of one module ended."""

    IMPORTED = "imported"
    MISSING = "missing"
    RAISED = "raised"
    DIED = "died"
    HUNG = "hung"


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """How one module's import went in the stage.

    `seconds` is what it added after the imports before it; `origin` is the file it came from. MISSING: `missing` is
    the name that was not found (the module itself, or one that it imports). RAISED and MISSING: `error` is `Type:
    message`, `traceback` Python's, `file` and `line` the innermost frame outside importlib. DIED: `signal` (0 where
    it called exit), `exit_code`, `traceback` the stack that faulthandler left. HUNG: `traceback` the stack when the
    deadline passed. `brought` are the top-level modules that this import brought with it, each with its file (empty
    for built-in ones and namespace packages); `cpu_seconds` is the processor time within `seconds`. `output` is what
    it printed.
    """

    name: str
    outcome: Outcome
    seconds: float = 0.0
    origin: str = ""
    version: str = ""
    missing: str = ""
    error: str = ""
    traceback: str = ""
    file: str = ""
    line: int = 0
    signal: int = 0
    exit_code: int = 0
    brought: Mapping[str, str] = field(default_factory=dict)
    cpu_seconds: float = 0.0
    output: str = ""

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any]) -> Imported:
        """Read the plain values that the stage sends; unknown keys are passed over."""
        names = {f.name for f in fields(cls)}
        known = {key: value for key, value in facts.items() if key in names}
        return cls(**{**known, "outcome": Outcome(facts["outcome"])})
