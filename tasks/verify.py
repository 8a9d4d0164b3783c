"""Verify: the same questions to the unedited and to the edited model, judged picture by picture.

First the prompts, round by round where the policy samples in sequence, then the attacks of the policy's level.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from tqdm import tqdm

from expunge.engine.stats import evidence_table as evidence
from expunge.engine.stats.decide import decide
from expunge.engine.stats.evidence_table import ARMS, Row
from expunge.engine.stats.sampling_plan import next_round
from expunge.engine.stats.verdict import Verdict
from expunge.tasks.core.durable_files import write_whole
from expunge.tasks.core.paths import CANDIDATE, EVIDENCE, VERDICT
from expunge.tasks.core.settings import workers
from expunge.tasks.core.work_order import Order, Ref
from expunge.tasks.evidence.attack_jobs import attack_shards, attack_work
from expunge.tasks.evidence.budget import Budget, remember_pace, spend
from expunge.tasks.evidence.examination import Examination, examination
from expunge.tasks.evidence.feasibility import refuse_unprovable
from expunge.tasks.evidence.judge import Recorded
from expunge.tasks.evidence.quality import measure_quality
from expunge.tasks.evidence.workers import Examiner, Weights, Work, crew, cut, picture_store
from expunge.tasks.intake import load_state
from expunge.tasks.ledger.ledger import Step
from expunge.tasks.ledger.recorder import note, refusals_noted


def gather_evidence(order: Order, candidate: Weights) -> Ref:
    """Draw what the store does not have yet, attack, judge all of it, and write the table.

    Raises LimitExceeded where that takes longer than the policy's `limits.max_compute_minutes`, and PolicyError before
    anything is drawn where no model could be proven.
    """
    exam = examination(order)
    refuse_unprovable(exam)
    budget = Budget(load_state(order).limits.max_compute_minutes)
    models = both(order, candidate)
    try:
        with crew(order.home, Recorded.of(order), workers()) as do:
            rows = ask(do, order, exam, models, budget)
            rows += attack(do, order, exam, models, budget, rows)
    finally:
        spend(order.folder, budget)
    if budget.pictures:
        remember_pace(order.home, order.base, exam.sampler, budget.pace)
    path = order.folder / EVIDENCE
    evidence.write(evidence.table(rows), path)
    return Ref.of(path)


def both(order: Order, candidate: Weights) -> list[tuple[str, Weights]]:
    """(arm, model) of the unedited and of the edited one."""
    return list(zip(ARMS, (Weights(order.base_folder, order.base), candidate), strict=True))


def ask(
    do: Examiner, order: Order, exam: Examination, models: Sequence[tuple[str, Weights]], budget: Budget
) -> list[Row]:
    """The rows of all rounds of questions to both models, (arm, model)."""
    rows, table, turn = [], evidence.table([]), models  # the model drawn with last, which is open, goes first next
    while len(due := next_round(exam.plan, table, exam.acceptance, exam.judge)):
        round_of = [exam.questions[place] for place in due.index]
        shards = [shard for arm, model in turn for shard in cut(arm, model, round_of, exam.sampler)]
        rows += work_off(do, order, shards, "pictures", budget)
        table, turn = evidence.table(rows), turn[::-1]
    return rows


def attack(
    do: Examiner,
    order: Order,
    exam: Examination,
    models: Sequence[tuple[str, Weights]],
    budget: Budget,
    plain: Sequence[Row],
) -> list[Row]:
    """The rows of all attacks on both models; `plain` are those of all questions."""
    rows: list[Row] = []
    shards = attack_shards(exam.level.attacks, exam.targets, models, evidence.table(plain), exam.seed)
    for attacks in attack_work(shards, picture_store(order.home)):
        rows += work_off(do, order, attacks, "attacks", budget)
    return rows


def work_off(do: Examiner, order: Order, work: Sequence[Work], title: str, budget: Budget) -> list[Row]:
    """The rows of all work, with progress, within the budget."""
    store, rows = picture_store(order.home), []
    budget.expect(sum({key: worth for part in work for key, worth in part.lacks(store).items()}.values()))
    with tqdm(total=sum(part.size for part in work), desc=title, unit="picture", mininterval=1) as bar:
        for done in do(work):
            rows += done.rows
            bar.update(len(done.rows))
            budget.drew(done.drawn, done.effort)
    return rows


def reach_verdict(order: Order, table: Ref) -> Ref:
    """The statistics of the evidence against the policy's acceptance, written beside it."""
    exam, frame = examination(order), evidence.read(table.path)
    path = order.folder / VERDICT
    verdict = decide(frame, exam.rows(frame), exam.acceptance, exam.judge)
    write_whole(path, verdict.to_json().encode())
    return Ref.of(path)


@dataclass(frozen=True)
class Conclusion:
    """What evidence came to: the verdict's file, and what a receipt says of it, digests and words."""

    verdict: Ref
    outputs: dict[str, str]
    told: dict[str, Any]


def conclude(order: Order, candidate: str, table: Ref) -> Conclusion:
    """Verdict and quality of the model with the digest `candidate`, written beside the evidence."""
    made = reach_verdict(order, table)
    verdict, quality = Verdict.load(made.path), measure_quality(order, candidate, table)
    outputs = {"evidence": table.sha256, "verdict": made.sha256, "quality": quality.sha256}
    reasons = [reason.message for reason in verdict.reasons]
    return Conclusion(made, outputs, {"outcome": verdict.outcome.value, "reasons": reasons})


@task(name="gather evidence", cache_policy=NO_CACHE)
def verify_task(order: Order, digest: str) -> Ref:
    """Takes the candidate's digest, returns the evidence table."""
    with refusals_noted(order, {"candidate": digest, "base": order.base}):
        return gather_evidence(order, Weights(order.folder / CANDIDATE, digest))


@task(name="reach the verdict", cache_policy=NO_CACHE)
def verdict_task(order: Order, candidate: str, table: Ref) -> Ref:
    """The verdict and the quality of what is kept, with their receipt; returns the verdict."""
    known = conclude(order, candidate, table)
    inputs = {"candidate": candidate, "base": order.base, "judge": order.judge}
    note(order, Step.VERIFIED, inputs, known.outputs, verdict=known.told)
    return known.verdict
