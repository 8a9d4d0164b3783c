"""Half-erased pictures whose labels follow from how each was made: to set thresholds, and to count the judges' error.

    python -m expunge.engine.emoji.training.samples.half_erased --work DIR [--sheet FILE]

It draws them in ten minutes on one core.

What a judge has to see after an edit is not a clean picture. So the set holds, of every object and style:

- **ladder**: the built-in model draws it while the default editor has erased it in part. `RUNGS` are shares of the
  edit's change at which people still see the concept in nearly all pictures; the label is "shows it". It is too hard on
  the judges where a picture shows the concept no more, or never did, and so never flatters them.
- **altered**: originals behind bars, in exchanged colours or grey, and blended with a twin of which less than half is
  visible; the label is "shows it".
- **twins**: originals of near-twins, altered in the same ways, and near-twins drawn by the edited model; the concept is
  asked for, and the label is "does not show it".

No judge had a say in any label. The concepts of the demo are left out, so that its figures are of concepts on which no
threshold was set. `split` halves the set by concept: on the one half thresholds are set, on the other the error is
counted.
"""

from __future__ import annotations

import argparse
import itertools
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from expunge.engine.emoji import MODEL
from expunge.engine.emoji.catalogue import OBJECTS, STYLES, twins
from expunge.engine.emoji.training import pictures
from expunge.engine.emoji.training.captions import UNSEEN_BOTH, UNSEEN_OBJECT, fill
from expunge.engine.emoji.training.quality import offered
from expunge.engine.emoji.training.samples.alterations import blended, moved, recoloured, worn
from expunge.engine.emoji.training.stages.train_residual import OWN_COLOUR
from expunge.engine.models.load import open_model
from expunge.engine.models.sampling import Sampler, Shot, generate
from expunge.engine.planning.closed_form import plan
from expunge.engine.plans.edit_plan import EditPlan, applied
from expunge.engine.spec import EditSpec, Retain, Target

SEED = 20_261_201  # no training stage draws from it
RUNGS = (0.2, 0.3, 0.4)
FULL = 1.0
OF_THE_DEMO = ("police car", "panda", "bicycle", "contrast")
AT_ONCE = 12  # objects that one edit erases
KEPT = 12  # twins in its retain set, at most
STYLE_SHOTS = 4
BARS = 3


@dataclass(frozen=True)
class Example:
    """One picture, uint8 [side, side, 3], the concept that is asked for, and the label: whether it shows the concept.

    `kind` says how it was made.
    """

    kind: str
    category: str
    concept: str
    shows: bool
    picture: np.ndarray


def drawn_by_the_model(work: Path) -> Iterator[Example]:
    """Draw and yield the ladder and the twins of every edit; an edit that lies in `work` is not drawn again."""
    work.mkdir(parents=True, exist_ok=True)
    base: Any = None
    for number, erased in enumerate(tqdm(_edits(), desc="edits")):
        file = work / f"edit-{number}.npz"
        asked = list(_asked(erased))
        if not file.exists():
            base = base or open_model(MODEL)
            shown = _drawn(base, plan(base, _spec(erased)), asked)
            np.savez_compressed(file, pictures=shown)
        with np.load(file) as kept:
            for (kind, _, shot, category, concept), picture in zip(asked, kept["pictures"], strict=True):
                yield Example(f"{kind}: {shot.prompt}", category, concept, kind == "ladder", picture)


Asked = tuple[str, float, Shot, str, str]
"""Kind of example, share of the edit, what to draw, category and concept that is asked for."""


def _edits() -> list[tuple[str, ...]]:
    """Return what is erased together: twelve objects that the model draws well, or one style."""
    good = offered() - set(OF_THE_DEMO)
    names = [item.name for item in OBJECTS if item.name in good]
    random.Random(SEED).shuffle(names)
    styles = [style.name for style in STYLES if style.name not in OF_THE_DEMO]
    return [*itertools.zip_longest(*[iter(names)] * AT_ONCE), *((name,) for name in styles)]


