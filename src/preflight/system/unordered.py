"""Where a file's code comes upon what is another in each process: the order of a set, a hash, the number of threads."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_MAKES_SETS = {"set", "frozenset"}
_KEEPS_SETS = {"union", "intersection", "difference", "symmetric_difference", "copy"}
# What keeps the order of what it is given, and what does not depend on it.
_GOES_THROUGH = {"list", "tuple", "enumerate", "iter", "map", "filter", "zip", "array", "asarray", "join", "extend"}
# Names, entropy, times, draws of generators and memory, as functions are called that give them.
_ASKS = re.compile(
    r"listdir|scandir|i?glob|rglob|iterdir|walk|default_rng|RandomState|Random|urandom|uuid4|token_\w+|time|time_ns|now|"
    r"rand\w*|choice|choices|shuffle|sample|permutation|normal\w*|uniform\w*|multinomial|bernoulli|empty|empty_like"
)
_DIVIDES = re.compile(r"\b(get_num_threads|ThreadPool\w*|threading\.Thread)\(")
_IS_BLIND = {"sorted", "len", "sum", "min", "max", "any", "all", "set", "frozenset", "Counter", "issubset", "update"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Unordered:
    """One such place: the code that stands there, and whether it is `set`, `hash` or `threads`."""

    file: str
    line: int
    code: str
    kind: str


def find_unordered(file: Path) -> list[Unordered]:
    """Return the places in a Python file, in order; none where it cannot be read."""
    try:
        text = file.read_text(encoding="utf-8")
        tree = ast.parse(text)
    except (OSError, ValueError, SyntaxError):
        return []
    sets = _names_of_sets(tree)
    found: dict[tuple[int, str], Unordered] = {}
    for node, kind in _places(tree, sets):
        code = " ".join((ast.get_source_segment(text, node) or "").split())[:80]
        place = Unordered(file=str(file), line=node.lineno, code=code, kind=kind)
        found.setdefault((place.line, kind), place)
    return sorted(found.values(), key=lambda each: each.line)


def find_at_import(file: Path) -> list[int]:
    """Return the lines that, when a file is imported, ask for what may be another in each process."""
    try:
        tree = ast.parse(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, SyntaxError):
        return []
    nodes = list(tree.body)
    lines = []
    while nodes:
        node = nodes.pop()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)) or _is_main(node):
            continue
        if isinstance(node, ast.Call) and _ASKS.fullmatch(_name_of(node)):
            lines.append(node.lineno)
        nodes += list(ast.iter_child_nodes(node))  # type: ignore[arg-type]
    return sorted(lines)


def find_divided(file: Path) -> list[Unordered]:
    """Return the places at which work is divided among threads by the file itself."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return []
    return [
        Unordered(file=str(file), line=number, code=line.strip()[:80], kind="threads")
        for number, line in enumerate(lines, 1)
        if _DIVIDES.search(line)
    ]


def _is_main(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "__main__" in ast.unparse(node.test)


def _names_of_sets(tree: ast.AST) -> set[str]:
    """Return the names that are bound to sets and to nothing else, wherever in the file."""
    sets: set[str] = set()
    others: set[str] = set()
    assignments = [node for node in ast.walk(tree) if isinstance(node, (ast.Assign, ast.AnnAssign))]
    for _ in range(2):  # a set may be made of another that is named further down
        for node in assignments:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in targets:
                if node.value is not None and isinstance(target, (ast.Name, ast.Attribute)):
                    (sets if _is_set(node.value, sets) else others).add(ast.unparse(target))
    return sets - others


def _is_set(node: ast.AST, sets: set[str]) -> bool:
    if isinstance(node, (ast.Set, ast.SetComp)):
        return True
    if isinstance(node, (ast.Name, ast.Attribute)):
        return ast.unparse(node) in sets
    if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.BitOr, ast.BitAnd, ast.Sub, ast.BitXor)):
        return _is_set(node.left, sets) or _is_set(node.right, sets)
    if isinstance(node, ast.Call):
        if isinstance(node.func, ast.Attribute) and node.func.attr in _KEEPS_SETS:
            return _is_set(node.func.value, sets)
        return isinstance(node.func, ast.Name) and node.func.id in _MAKES_SETS
    return False


def _places(tree: ast.AST, sets: set[str]) -> Iterator[tuple[ast.expr, str]]:
    blind = {id(each) for node in ast.walk(tree) if _name_of(node) in _IS_BLIND for each in _arguments(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.For) and _is_set(node.iter, sets):
            yield node.iter, "set"
        elif isinstance(node, (ast.ListComp, ast.GeneratorExp, ast.DictComp)) and id(node) not in blind:
            if any(_is_set(each.iter, sets) for each in node.generators):
                yield node, "set"
        elif isinstance(node, ast.Call):
            name = _name_of(node)
            goes_through = name in _GOES_THROUGH and id(node) not in blind
            if name == "hash" and isinstance(node.func, ast.Name):
                yield node, "hash"
            elif (goes_through and any(_is_set(each, sets) for each in node.args)) or _pops(node, sets):
                yield node, "set"
        elif isinstance(node, ast.Starred) and _is_set(node.value, sets):
            yield node, "set"


def _pops(node: ast.Call, sets: set[str]) -> bool:
    return isinstance(node.func, ast.Attribute) and node.func.attr == "pop" and _is_set(node.func.value, sets)


def _name_of(node: ast.AST) -> str:
    if not isinstance(node, ast.Call):
        return ""
    return node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")


def _arguments(node: ast.AST) -> list[ast.expr]:
    return node.args if isinstance(node, ast.Call) else []
