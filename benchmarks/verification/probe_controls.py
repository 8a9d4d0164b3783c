"""What the UNEDITED built-in model makes of each prompt family: `python -m benchmarks.verification.probe_controls`.

A family it does not respond to proves nothing by its silence after an edit. Prints for each object, by family of a
level, the share of pictures in which the judge sees it and their number; then its look-alikes by encoder and judge.
`--twins` prints how many of an object's near-twins in the catalogue are among its five nearest by the encoder.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common.measure import STORE, pictures
from expunge.engine.emoji import CLIP_JUDGE, MODEL
from expunge.engine.emoji.catalogue import OBJECTS, twins
from expunge.engine.files.digests import folder_digest
from expunge.engine.judges import ClipJudge
from expunge.engine.models.load import open_model
from expunge.engine.models.picture_store import PictureStore
from expunge.engine.probes import Question, Subject
from expunge.engine.probes.levels import LEVELS, questions_at, readable
from expunge.engine.probes.look_alikes import LookAlike, confusions, look_alikes, union

ASKED = ("bicycle", "bear", "castle")
KEPT = ("dog", "guitar", "umbrella")
NAMES = [item.name for item in OBJECTS]
NEAREST, EVERY = 5, 6


def subjects(names: Sequence[str]) -> list[Subject]:
    known = {item.name: item for item in OBJECTS}
    targets = [
        Subject(name, "target", "object", name, synonyms=known[name].synonyms, clues=known[name].clues)
        for name in names
    ]
    return targets + [Subject(name, "general", "object", name) for name in KEPT]


def responses(judge: ClipJudge, drawn: np.ndarray, asked: Sequence[Question]) -> dict[str, list[bool]]:
    """Return whether the judge sees each picture's subject, by family."""
    sightings = judge.look(drawn, [question.subject.name for question in asked], "object")
    seen: dict[str, list[bool]] = defaultdict(list)
    for question, sighting in zip(asked, sightings, strict=True):
        seen[question.probe].append(sighting.seen)
    return seen


def shown(found: Sequence[LookAlike]) -> str:
    scored = ((item.name, "/".join(f"{source} {score:.2f}" for source, score in item.scores.items())) for item in found)
    return ", ".join(f"{name} ({scores})" for name, scores in scored)


def report(model: Any, weights: str, subject: Subject, asked: Sequence[Question], folder: Path) -> None:
    judge = ClipJudge(CLIP_JUDGE)
    drawn = pictures(model, weights, PictureStore(folder), asked)
    print(f"\n{subject.name}")
    for family, seen in responses(judge, drawn, asked).items():
        print(f"  {family:16} {100 * np.mean(seen):5.1f} % of {len(seen)}", flush=True)
    by_name = np.array([question.probe in ("name", "prefix", "variant") for question in asked])
    near = look_alikes(model, subject, NAMES, NEAREST)
    confused = confusions(judge, drawn[by_name], subject, NAMES, NEAREST)
    print(f"  look-alikes: {shown(union(near, confused))}", flush=True)


def twins_found(model: Any) -> str:
    found = wanted = 0
    for name in NAMES[::EVERY]:
        nearest = {item.name for item in look_alikes(model, Subject(name, "target", "object", name), NAMES, NEAREST)}
        found += len(nearest & set(twins(name)))
        wanted += min(NEAREST, len(twins(name)))
    return f"{found} of {wanted} near-twins are among the {NEAREST} nearest of {len(NAMES)} objects"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--objects", nargs="*", default=ASKED)
    parser.add_argument("--level", choices=LEVELS, default="standard")
    parser.add_argument("--prompts", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--twins", action="store_true")
    parser.add_argument("--pictures", type=Path, default=STORE)
    args = parser.parse_args()
    model, weights = open_model(MODEL), folder_digest(MODEL)
    print(f"model {weights}, level {args.level}, {args.prompts} prompts by name, {args.seeds} seeds")
    group = subjects(args.objects)
    asked, too_long = readable(model, questions_at(args.level, group, args.prompts, args.seeds))
    print("\n".join(f"too long: {prompt!r}" for prompt in dict.fromkeys(q.shot.prompt for q in too_long)))
    for subject in (subject for subject in group if subject.role == "target"):
        own = [question for question in asked if question.subject == subject]
        report(model, weights, subject, own, args.pictures)
    if args.twins:
        print(f"\n{twins_found(model)}")


if __name__ == "__main__":
    main()
