"""What the benchmarks erase: concepts that settings are chosen on, and, apart from these, concepts that are reported.

Of the built-in model's 120 objects 20 are for tuning, among them all that earlier settings were picked on; the other
100 are reported, and no setting may be chosen by looking at them. A case draws its targets from one of the two lists,
of objects that the model draws well (`expunge.engine.emoji.training.quality.offered`); where a list has too few of
these, from all of it, and only those drawn well are counted. There are too few styles to set any apart: settings are
chosen on objects.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from expunge.engine.emoji.catalogue import OBJECTS, STYLES, twins
from expunge.engine.emoji.training.quality import offered
from expunge.engine.spec import Retain, Target

ALREADY_TUNED_ON = ("guitar", "owl", "panda", "police car", "red apple", "taxi")
TUNING_COUNT = 20
SIZES = (1, 5, 10, 20, 50, 100)
STYLE_COUNTS = (1, 2, 3, 4)
MIXED = ((5, 1), (20, 2))
LOOK_ALIKE_TARGETS = 10
NAMES = [item.name for item in (*OBJECTS, *STYLES)]
# An erased style becomes the first of these that stays.
STYLE_ANCHORS = tuple(dict.fromkeys(("flat", "noto", *(look.name for look in STYLES))))


@dataclass(frozen=True)
class Case:
    """Objects and styles that are erased together; `draw` says which of the seeded draws of `name` it is.

    An erased object becomes `anchor`, an erased style `style_anchor`.
    """

    name: str
    draw: int
    objects: tuple[str, ...]
    styles: tuple[str, ...] = ()
    anchor: str = ""

    @property
    def style_anchor(self) -> str:
        return next(style for style in STYLE_ANCHORS if style not in self.styles)


def erased(name: str, *aliases: str, category: str = "object", anchor: str = "") -> Target:
    """Return a thing of the catalogue as a target."""
    return Target(identifier(name), (name, *aliases), category, anchor)


def kept(name: str, category: str = "object") -> Retain:
    """Return a thing of the catalogue that stays, and is a counter-example to the targets."""
    return Retain(identifier(name), (name,), category)


def identifier(name: str) -> str:
    return name.replace(" ", "-")


def split() -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Objects for tuning and objects that are reported, each sorted."""
    others = sorted(item.name for item in OBJECTS if item.name not in ALREADY_TUNED_ON)
    drawn = random.Random("tuning objects").sample(others, TUNING_COUNT - len(ALREADY_TUNED_ON))
    tuning = {*ALREADY_TUNED_ON, *drawn}
    return tuple(sorted(tuning)), tuple(name for name in others if name not in tuning)


TUNING, REPORTED = split()


def objects(count: int, draw: int, pool: Sequence[str] = REPORTED) -> tuple[str, ...]:
    """Draw objects that the model draws well, by seed, or any where these are too few."""
    good = offered()
    well = [name for name in pool if name in good]
    return _sample(well if len(well) >= count else pool, count, f"objects/{count}/{draw}")


def styles(count: int, draw: int) -> tuple[str, ...]:
    """Draw styles that the model draws well, by seed; fewer where it does not draw as many and one more."""
    good = offered()
    well = sorted(style.name for style in STYLES if style.name in good)
    return _sample(well, max(0, min(count, len(well) - 1)), f"styles/{count}/{draw}")


def look_alike_targets(draw: int) -> tuple[str, ...]:
    """At most one object a group, each with a twin that the model draws well and keeps."""
    good, order = offered(), random.Random(f"look-alikes/{draw}")
    groups = {item.name: item.group for item in OBJECTS}
    ready = [name for name in REPORTED if name in good and any(twin in good for twin in twins(name))]
    order.shuffle(ready)
    one_each = {groups[name]: name for name in ready}
    return tuple(sorted(list(one_each.values())[:LOOK_ALIKE_TARGETS]))


def cases(draws: int) -> Iterator[Case]:
    """All that is reported: object counts, style counts, mixed sets and look-alikes, each in `draws` draws.

    A count of styles or objects that the model cannot fill is left out.
    """
    for draw in range(draws):
        for count in SIZES:
            if count <= len(REPORTED):
                yield Case(f"{count} objects" if count > 1 else "1 object", draw, objects(count, draw))
        for count in STYLE_COUNTS:
            if len(chosen := styles(count, draw)) == count:
                yield Case(f"{count} styles" if count > 1 else "1 style", draw, (), chosen)
        for count, looks in MIXED:
            if len(chosen := styles(looks, draw)) == looks:
                yield Case(f"{count} objects, {looks} styles", draw, objects(count, draw), chosen)
        yield Case("look-alikes", draw, look_alike_targets(draw))


def case_without(names: Sequence[str]) -> Case:
    """Return the first draw that erases these objects and styles and nothing else, or a case of their own."""
    wanted = sorted(names)
    drawn = (case for case in cases(1) if sorted((*case.objects, *case.styles)) == wanted)
    looks = tuple(name for name in wanted if name in {style.name for style in STYLES})
    things = tuple(name for name in wanted if name not in looks)
    return next(drawn, Case("without " + ", ".join(wanted), 0, things, looks))


def tuning_cases(counts: Sequence[int] = (5, 10)) -> list[Case]:
    """Return the cases that settings are chosen on."""
    return [Case(f"tuning {count}", 0, objects(count, 0, TUNING)) for count in counts]


def _sample(names: Sequence[str], count: int, seed: str) -> tuple[str, ...]:
    return tuple(sorted(random.Random(seed).sample(list(names), count)))
