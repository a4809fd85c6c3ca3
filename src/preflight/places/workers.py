"""The workers of a run as the run sees them: one on this machine, or one on each of many nodes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from preflight.places.engine import Engine, Gone
from preflight.worker.wire import Message

TYPE_CHECKING = False
if TYPE_CHECKING:  # a worker is to be started before what these bring is loaded
    from preflight.config import Config


class Workers(Protocol):
    """Workers that are asked the same.

    `python` is the interpreter that they run in, empty for this one; `names` are their places, and `gone` those of
    them that did not say their last word, complete once `messages` has ended.
    """

    python: str

    @property
    def engine(self) -> Engine | None:
        """What started them, None where that was no engine of many nodes."""

    @property
    def names(self) -> Sequence[str]:
        """The places, in order."""

    @property
    def gone(self) -> Mapping[str, Gone]:
        """What became of the places that did not end well."""

    def ask(self, request: Mapping[str, Any]) -> None:
        """Send the request, once."""

    def messages(self, config: Config) -> Iterator[tuple[str, Message] | None]:
        """Yield (place, message) as they come, and None at least every 0.2 s, until all have ended or are given up."""

    def close(self) -> None:
        """End the workers and everything that they started; can be called twice."""
