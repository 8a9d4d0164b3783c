"""Verify: the same prompts and seeds on the unedited and on the edited model, judged picture by picture."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from pathlib import Path

import numpy as np
from prefect import task
from prefect.cache_policies import NO_CACHE
from tqdm import tqdm

from engine import evidence
from engine.judges import ClipJudge, Judge, fault
from engine.model import open_model
from engine.pictures import PictureStore, pixel_digest
from engine.probes import Question, questions
from engine.results import Verdict
from engine.sampling import picture_key
from engine.verdict import decide
from tasks.intake import SAMPLER, load_state
from tasks.journal import note
from tasks.order import Order, Ref
from tasks.translate import acceptance, subjects


def planned_questions(order: Order) -> list[Question]:
    """All that will be asked of each model; the evidence has two rows for each, one an arm."""
    state = load_state(order)
    return questions(subjects(state), state.acceptance.prompts, state.acceptance.seeds, state.seed)


def gather_evidence(order: Order, candidate: Path, digest: str) -> Ref:
    """Draw what the store does not have yet, judge all of it, and write the table."""
    asked = planned_questions(order)
    store = PictureStore(order.home / "pictures")
    draw(store, order.base_folder, order.base, asked, "pictures before")
    draw(store, candidate, digest, asked, "pictures after")
    judge = ClipJudge(order.judge_folder)
    arms = (("before", order.base), ("after", digest))
    rows = [row for arm, weights in arms for row in judged(judge, store, asked, arm, weights)]
    path = order.folder / "evidence.parquet"
    evidence.write(evidence.table(rows), path)
    return Ref.of(path)


def draw(store: PictureStore, model: Path, weights: str, asked: Sequence[Question], title: str) -> None:
    """Make sure that every asked picture of this model is in the store; the model is opened only if one is missing."""
    shots = list(dict.fromkeys(question.shot for question in asked))
    missing = [shot for shot in shots if picture_key(weights, shot, SAMPLER) not in store]
    with tqdm(total=len(shots), initial=len(shots) - len(missing), desc=title, unit="picture", mininterval=1) as bar:
        if missing:
            store.draw(open_model(model, weights), weights, missing, SAMPLER, progress=bar.update)


def judged(
    judge: Judge, store: PictureStore, asked: Sequence[Question], arm: str, weights: str
) -> Iterator[evidence.Row]:
    """One row a question, category by category."""
    by_category: Callable[[Question], str] = lambda question: question.subject.category  # noqa: E731
    for category, group in groupby(sorted(asked, key=by_category), key=by_category):
        block = list(group)
        pictures = [store.read(picture_key(weights, question.shot, SAMPLER)) for question in block]
        sightings = judge.look(np.stack(pictures), [question.subject.name for question in block], category)
        for question, picture, sighting in zip(block, pictures, sightings, strict=True):
            yield evidence.Row(
                concept=question.subject.id,
                role=question.subject.role,
                category=category,
                probe=question.probe,
                prompt=question.shot.prompt,
                seed=question.shot.seed,
                arm=arm,
                seen=sighting.seen,
                score=sighting.score,
                picture=pixel_digest(picture),
                fault=fault(picture),
            )


def verdict_on(order: Order, table: Ref) -> Verdict:
    """The statistics of the evidence against the policy's acceptance."""
    return decide(evidence.read(table.path), 2 * len(planned_questions(order)), acceptance(load_state(order)))


@task(name="gather evidence", cache_policy=NO_CACHE)
def verify_task(order: Order, digest: str) -> Ref:
    """Takes the candidate's digest, returns the evidence table."""
    return gather_evidence(order, order.folder / "candidate", digest)


@task(name="reach the verdict", cache_policy=NO_CACHE)
def verdict_task(order: Order, candidate: str, table: Ref) -> Ref:
    """Writes the verdict beside the evidence, with its receipt."""
    verdict = verdict_on(order, table)
    path = order.folder / "verdict.json"
    path.write_text(verdict.to_json(), encoding="utf-8")
    made = Ref.of(path)
    summary = {"outcome": verdict.outcome.value, "reasons": [reason.message for reason in verdict.reasons]}
    inputs = {"candidate": candidate, "base": order.base, "judge": order.judge}
    note(order, "verified", inputs, outputs={"evidence": table.sha256, "verdict": made.sha256}, verdict=summary)
    return made
