"""Trials: what a policy with `editor: auto` puts its settings to, before one of them is chosen.

The prompts, attacks, limits and rounds are those of the verification, with seeds of their own: a setting is chosen
because of the pictures it was tried on, so these could prove nothing of it any more. Prompts go first, and only what
they accept is attacked, for an attack takes as long as many pictures.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

from expunge.canonical_json import canonical_json
from expunge.engine.files.atomic import write_whole
from expunge.engine.files.digests import folder_digest
from expunge.engine.planning.auto_search import Judgement, NothingAccepted, Trial
from expunge.engine.planning.closed_form import tuned
from expunge.engine.planning.embedding_cache import WordStore
from expunge.engine.plans.apply import write_edited
from expunge.engine.plans.edit_plan import EditPlan, relative_changes
from expunge.engine.probes.attacks import Attack
from expunge.engine.spec import EditSpec
from expunge.engine.stats.decide import decide
from expunge.engine.stats.evidence import table as evidence
from expunge.engine.stats.evidence.table import Row
from expunge.engine.stats.limits.attack_names import ATTACKS
from expunge.tasks.core.change_limit import beyond
from expunge.tasks.core.paths import TRIALS, readable, words_folder
from expunge.tasks.core.settings import workers
from expunge.tasks.core.work_order import Order, Weights
from expunge.tasks.evidence.budget import Budget, spend
from expunge.tasks.evidence.drawing.arms import models_of
from expunge.tasks.evidence.drawing.judge import Recorded
from expunge.tasks.evidence.drawing.workers import Examiner, crew
from expunge.tasks.evidence.examination import Examination, examination
from expunge.tasks.evidence.feasibility import refuse_unprovable
from expunge.tasks.evidence.gather import ask, attack

WHATEVER_THE_EDIT = ("-control", "-too-few", "-impossible")
"""Reasons that no other setting could take away: what the unedited model does not show, and how much is asked."""


def chosen(order: Order, base: Any, spec: EditSpec) -> EditPlan:
    """Return the plan with the least change, within the policy's limit, that pictures accept.

    All that was tried is left in the order's `tuning.json`.

    Raises NothingAccepted where they accept none, LimitExceeded where drawing takes longer than the policy allows, and
    PolicyError before anything is drawn where no model could be proven.
    """
    refuse_unprovable(examination(order))
    limit = order.desired.limits.max_weight_delta
    try:
        with proving(order) as proof:
            bar, store = (lambda made: beyond(relative_changes(base, made), limit)), WordStore(words_folder(order.home))
            found = tuned(base, spec, proof, bar, store)
    except NothingAccepted as error:
        keep(order, error.trials, "")
        raise
    keep(order, found.trials, found.plan.digest)
    return found.plan


@contextmanager
def proving(order: Order) -> Iterator[Judgement]:
    """Yield what draws with a plan and says what the policy has against it, as often as asked, within one budget."""
    state, folder = order.desired, order.folder / "trial"
    exam = trial_of(examination(replace(order, attempt=0)), state.acceptance.seeds)  # a plan hangs on no attempt
    budget = Budget(state.limits.max_compute_minutes)
    budget.pause()  # settings are planned first, and between trials
    try:
        with crew(order.home, Recorded.of(order), workers()) as do:
            yield partial(_against, order, exam, do, budget, folder)
    finally:
        spend(order.folder, budget)
        shutil.rmtree(folder, ignore_errors=True)


def trial_of(exam: Examination, seeds: int) -> Examination:
    """Return the same questions and attacks with seeds after those of the verification.

    The verification takes `seeds` for its prompts and at most one for each picture of an attack. Attacks on which
    nothing hangs are left out.
    """
    after = max([seeds, *(attack.cost for attack in exam.level.attacks)])
    later = [replace(one, shot=replace(one.shot, seed=one.shot.seed + after)) for one in exam.questions]
    plan = exam.plan.assign(seed=exam.plan["seed"] + after)
    shifted = replace(exam, questions=tuple(later), plan=plan, seed=exam.seed + after)
    return attacked_by(shifted, [attack for attack in exam.level.attacks if exam.acceptance.decides(attack.name)])


def attacked_by(exam: Examination, attacks: Sequence[Attack]) -> Examination:
    """Return the same prompts and limits with these attacks alone."""
    names = [attack.name for attack in attacks]
    limits = {
        probe: limit for probe, limit in exam.acceptance.probe_limits.items() if probe in names or probe not in ATTACKS
    }
    terms = replace(exam.acceptance, attacks=tuple(names), probe_limits=limits)
    return replace(exam, level=replace(exam.level, attacks=tuple(attacks)), acceptance=terms)


def _against(order: Order, exam: Examination, do: Examiner, budget: Budget, folder: Path, made: EditPlan) -> str:
    """Return what stands between the plan and a PASS, as far as another setting could help it; "" if nothing does."""
    write_edited(order.base_folder, made, folder)
    models = models_of(order, Weights(folder, folder_digest(folder)))
    with budget.at_work():
        rows = ask(do, order, exam, models, budget)
        against = _reasons(attacked_by(exam, ()), rows)
        if exam.level.attacks and not against:
            rows += attack(do, order, exam, models, budget, rows)
            against = _reasons(exam, rows)
    return against


def _reasons(exam: Examination, rows: Sequence[Row]) -> str:
    table = evidence.table(rows)
    reasons = decide(table, exam.rows(table), exam.acceptance, exam.judge).reasons
    return "; ".join(reason.message for reason in reasons if not reason.code.endswith(WHATEVER_THE_EDIT))


def keep(order: Order, trials: Sequence[Trial], plan: str) -> None:
    """Leave what was tried, and the digest of the plan that was chosen, "" if none was."""
    results = [{**asdict(trial), "worst": {name: _finite(x) for name, x in trial.worst.items()}} for trial in trials]
    write_whole(order.folder / TRIALS, canonical_json({"plan": plan, "trials": results}))


def trials_file(order: Order) -> Path | None:
    """Return what `keep` left; None where no setting had to be chosen."""
    file = order.folder / TRIALS
    return file if file.exists() else None


def tried(order: Order) -> list[dict[str, Any]]:
    """Return the trials of an order as data; IntegrityError if their file cannot be read."""
    if (file := trials_file(order)) is None:
        return []
    with readable(file):
        return json.loads(file.read_bytes())["trials"]


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
