"""What PyYAML makes of a config: its nodes, or why it refuses what preflight reads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import yaml

Key = tuple[str | int, ...]


def composed(text: str) -> Any:
    """Return the node of a whole file, a `yaml.Node`; None where it is empty, or refused."""
    import yaml

    try:
        return yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError:
        return None


def refusal(text: str) -> tuple[str, int] | None:
    """Return why PyYAML refuses a file, and at which line."""
    import yaml

    try:
        yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as problem:
        mark = problem.problem_mark or problem.context_mark
        return str(problem.context or problem.problem).partition(";")[0], mark.line + 1 if mark else 0
    return None


def scalars(text: str) -> Iterator[tuple[Key, yaml.ScalarNode]]:
    """Yield the values of the experiment's part of a file, each with its key; what aliases share comes once."""
    root, seen = composed(text), set()

    def below(node: Any, key: Key) -> Iterator[tuple[Key, yaml.ScalarNode]]:
        if id(node) in seen:
            return
        seen.add(id(node))
        if node.id == "mapping":
            for name, value in node.value:
                if key or name.value != "preflight":
                    yield from below(value, (*key, str(name.value)))
        elif node.id == "sequence":
            for index, value in enumerate(node.value):
                yield from below(value, (*key, index))
        elif key:
            yield key, node

    if root is not None:
        yield from below(root, ())
