"""Whether the end of an iterator would be an error to the code that asks it for more."""

import ast
import linecache
from types import FrameType
from typing import Any

_CATCHING = {"StopIteration", "Exception", "BaseException"}
_trees: dict[str, ast.Module | None] = {}


def would_fail(frame: FrameType | None) -> bool:
    """Tell whether a StopIteration that reaches `frame` now would leave it as an exception.

    A `for` ends with its iterator; `next(batches)` that no `try` is around does not, as in a loop over the number of
    steps. What cannot be told (no source) is taken as safe.
    """
    while frame is not None:
        node = _called(frame)
        if not _is_next(node) or _is_caught(frame, node):
            return False
        if frame.f_code.co_name != "__next__":
            return not _is_caught_outside(frame.f_back)
        frame = frame.f_back
    return False


def _called(frame: FrameType) -> ast.AST | None:
    """Return the node of the source that the frame is at."""
    places = list(frame.f_code.co_positions())
    line, end, column, end_column = places[frame.f_lasti // 2]
    for node in ast.walk(_tree(frame.f_code.co_filename) or ast.Module([], [])):
        if isinstance(node, ast.Call) and (node.lineno, node.end_lineno, node.col_offset, node.end_col_offset) == (
            line,
            end,
            column,
            end_column,
        ):
            return node
    return None


def _is_next(node: ast.AST | None) -> bool:
    if not isinstance(node, ast.Call):
        return False
    if isinstance(node.func, ast.Attribute):
        return node.func.attr == "__next__"
    return isinstance(node.func, ast.Name) and node.func.id == "next" and len(node.args) == 1


def _is_caught(frame: FrameType, node: ast.AST | None, catching: set[str] | None = None) -> bool:
    line = frame.f_lineno if node is None else getattr(node, "lineno", 0)
    for each in ast.walk(_tree(frame.f_code.co_filename) or ast.Module([], [])):
        if isinstance(each, ast.Try) and each.body[0].lineno <= line <= (each.body[-1].end_lineno or 0):
            names = {name for handler in each.handlers for name in _names(handler.type)}
            if names & (catching or _CATCHING):
                return True
    return False


def _is_caught_outside(frame: FrameType | None) -> bool:
    """Tell whether a function further out waits for just this end; one that catches everything only reports it."""
    while frame is not None:
        if _is_caught(frame, None, {"StopIteration"}):
            return True
        frame = frame.f_back
    return False


def _names(type_: ast.expr | None) -> list[str]:
    if type_ is None:
        return ["BaseException"]
    each: list[Any] = type_.elts if isinstance(type_, ast.Tuple) else [type_]
    return [one.id for one in each if isinstance(one, ast.Name)]


def _tree(file: str) -> ast.Module | None:
    if file not in _trees:
        try:
            _trees[file] = ast.parse("".join(linecache.getlines(file)))
        except (SyntaxError, ValueError):
            _trees[file] = None
    return _trees[file]