def _asked(erased: Sequence[str]) -> Iterator[Asked]:
    """Yield the pictures to draw after one edit, every one with a seed of its own.

    Of each object there is one picture a rung, and one of a twin after the full edit. Of a style there are
    `STYLE_SHOTS` times as many.
    """
    seeds, of_objects = itertools.count(SEED), {item.name for item in OBJECTS}
    for concept in filter(None, erased):
        if concept in of_objects:
            for wording, rung in zip(UNSEEN_OBJECT, RUNGS, strict=True):
                yield "ladder", rung, Shot(fill(wording, concept), next(seeds)), "object", concept
            for twin in [name for name in twins(concept) if name not in erased][:1]:
                yield "twin", FULL, Shot(fill(UNSEEN_OBJECT[0], twin), next(seeds)), "object", concept
        else:
            things = random.Random(concept).sample(sorted(offered() & of_objects), STYLE_SHOTS)
            others = [style.name for style in STYLES if style.name != concept]
            for rung, (place, thing) in itertools.product(RUNGS, enumerate(things)):
                wording = UNSEEN_BOTH[place % len(UNSEEN_BOTH)]
                yield "ladder", rung, Shot(fill(wording, thing, concept), next(seeds)), "style", concept
            for place, thing in enumerate(things):
                wording, other = UNSEEN_BOTH[place % len(UNSEEN_BOTH)], others[place % len(others)]
                yield "twin", FULL, Shot(fill(wording, thing, other), next(seeds)), "style", concept


def _spec(erased: Sequence[str]) -> EditSpec:
    """Return the default edit, which keeps near-twins, or the other styles."""
    names, styles = [name for name in erased if name], {style.name for style in STYLES}
    if names[0] in styles:
        near, category = sorted(styles - set(names)), "style"
    else:
        near, category = sorted({twin for name in names for twin in twins(name)} - set(names))[:KEPT], "object"
    return EditSpec(
        tuple(Target(name.replace(" ", "-"), (name,), category) for name in names),
        tuple(Retain(name.replace(" ", "-"), (name,), category) for name in near),
    )


def _drawn(base: Any, made: EditPlan, asked: Sequence[Asked]) -> np.ndarray:
    """Return the pictures in the order asked for, each under its own share of the edit."""
    found: dict[Shot, np.ndarray] = {}
    for rung in sorted({share for _, share, *_ in asked}):
        part = replace(made, deltas={name: rung * delta for name, delta in made.deltas.items()})
        with applied(base, part):
            found |= dict(generate(base, [shot for _, share, shot, *_ in asked if share == rung], Sampler()))
    return np.stack([found[shot] for _, _, shot, *_ in asked])


def altered() -> Iterator[Example]:
    """Yield every object and every style altered in each way, and twins altered in the same ways."""
    generator = torch.Generator().manual_seed(SEED)
    shown = torch.from_numpy(pictures.load()).permute(0, 1, 4, 2, 3).float() / 127.5 - 1
    for category, concept, own, other in _pairs():
        keeps = category == "object" and OBJECTS[own[0]].category in OWN_COLOUR
        for kind in (way for way in WAYS if not (keeps and way == "recoloured")):
            yield Example(kind, category, concept, True, _altered(kind, shown[own], shown[other], generator))
            if kind != "blended":
                yield Example(f"twin, {kind}", category, concept, False, _altered(kind, shown[other], None, generator))


Place = tuple[int, int]
"""Row and column of a picture: object, style."""


