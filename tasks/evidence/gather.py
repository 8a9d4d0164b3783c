"""Evidence: the same questions to the unedited and to the edited model, judged picture by picture.

First the prompts, round by round where the policy samples in sequence, then the attacks of the policy's level.
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from tqdm import tqdm

from expunge.engine.stats.evidence import table as evidence
from expunge.engine.stats.evidence.attack_budgets import due
from expunge.engine.stats.evidence.table import Row
from expunge.engine.stats.sampling_plan import next_round
from expunge.tasks.core.paths import EVIDENCE
from expunge.tasks.core.settings import draws_on_cluster, workers
from expunge.tasks.core.work_order import Order, Ref, Weights
from expunge.tasks.evidence.attacks.jobs import AttackShard, attack_shards, attack_work
from expunge.tasks.evidence.budget import Budget, remember_pace, spend
from expunge.tasks.evidence.drawing.arms import models_of
from expunge.tasks.evidence.drawing.judge import Recorded
from expunge.tasks.evidence.drawing.workers import Examiner, Stocktaking, Work, crew, cut, picture_store
from expunge.tasks.evidence.examination import Examination, examination
from expunge.tasks.evidence.feasibility import refuse_unprovable


def gather_evidence(order: Order, candidate: Weights) -> Ref:
    """Draw what the store does not have yet, attack, judge all of it, and write the table.

    Raises LimitExceeded where that takes longer than the policy's `limits.max_compute_minutes`, and PolicyError before
    anything is drawn where no model could be proven.
    """
    exam = examination(order)
    refuse_unprovable(exam)
    budget = Budget(order.desired.limits.max_compute_minutes)
    models = models_of(order, candidate)
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


def ask(
    do: Examiner, order: Order, exam: Examination, models: Sequence[tuple[str, Weights]], budget: Budget
) -> list[Row]:
    """Return the rows of all rounds of questions to all models, (arm, model)."""
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
    """Return the rows of all attacks on all models; `plain` are those of all questions.

    Where one fails on the unedited model all models are attacked once more, with a larger budget.
    """
    rows: list[Row] = []
    table, done = evidence.table(plain), set[str]()
    while shards := [shard for shard in due_shards(exam, models, table, evidence.table(rows)) if shard.key not in done]:
        for attacks in attack_work(shards, picture_store(order.home)):
            rows += work_off(do, order, attacks, "attacks", budget)
        done |= {shard.key for shard in shards}
    return rows


def due_shards(
    exam: Examination, models: Sequence[tuple[str, Weights]], plain: pd.DataFrame, attacked: pd.DataFrame
) -> list[AttackShard]:
    """Return every attack on every target and model with each budget that what was `attacked` so far asks for."""
    due_attacks = {
        (target.id, made.digest): made
        for target in exam.targets
        for attack in exam.level.attacks
        for made in due(attack, target.id, attacked, exam.acceptance)
    }
    budgets = {made.digest: made for made in due_attacks.values()}
    shards = attack_shards(list(budgets.values()), exam.targets, models, plain, exam.seed)
    return [shard for shard in shards if (shard.subject.id, shard.attack.digest) in due_attacks]


def work_off(do: Examiner, order: Order, work: Sequence[Work], title: str, budget: Budget) -> list[Row]:
    """Return the rows of all work, with progress, within the budget."""
    rows = []
    budget.expect(sum(lacking(do, order, work).values()))
    with tqdm(total=sum(part.size for part in work), desc=title, unit="picture", mininterval=1) as bar:
        for done in do(work):
            rows += done.rows
            bar.update(len(done.rows))
            budget.drew(done.drawn, done.effort)
    return rows


def lacking(do: Examiner, order: Order, work: Sequence[Work]) -> dict[str, float]:
    """Return the keys of what has to be made for all work, with the worth of each in plain pictures."""
    if draws_on_cluster():  # this machine has none of the pictures, and would ask for one after the other
        found = (done.lacking for done in do([Stocktaking(part) for part in work]))
    else:
        store = picture_store(order.home)
        found = (part.lacks(store) for part in work)
    return {key: worth for part in found for key, worth in part.items()}
