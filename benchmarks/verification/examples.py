"""What the benchmarks of attacks and of quality erase: a few examples with each editor's defaults.

An editor is told of the targets' look-alikes and of the other styles. Asked for are the targets, all look-alikes, every
eighth other object and the other styles.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks.common.concepts import erased, kept
from expunge.engine.emoji.catalogue import OBJECTS, STYLES, twins
from expunge.engine.emoji.training.quality import offered
from expunge.engine.probes import Subject
from expunge.engine.spec import EditSpec

CASES: dict[str, tuple[Sequence[str], Sequence[str]]] = {
    "one object": (["taxi"], []),
    "one style": ([], ["contrast"]),
    "five objects": (["police car", "panda", "red apple", "guitar", "owl"], []),
    "one style and three objects": (["police car", "panda", "red apple"], ["contrast"]),
}
STYLE_ANCHOR = "flat"


def subjects(objects: Sequence[str], styles: Sequence[str]) -> list[Subject]:
    """Targets, then every look-alike, every eighth other object and every other style that the model draws well."""
    good = offered()
    near = [twin for name in objects for twin in twins(name) if twin not in objects and twin in good]
    far = [item.name for item in OBJECTS if item.name in good and item.name not in (*objects, *near)][::8]
    known = {item.name: item.synonyms for item in (*OBJECTS, *STYLES)}
    asked = [Subject(name, "target", "object", name, known[name]) for name in objects]
    asked += [Subject(name, "target", "style", name, known[name]) for name in styles]
    asked += [Subject(name, "look_alike", "object", name) for name in dict.fromkeys(near)]
    asked += [Subject(name, "general", "object", name) for name in far]
    return asked + [
        Subject(s.name, "general", "style", s.name) for s in STYLES if s.name not in styles and s.name in good
    ]


def spec(asked: Sequence[Subject], editor: str, settings: dict[str, Any]) -> EditSpec:
    targets = [
        erased(s.name, *s.aliases, category=s.category, anchor=STYLE_ANCHOR if s.category == "style" else "")
        for s in asked
        if s.role == "target"
    ]
    stay = [s for s in asked if s.role == "look_alike" or (s.category == "style" and s.role != "target")]
    retain = [kept(s.name, s.category) for s in stay]
    return EditSpec(tuple(targets), tuple(retain), editor, settings)