def _pairs() -> Iterator[tuple[str, str, Place, Place]]:
    """Yield category, concept, the place of a picture that shows it, and the place of one that does not.

    The second picture is of a near-twin in the same style, or of the same object in another style.
    """
    places = {item.name: place for place, item in enumerate(OBJECTS)}
    order = random.Random(SEED)
    for row, item in enumerate(OBJECTS):
        if item.name in OF_THE_DEMO:
            continue
        column = order.randrange(len(STYLES))
        near = order.choice(twins(item.name) or [OBJECTS[(row + 1) % len(OBJECTS)].name])
        yield "object", item.name, (row, column), (places[near], column)
        if (style := STYLES[column].name) not in OF_THE_DEMO:
            another = (column + order.randrange(1, len(STYLES))) % len(STYLES)
            yield "style", style, (row, column), (row, another)


WAYS = ("behind bars", "recoloured", "blended")


def _altered(kind: str, own: Tensor, other: Tensor | None, generator: torch.Generator) -> np.ndarray:
    """Return one picture [3, side, side], altered, then moved and worn like all others, as uint8 [side, side, 3]."""
    batch = own[None]
    if kind == "behind bars":
        batch = _barred(batch, generator)
    elif kind == "recoloured":
        batch = _exchanged(batch, generator)
    elif other is not None:
        batch = blended(batch, other[None], 0.6 + 0.15 * torch.rand(1, generator=generator))
    seen = worn(moved(batch, generator), generator)
    return ((seen[0].permute(1, 2, 0) + 1) * 127.5).round().to(torch.uint8).numpy()


def _barred(batch: Tensor, generator: torch.Generator) -> Tensor:
    """Put white bars over a third of the picture, across or down. No training stage hides parts like that."""
    side = batch.shape[-1]
    width, start = side // (3 * BARS), int(torch.randint(side // BARS, (1,), generator=generator))
    covered = torch.zeros(side, dtype=torch.bool)
    for bar in range(BARS):
        at = (start + bar * side // BARS) % side
        covered[at : at + width] = True
    across = bool(torch.rand(1, generator=generator) < 0.5)
    mask = covered[:, None] if across else covered[None, :]
    return torch.where(mask.expand_as(batch), torch.ones(()), batch)


def _exchanged(batch: Tensor, generator: torch.Generator) -> Tensor:
    """Make the picture grey, or exchange two of its channels. No training stage exchanges channels."""
    if torch.rand(1, generator=generator) < 0.4:
        return recoloured(batch, torch.zeros(1), torch.zeros(1))
    first, second = ((0, 1), (0, 2), (1, 2))[int(torch.randint(3, (1,), generator=generator))]
    order = [0, 1, 2]
    order[first], order[second] = order[second], order[first]
    return batch[:, order]


def split(examples: Sequence[Example]) -> tuple[list[Example], list[Example]]:
    """Return halves with no object in common, for thresholds and for the error; of a style every second example."""
    first = {item.name for place, item in enumerate(OBJECTS) if place % 2}
    turns: dict[tuple[str, bool], Iterator[int]] = {}
    halves: tuple[list[Example], list[Example]] = ([], [])
    for example in examples:
        turn = turns.setdefault((example.concept, example.shows), itertools.count())
        in_first = example.concept in first if example.category == "object" else next(turn) % 2
        halves[0 if in_first else 1].append(example)
    return halves


def everything(work: Path) -> list[Example]:
    return [*drawn_by_the_model(work), *altered()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for what the model draws")
    parser.add_argument("--sheet", type=Path, help="also write a sheet of every tenth picture, labels above")
    args = parser.parse_args()
    torch.set_num_threads(1)
    made = everything(args.work)
    for key in sorted({(example.category, example.shows, example.kind.partition(":")[0]) for example in made}):
        print(*key, sum((one.category, one.shows, one.kind.partition(":")[0]) == key for one in made))
    if args.sheet:
        shown = [example.picture for example in made[::10]]
        shown += [np.full_like(shown[0], 255)] * (-len(shown) % 20)
        rows = [np.concatenate(shown[start : start + 20], axis=1) for start in range(0, len(shown), 20)]
        Image.fromarray(np.concatenate(rows)).save(args.sheet)


if __name__ == "__main__":
    main()
