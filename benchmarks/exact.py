"""How far an edit is from exact unlearning: `python -m benchmarks.exact [--write]`.

Exact unlearning is the denoiser that was trained again without the targets (`engine/emoji/training/retrained.py`). Each
editor erases the same objects from the built-in model with its published defaults; then the edited models, the unedited
one and the re-trained one draw the same prompts with the same seeds, those of `benchmarks/compare.py`. Of each model's
pictures the kernel distance (KID, arXiv 1801.01401) to the re-trained model's is told, by the features of the judge's
network, with its standard error: for the targets by name, and for each group that is to stay. Seeds do not pair two
denoisers that were trained apart, so only distributions are compared. Two lines say how to read a distance: `unedited`,
which knows the targets, and `re-trained, other seeds`, which is the re-trained model itself: a distance of nothing.
Then what the judge takes the re-trained model's pictures for that ask for a target.

It is the model that is shipped, or another one: `--retrained FOLDER --without NAME ...`.
"""

from __future__ import annotations

import argparse
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.common import concepts, measure
from benchmarks.common.arms import RETRAINED, UNEDITED, Arm
from benchmarks.common.concepts import Case
from benchmarks.common.measure import Asked
from benchmarks.common.page import put, table
from benchmarks.compare import Bench
from expunge.engine.editors import EDITORS
from expunge.engine.emoji import CLIP_JUDGE
from expunge.engine.emoji.training import retrained
from expunge.engine.judges import ClipJudge
from expunge.engine.judges.card import names
from expunge.engine.judges.quality.distances import KID_PAIRS, kid
from expunge.engine.planning.auto_search import AUTO
from expunge.engine.probes import Question

OTHER_SEEDS = 100_000
GROUPS = ("target", *measure.KEPT)  # synonyms are too few to tell a distance of
HEADER = ("model", "targets", "look-alikes", "others", "styles")


def later(question: Question) -> Question:
    return replace(question, shot=replace(question.shot, seed=question.shot.seed + OTHER_SEEDS))


def line(name: str, groups: np.ndarray, shown: np.ndarray, exact: np.ndarray) -> list[str]:
    """Return how far features `shown` are from `exact`, both [n, width], in each of the rows' `groups` [n].

    "-" where a group's pictures are too few to tell a distance.
    """
    return [name, *(_distance(shown[groups == group], exact[groups == group]) for group in GROUPS)]


def _distance(shown: np.ndarray, exact: np.ndarray) -> str:
    """KID and its standard error, in thousandths."""
    if len(shown) < KID_PAIRS:
        return "-"
    distance, error = kid(shown, exact)
    return f"{1000 * distance:z.1f} ({1000 * error:.1f})"


def taken_for(judge: ClipJudge, asked: Sequence[Asked], exact: np.ndarray) -> str:
    """Say what the judge sees in the re-trained model's pictures that ask for a target by name."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for category, labels in names(CLIP_JUDGE).items():
        rows = [
            n for n, item in enumerate(asked) if (item.group, item.question.subject.category) == ("target", category)
        ]
        for row, place in zip(rows, judge.probabilities(exact[rows], labels, category).argmax(1), strict=True):
            counts[asked[row].question.subject.name][labels[place]] += 1
    lines = (
        f"- {name}: {', '.join(f'{label} {count}' for label, count in own.most_common())}"
        for name, own in sorted(counts.items())
    )
    return "\n".join(
        ["What the judge takes the re-trained model's pictures for, asked for what it never saw:\n", *lines]
    )


def measured(
    bench: Bench, case: Case, folder: Path, pictures: int, editors: Sequence[str]
) -> tuple[list[list[str]], str]:
    """Return a line for each model, and what the re-trained one draws for the targets."""
    asked, reference = measure.asked(case, pictures), Arm(RETRAINED, RETRAINED, {"folder": folder})
    groups, questions = np.array([item.group for item in asked]), [item.question for item in asked]

    def features(shown: np.ndarray) -> np.ndarray:
        return bench.judge.network.features(shown).pooled

    drawn, _ = bench.after(reference, case, questions)
    again, _ = bench.after(reference, case, [later(question) for question in questions])
    exact = features(drawn)
    lines = [line(f"{RETRAINED}, other seeds", groups, features(again), exact)]
    for name in (UNEDITED, *editors):
        shown, _ = bench.after(Arm(name, name), case, questions)
        lines.append(line(name, groups, features(shown), exact))
        print(*lines[-1], sep=" | ", flush=True)
    return lines, taken_for(bench.judge, asked, drawn)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--editor", action="append", help="one or more; every editor in closed form by default")
    parser.add_argument("--pictures", type=int, default=48, help="a group of questions, at most")
    parser.add_argument("--write", action="store_true", help="write the table into docs/benchmarks.md")
    parser.add_argument("--store", type=Path, default=measure.STORE, help="where pictures are kept")
    parser.add_argument("--retrained", type=Path, help="folder of another model that was trained without some concepts")
    parser.add_argument(
        "--without",
        nargs="+",
        metavar="NAME",
        choices=concepts.NAMES,
        help="the objects and styles that one never saw",
    )
    args = parser.parse_args()
    if bool(args.retrained) != bool(args.without) or (args.retrained and args.write):
        parser.error("--retrained and --without go together, and --write is of the model that is shipped")
    editors = args.editor or [*EDITORS, AUTO]
    with TemporaryDirectory() as scratch:
        if not (folder := args.retrained):
            retrained.write_folder(folder := Path(scratch) / "model")
        case = concepts.case_without(args.without or retrained.without())
        lines, neighbours = measured(Bench(args.store), case, folder, args.pictures, editors)
    caption = f"{args.pictures} pictures a group at most; KID to the re-trained model x 1000 (standard error)."
    page = f"{caption}\n\n{table(HEADER, lines)}\n\n{neighbours}"
    print(page)
    if args.write:
        put("exact", page)


if __name__ == "__main__":
    main()
