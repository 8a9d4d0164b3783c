"""How far an edit is from exact unlearning: `python -m benchmarks.exact [--write]`.

Exact unlearning is the denoiser that was trained again without the targets (`engine/emoji/retrained.py`). Each editor
erases the same objects from the built-in model with its published defaults; then the edited models, the unedited one
and the re-trained one draw the same prompts with the same seeds, those of `benchmarks/compare.py`. Of each model's
pictures the kernel distance (KID, arXiv 1801.01401) to the re-trained model's is told, by the features of the judge's
network, with its standard error: for the targets by name, and for each group that is to stay. Seeds do not pair two
denoisers that were trained apart, so only distributions are compared. Two lines say how to read a distance: `unedited`,
which knows the targets, and `re-trained, other seeds`, which is the re-trained model itself: a distance of nothing.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from benchmarks import concepts, measure
from benchmarks.concepts import Case
from benchmarks.measure import Asked
from benchmarks.page import put, table
from engine.deltas import applied
from engine.digests import folder_digest, tensor_digest
from engine.distances import KID_PAIRS, kid
from engine.editing import make
from engine.editors import EDITORS
from engine.emoji import JUDGE, MODEL, retrained
from engine.features import ClipNetwork
from engine.judges import ClipJudge
from engine.model import open_model
from engine.pictures import PictureStore
from engine.probes import Question
from engine.tuning import AUTO

OTHER_SEEDS = 100_000
HEADER = ("model", "targets", "synonyms", "look-alikes", "others", "styles")


def drawn_by(
    case: Case, asked: Sequence[Asked], store: PictureStore, editors: Sequence[str]
) -> Iterator[tuple[str, np.ndarray]]:
    """(name, pictures) of the unedited and of every edited model."""
    model, questions = open_model(MODEL), [item.question for item in asked]
    yield "unedited", measure.pictures(model, folder_digest(MODEL), store, questions)
    for editor in editors:
        edit = make(model, measure.spec(case, editor, {}))
        with applied(model, edit):
            yield editor, measure.pictures(model, tensor_digest(edit.deltas), store, questions)


def later(question: Question) -> Question:
    return replace(question, shot=replace(question.shot, seed=question.shot.seed + OTHER_SEEDS))


def line(network: ClipNetwork, name: str, asked: Sequence[Asked], shown: np.ndarray, exact: np.ndarray) -> list[str]:
    """The model's distance to exact unlearning in each group; "-" where the pictures are too few to tell one."""
    groups = np.array([item.group for item in asked])
    return [name, *(_distance(network, shown[groups == group], exact[groups == group]) for group in measure.GROUPS)]


def _distance(network: ClipNetwork, shown: np.ndarray, exact: np.ndarray) -> str:
    """KID and its standard error, in thousandths."""
    if len(shown) < KID_PAIRS:
        return "-"
    distance, error = kid(network.features(shown).pooled, network.features(exact).pooled)
    return f"{1000 * distance:.1f} ({1000 * error:.1f})"


def still_seen(asked: Sequence[Asked], exact: np.ndarray) -> str:
    """In how many of the re-trained model's pictures the judge sees the target that they were asked for."""
    places = [place for place, item in enumerate(asked) if item.group == "target"]
    questions = [asked[place].question for place in places]
    counts: dict[str, list[bool]] = {question.subject.name: [] for question in questions}
    for question, hit in zip(questions, measure.seen(ClipJudge(JUDGE), exact[places], questions), strict=True):
        counts[question.subject.name].append(bool(hit))
    shares = ", ".join(f"{name} {sum(hits)} of {len(hits)}" for name, hits in sorted(counts.items()))
    return f"Of what it never saw the judge sees in the re-trained model's pictures: {shares}."


def measured(
    folder: Path, case: Case, pictures: int, store: PictureStore, editors: Sequence[str]
) -> tuple[str, list[list[str]]]:
    """What the re-trained model shows of the targets, and a line a model."""
    asked, network = measure.asked(case, pictures), ClipNetwork(JUDGE)
    reference: Any = open_model(folder)
    questions, weights = [item.question for item in asked], folder_digest(folder)
    exact = measure.pictures(reference, weights, store, questions)
    again = measure.pictures(reference, weights, store, [later(question) for question in questions])
    lines = [line(network, "re-trained, other seeds", asked, again, exact)]
    for name, shown in drawn_by(case, asked, store, editors):
        lines.append(line(network, name, asked, shown, exact))
        print(*lines[-1], sep=" | ", flush=True)
    return still_seen(asked, exact), lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--editor", action="append", help="one or more; every editor in closed form by default")
    parser.add_argument("--pictures", type=int, default=48, help="a group of questions")
    parser.add_argument("--write", action="store_true", help="write the table into docs/benchmarks.md")
    parser.add_argument("--store", type=Path, default=measure.PICTURES, help="where pictures are kept")
    args = parser.parse_args()
    case = concepts.case_without(retrained.without())
    with TemporaryDirectory() as scratch:
        retrained.write_folder(folder := Path(scratch) / "model")
        seen, lines = measured(folder, case, args.pictures, PictureStore(args.store), args.editor or [*EDITORS, AUTO])
    told = f"{args.pictures} pictures a group; KID to the re-trained model x 1000 (standard error)."
    page = f"{told}\n\n{table(HEADER, lines)}\n\n{seen}"
    print(page)
    if args.write:
        put("exact", page)


if __name__ == "__main__":
    main()
