"""The quality of the built-in model's pictures, asked for in wordings that it never saw.

    python -m expunge.engine.emoji.training.quality

Each object is drawn 16 times: once in each style by name and style, and with 8 seeds by name alone. The judge says what
it sees. Writes `quality.tsv` (concept, kind, pictures, rate) into `engine/emoji/` and, with `--sheet`, a sheet of
all pictures.
"""

from __future__ import annotations

import argparse
import csv
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from expunge.engine.emoji import CLIP_JUDGE, MODEL
from expunge.engine.emoji.catalogue import HERE, OBJECTS, STYLES
from expunge.engine.emoji.training.captions import UNSEEN_BOTH, UNSEEN_OBJECT, fill
from expunge.engine.emoji.training.samples import clean_pictures
from expunge.engine.emoji.training.stages.train_clip import drawn
from expunge.engine.judges import ClipJudge
from expunge.engine.models.load import open_model
from expunge.engine.models.sampling import Sampler, Shot, generate

TABLE = HERE / "quality.tsv"
GOOD = 0.85
HELD_OUT = 20_261_124  # a seed that no training stage draws from
Asked = tuple[str, str | None, Shot]
Rates = dict[tuple[str, str], list[bool]]


def asked() -> list[Asked]:
    """Return (object, style or None, picture to draw), 16 for each object.

    Every object and every style meets 8 seeds.
    """
    questions: list[Asked] = []
    for row, thing in enumerate(OBJECTS):
        for column, look in enumerate(STYLES):
            named = fill(UNSEEN_BOTH[column % len(UNSEEN_BOTH)], thing.name, look.name)
            questions.append((thing.name, look.name, Shot(named, (row + column) % len(STYLES))))
            bare = fill(UNSEEN_OBJECT[column % len(UNSEEN_OBJECT)], thing.name)
            questions.append((thing.name, None, Shot(bare, 100 + column)))
    return questions


def rates(pictures: np.ndarray, questions: list[Asked], judge: ClipJudge) -> Rates:
    """Return what the judge saw, by (kind, concept)."""
    seen: Rates = defaultdict(list)
    sightings = judge.look(pictures, [question[0] for question in questions], "object")
    for (name, _, _), sighting in zip(questions, sightings, strict=True):
        seen["object", name].append(sighting.seen)
    styled = [place for place, question in enumerate(questions) if question[1] is not None]
    names = [str(questions[place][1]) for place in styled]
    for name, sighting in zip(names, judge.look(pictures[styled], names, "style"), strict=True):
        seen["style", name].append(sighting.seen)
    return seen


def unseen(seed: int = HELD_OUT) -> np.ndarray:
    """Return every training picture, uint8 [objects * styles, h, w, 3], as no training stage augments it."""
    return clean_pictures.moved(drawn().flatten(0, 1), torch.Generator().manual_seed(seed))


def top_1(judge: ClipJudge, pictures: np.ndarray) -> dict[str, float]:
    """Return how often the judge is right about these pictures, by category; they are those of `unseen`."""
    return {
        kind: float(np.mean([sighting.seen for sighting in judge.look(pictures, labels, kind)]))
        for kind, (labels, _) in clean_pictures.questions().items()
    }


def write_table(seen: Rates, path: Path) -> None:
    with open(path, "w", newline="", encoding="utf-8") as handle:
        table = csv.writer(handle, delimiter="\t", lineterminator="\n")
        table.writerow(["concept", "kind", "pictures", "rate"])
        for (kind, name), hits in seen.items():
            table.writerow([name, kind, len(hits), f"{np.mean(hits):.4f}"])


def offered(path: Path = TABLE) -> set[str]:
    """Return the names of the objects and styles that the model draws well enough to be offered as targets."""
    with open(path, newline="", encoding="utf-8") as handle:
        return {row["concept"] for row in csv.DictReader(handle, delimiter="\t") if float(row["rate"]) >= GOOD}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=MODEL)
    parser.add_argument("--judge", type=Path, default=CLIP_JUDGE)
    parser.add_argument("--table", type=Path, default=TABLE)
    parser.add_argument("--sheet", type=Path, help="also write a sheet of the pictures drawn by name and style")
    parser.add_argument("--objects", type=int, default=len(OBJECTS), help="only the first so many objects")
    args = parser.parse_args()
    questions = asked()[: 2 * len(STYLES) * args.objects]
    judge = ClipJudge(args.judge)
    by_kind = ", ".join(f"{kind}s {rate:.1%}" for kind, rate in top_1(judge, unseen()).items())
    print(f"the judge's top-1 on held-out augmentations: {by_kind}", flush=True)
    made = generate(open_model(args.model), [question[2] for question in questions], Sampler(apart=False))
    pictures = np.stack([picture for _, picture in tqdm(made, total=len(questions), mininterval=5)])
    seen = rates(pictures, questions, judge)
    write_table(seen, args.table)
    if args.sheet:
        rows = pictures[::2].reshape(-1, len(STYLES), *pictures.shape[1:])
        Image.fromarray(np.concatenate([np.concatenate(list(row), axis=1) for row in rows])).save(args.sheet)
    for kind in ("object", "style"):
        own = {name: float(np.mean(hits)) for (k, name), hits in seen.items() if k == kind}
        good = sum(rate >= GOOD for rate in own.values())
        print(f"{kind}s: {good} of {len(own)} at {GOOD:.0%} or better, mean {np.mean(list(own.values())):.3f}")


if __name__ == "__main__":
    main()
