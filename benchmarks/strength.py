"""One strength for all beside `strength: auto`, and kin kept, in projection space: `python -m benchmarks.strength`.

No pictures: what is left of a target is the energy over its anchors that the edited key and value matrices still give
its tokens, drift the relative energy by which those of what is kept moved, both over all matrices of the built-in
model. The first table erases some objects with their look-alikes kept; the second one erases a concept with another
kept whose name holds its own, or is held by it, and tells how much of the kept one's difference from the same words
without it was lost. The third one erases the objects for tuning towards either default anchor; residual, drift and
change are those of a plan's diagnostics, in the worst layer.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from benchmarks.common import concepts, measure
from benchmarks.common.page import table
from expunge.engine.editors import editor_named, settings_for
from expunge.engine.editors.base import EMPTY, MEAN
from expunge.engine.emoji import MODEL
from expunge.engine.emoji.catalogue import twins
from expunge.engine.families import projections
from expunge.engine.models.load import open_model
from expunge.engine.planning.adaptive_strength import Metrics, remaining_energy
from expunge.engine.planning.closed_form import plan
from expunge.engine.planning.concept_embeddings import Reader, gather
from expunge.engine.plans.edit_plan import EditPlan
from expunge.engine.spec import EditSpec

OBJECTS = ("red apple", "guitar", "christmas tree", "owl", "cat", "shark", "hot dog", "castle", "umbrella", "bicycle")
STRENGTHS: tuple[float | str, ...] = (12.0, 16.0, 20.0, 24.0, 32.0, "auto")
TOWARDS_ANCHOR = (1.0, 3.0, 12.0, 30.0)
KIN = (
    ("car", "police car"),
    ("police car", "car"),
    ("tree", "christmas tree"),
    ("christmas tree", "tree"),
    ("car", "taxi"),
    ("taxi", "car"),
)


def spec(erased: Sequence[str], kept: Sequence[str], **settings: Any) -> EditSpec:
    targets = tuple(concepts.erased(name) for name in erased)
    return EditSpec(targets, tuple(concepts.kept(name) for name in kept), settings=settings)


def with_kin(asked: EditSpec) -> EditSpec:
    """With all that is kept told to be kin of what is erased, as it has to be where no word says so."""
    names = tuple(target.names[0] for target in asked.targets)
    return replace(asked, retain=tuple(replace(kept, kin=names) for kept in asked.retain))


def metrics(model: Any, made: EditPlan) -> Metrics:
    weights = {p.name: p.weight.detach().double() for p in projections(model)}
    return Metrics.of(weights, {name: delta.double() for name, delta in made.deltas.items()})


def remaining(model: Any, asked: EditSpec, made: EditPlan) -> torch.Tensor:
    reader = Reader.of(model, settings_for(editor_named(asked.editor), asked.settings), 0)
    return remaining_energy([reader], asked, metrics(model, made))


def strengths(model: Any, words: int) -> str:
    near = sorted({twin for name in OBJECTS for twin in twins(name)} - set(OBJECTS))
    lines = []
    for strength in STRENGTHS:
        asked = spec(OBJECTS, near, general_words=words, strength=strength)
        made = plan(model, asked)
        found = remaining(model, asked, made)
        figures = (found.max(), found.mean(), found.min(), _drift(model, asked, made))
        lines.append([str(strength), *(f"{100 * value:.2f}" for value in figures)])
    return table(["strength", "most left, %", "mean left, %", "least left, %", "drift of look-alikes, %"], lines)


def kin(model: Any, words: int) -> str:
    lines = []
    for erased, kept in KIN:
        row = [erased, kept]
        for named, factor in (((), 1.0), ((kept,), 1.0), ((kept,), 10.0)):
            asked = with_kin(spec([erased], named, general_words=words, kin=factor))
            made = plan(model, asked)
            row += [f"{100 * remaining(model, asked, made)[0]:.1f}", f"{100 * lost(model, kept, made):.2f}"]
        lines.append(row)
    ways = ("kept not named", "kin 1", "kin 10")
    return table(["erased", "kept", *(f"{what}, {way}, %" for way in ways for what in ("left", "lost"))], lines)


def anchors(model: Any, words: int) -> str:
    case = concepts.Case("tuning", 0, concepts.TUNING)
    lines = []
    for anchor, strength in itertools.product((EMPTY, MEAN), TOWARDS_ANCHOR):
        settings = {"general_words": words, "default_anchor": anchor, "strength": strength}
        layers = plan(model, measure.spec(case, "scapre", settings)).diagnostics.values()
        worst = [max(layer[name] for layer in layers) for name in ("residual", "drift", "change")]
        lines.append([anchor, f"{strength:g}", f"{100 * worst[0]:.1f}", f"{100 * worst[1]:.2f}", f"{worst[2]:.2f}"])
    return table(["default anchor", "strength", "residual, %", "drift, %", "change"], lines)


def lost(model: Any, kept: str, made: EditPlan) -> float:
    """Return the energy by which the tokens of `kept` moved in its own wordings, as a share of all their energy."""
    asked = spec([kept], [])
    weights = {p.name: p.weight.detach().double() for p in projections(model)}
    unedited = Metrics.of(weights, {name: torch.zeros_like(weight) for name, weight in weights.items()})
    moved = Metrics.of({name: delta.double() for name, delta in made.deltas.items()}, made.deltas)
    part, whole = 0.0, 0.0
    for block in Reader.of(model, settings_for(editor_named("scapre"), {}), 0).target_blocks(asked):
        x, y = block.pairs()
        part += (moved.energies(x, torch.zeros_like(x))[:, 1] * block.weights()).sum().item()
        whole += (unedited.energies(x, y)[:, 1] * block.weights()).sum().item()
    return part / whole


def _drift(model: Any, asked: EditSpec, made: EditPlan) -> float:
    concepts = gather(model, asked, settings_for(editor_named("scapre"), {"general_words": 0}))
    weights = {p.name: p.weight.detach().double() for p in projections(model)}
    pairs = [(weights[name], delta.double()) for name, delta in made.deltas.items()]
    energies = [[((m @ concepts.retain.gram) * m).sum() for m in pair] for pair in pairs]
    return float(sum(moved for _, moved in energies) / sum(before for before, _ in energies))


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--general-words", type=int, default=2000)
    args = parser.parse_args()
    model = open_model(MODEL)
    for part in (strengths, kin, anchors):
        print(part(model, args.general_words), flush=True, end="\n\n")


if __name__ == "__main__":
    main()
