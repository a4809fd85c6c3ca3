"""What the code inside the program is told to do there, and where it is to write down what it sees."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from preflight import writing

# The environment variable that tells the processes of the program where their orders lie.
VARIABLE = "PREFLIGHT_REHEARSAL"
INSIDE = Path(__file__).with_name("inside")


@dataclass(frozen=True, slots=True, kw_only=True)
class Orders:
    """`root` is the folder of the experiment; `answers` the folder in which each process writes a file of its own.

    `features` are the modules of `preflight.rehearsal.inside` that take part, in order; `settings` what each of them
    is told, by its name.
    """

    root: Path
    answers: Path
    features: Sequence[str] = ()
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def at(self, answers: Path) -> Orders:
        """Return the same orders with another folder for the answers."""
        return replace(self, answers=answers)

    def environment(self, environment: Mapping[str, str]) -> dict[str, str]:
        """Write the orders into the folder for answers; return an environment in which Python follows them.

        Python imports `sitecustomize` from the first folder of PYTHONPATH that has one, in every process that it
        starts as, so that workers and ranks are reached too (docs.python.org/3/library/site.html).
        """
        file = self.answers / "orders.json"
        plain = {**asdict(self), "root": str(self.root), "answers": str(self.answers)}
        writing.replace({file: json.dumps(plain).encode()})
        path = [str(INSIDE / "entrance"), *filter(None, [environment.get("PYTHONPATH", "")])]
        return {**environment, VARIABLE: str(file), "PYTHONPATH": ":".join(path)}
