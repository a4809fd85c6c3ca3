"""The nodes of a file in the order of its text, each with the functions, conditions and loops around it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from preflight.system.code import Source, is_main_guard

Scopes = tuple[object, ...]
Conditions = tuple[ast.expr | None, ...]


@dataclass(frozen=True, slots=True)
class Event:
    """A node with the functions around it, the file's own scope last, and the conditions and loops on the way to it.

    A condition is None where it is no expression that must hold: in an `else`, in a `try`. Loops count from the
    innermost function on, the inner ones last.
    """

    node: ast.AST
    scopes: Scopes
    source: Source
    conditions: Conditions = ()
    loops: tuple[Event, ...] = ()


def events_of(source: Source) -> Iterator[Event]:
    """Yield every node of a file, outer ones first."""
    waiting = [Event(source.tree, (source.path,), source)]
    while waiting:
        event = waiting.pop()
        yield event
        node, scopes, loops = event.node, event.scopes, event.loops
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            scopes, loops = (node, *scopes), ()
        if isinstance(node, ast.For | ast.While):
            loops = (*loops, event)
        waiting += [
            Event(child, scopes, source, event.conditions + _condition(node, child), loops)
            for child in reversed(list(ast.iter_child_nodes(node)))
        ]


def _condition(node: ast.AST, child: ast.AST) -> Conditions:
    """Return what must hold for the program to go from `node` to its child."""
    if isinstance(node, ast.If | ast.IfExp) and not is_main_guard(node.test):
        body = node.body if isinstance(node.body, list) else [node.body]
        return (node.test,) if child in body else (None,)
    return (None,) if isinstance(node, ast.Try) else ()
