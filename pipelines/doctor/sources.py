"""DAG files as text: what Python would do when it imports them, without importing them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path


@dataclass(frozen=True)
class DagFile:
    """A Python file under the DAG folder.

    Attributes:
        path: where it is.
        tree: its syntax tree.
    """

    path: Path
    tree: ast.Module

    @cached_property
    def on_import(self) -> list[ast.AST]:
        """Nodes that run when the file is read: all but the bodies of functions and what is for type checkers."""
        return list(_running(self.tree.body))

    @property
    def calls(self) -> Iterator[tuple[str, ast.Call]]:
        """Calls that run when the file is read, by their dotted name."""
        for node in self.on_import:
            if isinstance(node, ast.Call):
                yield dotted(node.func), node

    @property
    def imports(self) -> Iterator[tuple[str, int]]:
        """Top-level packages that are imported when the file is read, and the line."""
        for node in self.on_import:
            if isinstance(node, ast.Import):
                for name in node.names:
                    yield name.name.partition(".")[0], node.lineno
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                yield node.module.partition(".")[0], node.lineno

    @property
    def dags(self) -> Iterator[ast.Call]:
        """Calls that make a DAG: `DAG(…)` and `@dag(…)`, wherever they stand."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Call) and dotted(node.func).rpartition(".")[2] in ("DAG", "dag"):
                yield node

    @cached_property
    def values(self) -> dict[str, ast.expr]:
        """What names are given at module level."""
        found: dict[str, ast.expr] = {}
        for node in self.on_import:
            if isinstance(node, ast.Assign):
                found.update({one.id: node.value for one in node.targets if isinstance(one, ast.Name)})
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None:
                found[node.target.id] = node.value
        return found


def read(folder: Path) -> list[DagFile]:
    """The Python files below `folder`, in order; what is no Python is left to Airflow's own import error."""
    found = []
    for path in sorted(folder.rglob("*.py")):
        try:
            found.append(DagFile(path, ast.parse(path.read_text(encoding="utf-8"), str(path))))
        except (OSError, SyntaxError, ValueError):
            continue
    return found


def dotted(node: ast.AST) -> str:
    """`a.b.c` of a name or attribute; the last parts only where it starts with something else."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if isinstance(node, ast.Name):
        parts.append(node.id)
    return ".".join(reversed(parts))


def argument(call: ast.Call, name: str) -> ast.expr | None:
    """The keyword argument `name` of a call."""
    return next((one.value for one in call.keywords if one.arg == name), None)


def spread(call: ast.Call) -> bool:
    """Whether a call takes keywords from elsewhere (`**options`), so that nobody can tell what is missing."""
    return any(one.arg is None for one in call.keywords)


def _running(body: list[ast.stmt]) -> Iterator[ast.AST]:
    for statement in body:
        if isinstance(statement, ast.If) and dotted(statement.test).rpartition(".")[2] == "TYPE_CHECKING":
            yield from _running(statement.orelse)
        else:
            yield from _inside(statement)


def _inside(node: ast.AST) -> Iterator[ast.AST]:
    """`node` and what runs with it: of a function only its decorators and defaults."""
    yield node
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        below: list[ast.AST] = [*node.decorator_list, *node.args.defaults, *filter(None, node.args.kw_defaults)]
    elif isinstance(node, ast.Lambda):
        below = []
    else:
        below = list(ast.iter_child_nodes(node))
    for child in below:
        yield from _inside(child)
