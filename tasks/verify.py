"""Verify: the same prompts and seeds on the unedited and on the edited model, judged picture by picture."""

from __future__ import annotations

from collections.abc import Sequence

from prefect import task
from prefect.cache_policies import NO_CACHE
from tqdm import tqdm

from engine import evidence
from engine.pictures import PictureStore
from engine.probes import Question, questions
from engine.results import Verdict
from engine.sampling import Shot
from engine.verdict import decide
from tasks.budget import Budget, remember_pace
from tasks.intake import load_state
from tasks.journal import note, refusals_noted
from tasks.order import Order, Ref
from tasks.settings import workers
from tasks.shards import Shard, Weights, cut, examine, picture_store
from tasks.translate import acceptance, subjects


def planned_questions(order: Order) -> list[Question]:
    """All that will be asked of each model; the evidence has two rows for each, one an arm."""
    state = load_state(order)
    return questions(subjects(state), state.acceptance.prompts, state.acceptance.seeds, state.seed)


def gather_evidence(order: Order, candidate: Weights) -> Ref:
    """Draw what the store does not have yet, judge all of it, and write the table.

    Raises LimitExceeded where that takes longer than the policy's `limits.max_compute_minutes`.
    """
    asked = planned_questions(order)
    base = Weights(order.base_folder, order.base)
    shards = [*cut("before", base, asked), *cut("after", candidate, asked)]
    missing = len(missing_pictures(shards, picture_store(order.home)))
    budget = Budget(load_state(order).limits.max_compute_minutes, missing)
    rows = []
    with tqdm(total=sum(len(shard.asked) for shard in shards), desc="pictures", unit="picture", mininterval=1) as bar:
        for done in examine(shards, order.home, order.judge_folder, workers()):
            rows += done.rows
            bar.update(len(done.rows))
            budget.drew(done.drawn)
    if budget.drawn:
        remember_pace(order.home, order.base, budget.pace)
    path = order.folder / "evidence.parquet"
    evidence.write(evidence.table(rows), path)
    return Ref.of(path)


def missing_pictures(shards: Sequence[Shard], store: PictureStore) -> set[tuple[str, Shot]]:
    """What is to be drawn, each picture once, by the digest of its model."""
    return {(shard.model.digest, shot) for shard in shards for shot in shard.missing(store)}


def reach_verdict(order: Order, table: Ref) -> Ref:
    """The statistics of the evidence against the policy's acceptance, written beside it."""
    verdict = decide(evidence.read(table.path), 2 * len(planned_questions(order)), acceptance(load_state(order)))
    path = order.folder / "verdict.json"
    path.write_text(verdict.to_json(), encoding="utf-8")
    return Ref.of(path)


@task(name="gather evidence", cache_policy=NO_CACHE)
def verify_task(order: Order, digest: str) -> Ref:
    """Takes the candidate's digest, returns the evidence table."""
    with refusals_noted(order, {"candidate": digest, "base": order.base}):
        return gather_evidence(order, Weights(order.folder / "candidate", digest))


@task(name="reach the verdict", cache_policy=NO_CACHE)
def verdict_task(order: Order, candidate: str, table: Ref) -> Ref:
    """The verdict with its receipt."""
    made = reach_verdict(order, table)
    verdict = Verdict.load(made.path)
    summary = {"outcome": verdict.outcome.value, "reasons": [reason.message for reason in verdict.reasons]}
    inputs = {"candidate": candidate, "base": order.base, "judge": order.judge}
    note(order, "verified", inputs, outputs={"evidence": table.sha256, "verdict": made.sha256}, verdict=summary)
    return made
