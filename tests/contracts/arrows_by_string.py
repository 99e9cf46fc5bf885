"""A contract for import-linter: a module named in a string, to be imported when it is needed, counts as imported.

`lint-imports` finds it by `contract_types` in .importlinter; the layers are those of the contract `layers` there.
"""

from __future__ import annotations

import ast
import configparser
import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from importlinter import Contract, ContractCheck, output

MODULE = re.compile(r"(daad(?:\.[a-z_0-9]+)+)(?::\w+)?")
LAYERS = ("importlinter:contract:layers", "layers")


class LayersByString(Contract):
    """A string such as "daad.models.padim:PaDiM" may name a module of a lower layer, or of its own."""

    def check(self, graph: Any, verbose: bool) -> ContractCheck:
        levels = layers()
        broken = [
            (module, line, target)
            for module in sorted(graph.find_descendants("daad"))
            for line, target in named_modules(module, graph)
            if points_up(module, target, levels)
        ]
        return ContractCheck(kept=not broken, metadata={"broken": broken})

    def render_broken_contract(self, check: ContractCheck) -> None:
        for module, line, target in check.metadata["broken"]:
            output.print_error(f"{module} (l.{line}) names {target}, which lies above it")


def layers() -> dict[str, int]:
    """The level of each package, 0 the lowest."""
    parser = configparser.ConfigParser()
    parser.read(Path(".importlinter"))
    rows = [row.strip() for row in parser.get(*LAYERS).splitlines() if row.strip()]
    return {name.strip(): level for level, row in enumerate(reversed(rows)) for name in row.split(":")}


def named_modules(module: str, graph: Any) -> Iterator[tuple[int, str]]:
    """(line, module) of every string in a module's source that is the name of a module."""
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        return
    for node in ast.walk(ast.parse(Path(spec.origin).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            match = MODULE.fullmatch(node.value)
            if match and match[1] in graph.modules:
                yield node.lineno, match[1]


def points_up(module: str, target: str, levels: dict[str, int]) -> bool:
    """Whether an arrow between two modules breaks the layers; packages of one level may not name each other."""
    start, end = (next((p for p in levels if name == p or name.startswith(f"{p}.")), None) for name in (module, target))
    return start is not None and end is not None and start != end and levels[end] >= levels[start]
