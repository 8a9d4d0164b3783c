"""Small mistakes in a module, by the operators of cosmic-ray: a comparison turned round, a number off by one, a `not`
left out."""

from __future__ import annotations

import ast
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import parso  # noqa: F401 - before cosmic-ray, which cannot import it in the order that it does
from cosmic_ray import plugins
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code


@dataclass(frozen=True)
class Mutant:
    """A module's text with one mistake: `line` is its number, `before` and `after` what the line says."""

    operator: str
    line: int
    before: str
    after: str
    source: str

    @property
    def name(self) -> str:
        """What it is known by in the list of survivors, wherever the line moves."""
        return f"{self.before} -> {self.after}"


def sample(path: Path, count: int, seed: int) -> list[Mutant]:
    """Draw so many mutants of a module, each at a place of its own, all if there are fewer places."""
    source, chance = path.read_text(encoding="utf-8"), random.Random(f"{seed}/{path.name}")
    places = _places(source)
    chosen: list[Mutant] = []
    for place in chance.sample(sorted(places), len(places)):
        if len(chosen) == count:
            break
        operator, occurrence = chance.choice(places[place])
        if mutant := _mutant(source, operator, occurrence, place[0]):
            chosen.append(mutant)
    return chosen


def _places(source: str) -> dict[tuple[int, int], list[tuple[str, int]]]:
    """By line and column the operators that change something there, each with the number of this occurrence."""
    found: dict[tuple[int, int], list[tuple[str, int]]] = {}
    for name, operator in _operators():
        tree = get_ast(source)
        places = (place for node in ast_nodes(tree) for place in operator.mutation_positions(node))
        for occurrence, (begin, _) in enumerate(places):
            found.setdefault(begin, []).append((name, occurrence))
    return found


def _operators() -> Iterator[tuple[str, Any]]:
    for name in plugins.operator_names():
        kind = plugins.get_operator(name)
        if "no-op" not in name.lower() and "NoOp" not in name and not kind.arguments():
            yield name, kind()


def _mutant(source: str, name: str, occurrence: int, line: int) -> Mutant | None:
    """Return the mutant, or None if the program is the same for the interpreter: in an annotation, say."""
    mutated = mutate_code(source, plugins.get_operator(name)(), occurrence)
    if mutated is None or _meaning(mutated) in ("", _meaning(source)):
        return None
    pairs = zip(source.splitlines(), mutated.splitlines(), strict=False)
    number, (before, after) = next(
        ((number, pair) for number, pair in enumerate(pairs, 1) if pair[0] != pair[1]), (line, ("", ""))
    )
    return Mutant(name.removeprefix("core/"), number, before.strip(), after.strip(), mutated)


def _meaning(source: str) -> str:
    """The program without the annotations of its functions, which nobody evaluates; "" if it is none."""
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return ""
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            node.returns = None
        elif isinstance(node, ast.arg):
            node.annotation = None
        elif isinstance(node, ast.AnnAssign):
            node.annotation = ast.Constant(None)
    return ast.dump(tree)
