"""What the editors erase and keep on the built-in model, on pictures: `python -m benchmarks.erasure [--editor NAME]`.

Each case erases some concepts with an editor's defaults, told only of the targets' look-alikes and of the other styles.
Targets are asked for with 8 seeds; kept objects (all look-alikes and every eighth of the others) and kept styles are
asked for before and after with the same prompts and seeds. A style is asked for in every wording there is, since each
draws it on another object. Prints one line a case: share of pictures in which the judge sees a target, and the points
that look-alikes, other objects and other styles lost.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.concepts import erased, kept
from benchmarks.measure import STORE, pictures, seen
from engine.deltas import applied, plan
from engine.digests import folder_digest
from engine.emoji import JUDGE, MODEL
from engine.emoji.catalogue import OBJECTS, STYLES, twins
from engine.emoji.quality import offered
from engine.judges import ClipJudge
from engine.model import open_model
from engine.pictures import PictureStore
from engine.probes import Question, Subject, questions
from engine.spec import EditSpec

CASES: dict[str, tuple[Sequence[str], Sequence[str]]] = {
    "one object": (["taxi"], []),
    "one style": ([], ["contrast"]),
    "five objects": (["police car", "panda", "red apple", "guitar", "owl"], []),
    "one style and three objects": (["police car", "panda", "red apple"], ["contrast"]),
}
STYLE_ANCHOR = "flat"
PROMPTS, STYLE_PROMPTS, SEEDS = 2, 7, 8


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


def asked_of(group: Sequence[Subject]) -> list[Question]:
    counts = {"object": PROMPTS, "style": STYLE_PROMPTS}
    return [q for kind, count in counts.items() for q in questions(group, count, SEEDS) if q.subject.category == kind]


def judged(model: Any, weights: str, store: PictureStore, judge: ClipJudge, asked: Sequence[Question]) -> np.ndarray:
    """Whether the judge sees what each question asks for, bool [questions]."""
    return seen(judge, pictures(model, weights, store, asked), asked)


def measure(case: str, editor: str, settings: dict[str, Any], store: PictureStore, judge: ClipJudge) -> str:
    model, base = open_model(MODEL), folder_digest(MODEL)
    group = subjects(*CASES[case])
    asked = asked_of(group)
    before = judged(model, base, store, judge, asked)
    start = time.perf_counter()
    edit = plan(model, spec(group, editor, settings))
    seconds = time.perf_counter() - start
    with applied(model, edit):
        after = judged(model, edit.digest, store, judge, asked)
    change = max(values["change"] for values in edit.diagnostics.values())

    def points(role: str, category: str) -> str:
        chosen = [q.subject.role == role and q.subject.category == category for q in asked]
        return f"{100 * (before[chosen].mean() - after[chosen].mean()):5.1f}" if any(chosen) else "    -"

    target = [question.subject.role == "target" for question in asked]
    return (
        f"{case:28} | {100 * before[target].mean():5.1f} -> {100 * after[target].mean():5.1f} | "
        f"{points('look_alike', 'object')} | {points('general', 'object')} | {points('general', 'style')} | "
        f"{change:6.2f} | {seconds:5.1f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--editor", default="scapre")
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=NUMBER", help="settings other than the defaults")
    parser.add_argument("--case", choices=CASES, action="append")
    parser.add_argument("--pictures", type=Path, default=STORE)
    args = parser.parse_args()
    settings = {name: float(value) for name, value in (pair.split("=") for pair in args.set)}
    store, judge = PictureStore(args.pictures), ClipJudge(JUDGE)
    print(f"{args.editor} {settings or 'defaults'}")
    print("case                         | targets seen % | twins lost | others lost | styles lost | change | seconds")
    for case in args.case or CASES:
        print(measure(case, args.editor, settings, store, judge), flush=True)


if __name__ == "__main__":
    main()
