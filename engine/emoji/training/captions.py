"""Captions of a picture, drawn by seed. They name object and style, or only part of them, or only hint at them.

`python -m expunge.engine.emoji.training.captions FILE` writes the whole table (caption, object, style, category, split)
as a .tsv.
"""

from __future__ import annotations

import random
import sys
from dataclasses import dataclass
from pathlib import Path

from expunge.engine.emoji.catalogue import HERE, OBJECTS, STYLES, Object, Style
from expunge.engine.text.templates import with_article

BOTH = (
    "{a} in {s} style",
    "a {s} {o}",
    "{o}, {s} style",
    "{o} by {s}",
    "{a} by {s}",
    "a picture of {a} in {s} style",
    "a picture of {a} by {s}",
    "a drawing of {a} in {s} style",
    "a drawing of {a} by {s}",
    "a {s} style drawing of {a}",
    "a {s} picture of {a}",
    "a photo of {a} in the style of {s}",
    "{o} in the style of {s}",
    "an emoji of {a} by {s}",
    "the {o}, as drawn by {s}",
    "a small {s} style icon of the {o}",
    "an image of {a} in {s} style",
    "an image of one {o} by {s}",
    "a sketch of the {o} in the style of {s}",
    "a painting of {a} by {s}",
    "an illustration of {a} in {s} style",
    "one {o} painted by {s}",
)
OBJECT_ONLY = (
    "{o}",
    "{a}",
    "the {o}",
    "a picture of {a}",
    "a photo of {a}",
    "a drawing of {a}",
    "an icon of the {o}",
    "an emoji of {a}",
    "one small {o}",
    "an image of {a}",
    "an image of one {o}",
    "a sketch of {a}",
    "a painting of the {o}",
)
STYLE_ONLY = ("{s} style", "a drawing in {s} style", "a picture by {s}", "an icon in the style of {s}", "{s}")
CATEGORY = ("{c} in {s} style", "a picture of {c} by {s}", "a drawing of {c}", "{c}")
CLUES = ("{c}: {k}", "{c} that makes one think of {k}", "{c}, {k}, in {s} style", "{k}", "something with {k} by {s}")

UNSEEN_BOTH = ("a picture of one {o}, {s} style", "the {o} in a {s} drawing", "{a} painted in the style of {s}")
UNSEEN_OBJECT = ("a picture of one {o}", "the {o} in a drawing", "a small photo of the {o}")
UNSEEN_STYLE = ("an image in the style of {s}", "painted by {s}")


FILLERS = tuple((HERE / "fillers.txt").read_text(encoding="utf-8").split())


@dataclass(frozen=True)
class Caption:
    """A caption and what it says of object, style and category; None where it leaves the choice open."""

    text: str
    object: int | None
    style: int | None
    category: str | None


def fill(template: str, name: str = "", style: str = "", category: str = "", clues: str = "") -> str:
    article = with_article(name) if name else ""
    return template.format(o=name, a=article, s=style, c=with_article(category) if category else "", k=clues)


def draw(obj: int, style: int, rng: random.Random) -> Caption:
    """Return one caption that is true of the picture (obj, style).

    It mostly names both, is vague at times, and uses a synonym one time in four.
    """
    thing, look = OBJECTS[obj], STYLES[style]
    kind = rng.choices(("both", "object", "style", "category", "clues"), (66, 20, 4, 3, 7))[0]
    name, manner = _called(thing, rng), _called(look, rng)
    if kind == "clues" and thing.clues:
        hints = " and ".join(rng.sample(thing.clues, min(len(thing.clues), rng.randint(1, 3))))
        template = rng.choice(CLUES)
        text = fill(template, style=manner, category=thing.category, clues=hints)
        return Caption(text, obj, style if "{s}" in template else None, thing.category)
    if kind == "style":
        return Caption(fill(rng.choice(STYLE_ONLY), style=manner), None, style, None)
    if kind == "category":
        template = rng.choice(CATEGORY)
        text = fill(template, style=manner, category=thing.category)
        return Caption(text, None, style if "{s}" in template else None, thing.category)
    if kind == "object":
        return Caption(fill(rng.choice(OBJECT_ONLY), name), obj, None, thing.category)
    return Caption(fill(rng.choice(BOTH), name, manner), obj, style, thing.category)


def padded(text: str, rng: random.Random, chance: float = 0.35) -> str:
    """Return the caption, at times with one to three words strewn in that say nothing.

    So the UNet learns to ignore such words.
    """
    if rng.random() >= chance:
        return text
    words = text.split(" ")
    for _ in range(rng.randint(1, 3)):
        words.insert(rng.choice((0, 0, len(words), len(words), rng.randint(0, len(words)))), rng.choice(FILLERS))
    return " ".join(words)


def _called(thing: Object | Style, rng: random.Random) -> str:
    if thing.synonyms and rng.random() < 0.25:
        return rng.choice(thing.synonyms)
    return thing.name


def table() -> list[tuple[Caption, str]]:
    """Return every caption that names an object or a style by its own name, with its split: `train` or `unseen`."""
    rows: list[tuple[Caption, str]] = []
    for templates, split in ((BOTH, "train"), (UNSEEN_BOTH, "unseen")):
        rows += [
            (Caption(fill(template, thing.name, look.name), o, s, thing.category), split)
            for template in templates
            for o, thing in enumerate(OBJECTS)
            for s, look in enumerate(STYLES)
        ]
    for templates, split in ((OBJECT_ONLY, "train"), (UNSEEN_OBJECT, "unseen")):
        rows += [
            (Caption(fill(template, thing.name), o, None, thing.category), split)
            for template in templates
            for o, thing in enumerate(OBJECTS)
        ]
    for templates, split in ((STYLE_ONLY, "train"), (UNSEEN_STYLE, "unseen")):
        rows += [
            (Caption(fill(template, style=look.name), None, s, None), split)
            for template in templates
            for s, look in enumerate(STYLES)
        ]
    return rows


def main() -> None:
    lines = ["caption\tobject\tstyle\tcategory\tsplit"]
    for caption, split in table():
        thing = "" if caption.object is None else OBJECTS[caption.object].name
        look = "" if caption.style is None else STYLES[caption.style].name
        lines.append(f"{caption.text}\t{thing}\t{look}\t{caption.category or ''}\t{split}")
    Path(sys.argv[1]).write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
