"""The thresholds and the error of the built-in judge.

    python -m expunge.engine.emoji.training.judge_error --work DIR [--thresholds]

counts the error and writes it beside the judge; with `--thresholds` it sets these first, and writes `judge.json` too.
`--work` keeps what the model draws for it (`half_erased`).

Each reading of the judge has an error of its own. The plain one, for what must stay, is counted on clean pictures: each
training picture once, as drawn or as the autoencoder rebuilds it, moved, scaled, turned, tinted and noised by a draw
that no training stage makes, and asked for a near-twin as well. The sensitive one, for targets, is counted on the
half-erased pictures of those concepts that no threshold was set on. A threshold is the highest score at which the panel
misses no more than `MISS_RATE` of the half-erased pictures of the other concepts.

These are the very objects and styles that the judges were trained on, so the error is that of recognising what they
learnt, not what they never saw.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from expunge.engine.emoji import JUDGE
from expunge.engine.emoji.training.samples.clean_pictures import questions, shown
from expunge.engine.emoji.training.samples.half_erased import Example, everything, split
from expunge.engine.judges import Judge, open_judge
from expunge.engine.judges.card import CARD
from expunge.engine.judges.error import measure, write
from expunge.engine.stats.verdict import AS_TARGET, JudgeError

CATEGORIES = ("object", "style")
MEMBERS = ("clip", "residual")
MISS_RATE = {"object": 0.05, "style": 0.10}  # of half-erased pictures; styles differ less, and alarms rise sooner
STEPS = [step / 100 for step in range(50, 0, -1)]  # a label with more than half is the likeliest anyway


def thresholds(examples: Sequence[Example], folder: Path = JUDGE) -> dict[str, dict[str, float]]:
    """Return for each category the threshold of each member of the panel in `folder`, set on these examples."""
    members = {name: open_judge(folder / name) for name in MEMBERS}
    found = {}
    for category in CATEGORIES:
        own = [example for example in examples if example.category == category and example.shows]
        views = {name: _views(member, own, category) for name, member in members.items()}
        found[category] = _highest(views, MISS_RATE[category])
    return found


def _views(judge: Judge, examples: Sequence[Example], category: str) -> np.ndarray:
    """Return the judge's view of each example: its score, or 1 where the concept is the likeliest label."""
    pictures = np.stack([example.picture for example in examples])
    sightings = judge.look(pictures, [example.concept for example in examples], category)
    return np.array([1.0 if sighting.seen else sighting.score for sighting in sightings])


def _highest(views: dict[str, np.ndarray], miss_rate: float) -> dict[str, float]:
    """Return the same threshold for every member, as high as the panel's misses allow, in steps of a hundredth."""
    best = np.max(list(views.values()), axis=0)
    least = next((t for t in STEPS if (best < t).mean() <= miss_rate), STEPS[-1])
    return dict.fromkeys(views, least)


def error_at_targets(judge: Judge, examples: Sequence[Example], category: str) -> JudgeError:
    """Return the error of the sensitive reading on half-erased pictures of one category."""
    counts = {True: [0, 0], False: [0, 0]}
    own = [example for example in examples if example.category == category]
    sightings = judge.look(
        np.stack([example.picture for example in own]), [example.concept for example in own], category
    )
    for example, sighting in zip(own, sightings, strict=True):
        counts[example.shows][0] += sighting.of_target.seen
        counts[example.shows][1] += 1
    (hits, labelled), (alarms, negatives) = counts[True], counts[False]
    return JudgeError(hits, labelled, alarms, negatives)


def clean_errors(judge: Judge) -> dict[str, JudgeError]:
    """Return the error of the plain reading on clean pictures."""
    pictures = shown()
    pictures_of = f"{len(pictures)} clean built-in pictures under held-out augmentation"
    asked = questions().items()
    return {
        category: replace(measure(judge, pictures, labels, category, rivals), pictures=pictures_of)
        for category, (labels, rivals) in asked
    }


def half_erased_errors(judge: Judge, examples: Sequence[Example]) -> dict[str, JudgeError]:
    """Return the error of the sensitive reading, by category, in the form in which it is stored."""
    found = {}
    for category in CATEGORIES:
        error = error_at_targets(judge, examples, category)
        pictures_of = (
            f"{error.labelled} half-erased built-in pictures (drawn under a fifth to two fifths of an edit; originals "
            f"behind bars, recoloured or blended with a twin) and {error.negatives} of near-twins"
        )
        found[f"{AS_TARGET}{category}"] = replace(error, pictures=pictures_of)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for what the model draws")
    parser.add_argument("--thresholds", action="store_true", help="set the thresholds first")
    args = parser.parse_args()
    to_set, to_measure = split(everything(args.work))
    if args.thresholds:
        card = {"kind": "panel", "members": MEMBERS, "thresholds": thresholds(to_set)}
        (JUDGE / CARD).write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
        print(json.dumps(card["thresholds"]))
    judge = open_judge(JUDGE)
    errors = {**clean_errors(judge), **half_erased_errors(judge, to_measure)}
    print(write(JUDGE, errors))
    for category, error in errors.items():
        missed = f"missed {error.labelled - error.hits} of {error.labelled}"
        print(f"{category}: {missed}, {error.false_alarms} false alarms in {error.negatives}")


if __name__ == "__main__":
    main()
