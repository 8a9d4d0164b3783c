"""The quality of what an edit should keep.

    python -m benchmarks.verification.kept [--case CASE] [--editor NAME]

The cases are those of `benchmarks/verification/examples.py`. Other objects and styles are the general prompts; the
worst kept concept is looked for among them and the look-alikes. `control` compares the unedited model with itself under
other seeds, which says how far figures move when nothing is wrong. Prints the figures as JSON, one line a case.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.common.measure import SAME_NOISE, STORE
from benchmarks.verification.examples import CASES, spec, subjects
from expunge.engine.emoji import CLIP_JUDGE, MODEL
from expunge.engine.files.digests import folder_digest
from expunge.engine.judges import open_judge
from expunge.engine.judges.networks.clip_features import ClipNetwork
from expunge.engine.judges.quality.compare import Drawn, Quality, compare
from expunge.engine.models.load import open_model
from expunge.engine.models.picture_store import PictureStore
from expunge.engine.models.sampling import Shot
from expunge.engine.planning.closed_form import plan
from expunge.engine.plans.edit_plan import applied
from expunge.engine.probes import Question, questions
from expunge.engine.probes.answers import Answer, rows
from expunge.engine.stats.evidence.table import ARMS, table

CONTROL = "control"
OTHER_SEEDS = 1000


def measure(asked: Sequence[Question], before: Drawn, after: Drawn) -> Quality:
    judge = open_judge(CLIP_JUDGE)
    arms = zip(ARMS, (before, after), strict=True)
    by_arm = (
        rows(judge, (Answer.to(question, drawn(question.shot)) for question in asked), arm) for arm, drawn in arms
    )
    evidence = table(row for arm in by_arm for row in arm)
    general = [question.shot for question in asked if question.subject.role == "general"]
    return compare(ClipNetwork(CLIP_JUDGE), general, before, after, evidence)


def run(case: str, editor: str, store: PictureStore, seeds: int) -> Quality:
    """Draw what the store lacks and compare."""
    model, base = open_model(MODEL), folder_digest(MODEL)
    group = subjects(*CASES.get(case, next(iter(CASES.values()))))
    asked = questions(group, 1, seeds)
    shots = [question.shot for question in asked]
    store.draw(model, base, shots, SAME_NOISE)
    if case == CONTROL:
        store.draw(model, base, [Shot(shot.prompt, shot.seed + OTHER_SEEDS) for shot in shots], SAME_NOISE)
        return measure(asked, _read(store, base), _read(store, base, OTHER_SEEDS))
    edit: Any = plan(model, spec(group, editor, {}))
    with applied(model, edit):
        store.draw(model, edit.digest, shots, SAME_NOISE)
    return measure(asked, _read(store, base), _read(store, edit.digest))


def _read(store: PictureStore, weights: str, later: int = 0) -> Drawn:
    return lambda shot: store.drawn(weights, Shot(shot.prompt, shot.seed + later), SAME_NOISE)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", choices=[CONTROL, *CASES], action="append")
    parser.add_argument("--editor", default="scapre")
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--pictures", type=Path, default=STORE)
    args = parser.parse_args()
    for case in args.case or [CONTROL, *CASES]:
        print(case, run(case, args.editor, PictureStore(args.pictures), args.seeds).to_json(), flush=True)


if __name__ == "__main__":
    main()
