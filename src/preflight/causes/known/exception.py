"""What the text of one exception tells: the pattern, and what is said of it."""

from __future__ import annotations

import re
from typing import NamedTuple


class Known(NamedTuple):
    """One failure; in `message`, `cause` and `fix` stand the pattern's groups as `{name}`."""

    name: str
    pattern: str
    message: str
    cause: str
    fix: str
    weight: str = "error"

    def said_of(self, text: str) -> dict[str, str]:
        """Return the words of a finding; nothing where the text is of something else."""
        found = re.search(self.pattern, text, re.DOTALL)
        if found is None:
            return {}
        groups = {name: value or "" for name, value in found.groupdict().items()}
        words = {part: getattr(self, part).format_map(groups) for part in ("message", "cause", "fix")}
        return {"name": self.name, "weight": self.weight, **words}
