"""Replay: what the record concluded is concluded once more, a state from the policies, a verdict from its evidence.

How many rows there had to be and the judge's own error are taken as the verdict has them, for they come from base and
judge, which are not in the record. Another version may conclude otherwise, so only what this one did is done again.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd

import expunge.engine
from expunge.engine.stats.decide import decide
from expunge.engine.stats.evidence import table as evidence
from expunge.engine.stats.evidence.attack_budgets import budgets_of, due
from expunge.engine.stats.limits.acceptance import Acceptance
from expunge.engine.stats.verdict import Verdict
from expunge.policies import DesiredState, Floor, PolicyError, PolicyErrors
from expunge.tasks.core.errors import IntegrityError
from expunge.tasks.core.paths import EVIDENCE, STATE, VERDICT
from expunge.tasks.core.policy_adapter import acceptance, drawn_anew, level_of, subjects
from expunge.tasks.ledger.floor_store import kept_floor
from expunge.tasks.ledger.line.attempts import stray_attempt, stray_verdict
from expunge.tasks.ledger.line.proof import Proof, state_to_check
from expunge.tasks.ledger.policy_store import kept_policy, published_policies, same_in_force, state_with
from expunge.tasks.ledger.receipt import Receipt, Step

LAST_PLACE = 2e-6  # a verdict has six


def can_be_rederived(receipt: Receipt) -> bool:
    """Return whether this version wrote the receipt."""
    return receipt.versions.get("expunge") == expunge.engine.__version__


def stray_order(home: Path, read: Receipt, before: Sequence[Receipt]) -> str:
    """Say how the state of a receipt `read` is not that of its policy and those in force, in words; "" if it is.

    `before` are the receipts of its line until then.
    """
    return _not_in_force(home, read, read.outputs.get("state"), before)


def stray_publication(home: Path, published: Receipt, before: Sequence[Receipt]) -> str:
    """Say how what was published is not the state of its policy and those in force by then, in words."""
    return _not_in_force(home, published, published.inputs.get("state"), before)


def _not_in_force(home: Path, receipt: Receipt, recorded: str | None, before: Sequence[Receipt]) -> str:
    def state() -> DesiredState:
        policy, published = kept_policy(home, receipt.inputs["policy"]), published_policies(home, before)
        return state_with(policy, published, before, _floor(home, receipt))

    return _otherwise(state, recorded, "its policy and those in force come to")


def stray_check(home: Path, check: Receipt, before: Sequence[Receipt]) -> str:
    """Say how the state of a check is not that of what was in force, with the seed of its number, in words."""
    if Proof.of(before) is None:
        return ""  # it is of nothing, which is told for itself

    def state() -> DesiredState:
        return state_to_check(published_policies(home, before), before, _floor(home, check))

    return _otherwise(state, check.inputs.get("state"), "by the policies in force it has to ask for")


def stray_repetition(home: Path, repeated: Receipt, before: Sequence[Receipt]) -> str:
    """Say how a request that was set aside was not in force already, by the publication that the receipt names."""
    try:
        first = same_in_force(kept_policy(home, repeated.inputs["policy"]), home, before)
    except IntegrityError:
        return ""  # a policy is lost, which is told for itself
    except (KeyError, PolicyError) as error:
        return f"nobody can tell whether another request asked the same: {error}"
    found = first and (first.digest, first.request_id)
    recorded = repeated.inputs.get("publication"), (repeated.verdict or {}).get("request")
    return (
        "" if found == recorded else "no request in force that it names had asked the same, so it was never carried out"
    )


def _floor(home: Path, receipt: Receipt) -> Floor:
    return kept_floor(home, receipt.inputs["floor"])


def _otherwise(work_out: Callable[[], DesiredState], recorded: str | None, words: str) -> str:
    """Say how the state that is worked out is not the one on record."""
    try:
        state = work_out().digest
    except IntegrityError:
        return ""  # a policy or floor is lost, which is told for itself
    except KeyError:
        return "it or a publication before it names no policy, or it names no floor"
    except (PolicyError, PolicyErrors) as error:
        return f"{words} no state: {error}"
    return "" if state == recorded else f"{words} the state {state}, on record is {recorded}"


REDERIVE: Mapping[str, Callable[[Path, Receipt, Sequence[Receipt]], str]] = {
    Step.READ: stray_order,
    Step.PUBLISHED: stray_publication,
    Step.REPEATED: stray_repetition,
    Step.CHECKED: stray_check,
    Step.ATTEMPTED: stray_attempt,
    Step.VERIFIED: stray_verdict,
}
"""What is worked out anew of a step, by its name."""


def contradiction(work: Path) -> str:
    """Return what speaks against the verdict in the folder of a work, in words; "" if it follows from its evidence.

    A file that is missing or altered is for others to tell, who have its digest.
    """
    try:
        recorded = Verdict.load(work / VERDICT)
        state = DesiredState.model_validate_json((work / STATE).read_bytes())
        table = evidence.read(work / EVIDENCE)
        attempt = recorded.acceptance.attempt
        against = unlike(recorded, table, acceptance(state, attempt))
    except FileNotFoundError:
        return ""
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        return f"{work / VERDICT} cannot be worked out from its evidence: {error}"
    if problem := next(_unasked(drawn_anew(state, attempt), attempt, table), ""):
        return f"{work / EVIDENCE} {problem}"
    return f"{work / VERDICT} {against}" if against else ""


def unlike(recorded: Verdict, table: pd.DataFrame, limits: Acceptance) -> str:
    """Say how a verdict is not the one that its evidence comes to by these limits, in words; "" if it is."""
    again = decide(table, recorded.planned, limits, recorded.judge, recorded.comparison)
    if _is_same(json.loads(again.to_json()), json.loads(recorded.to_json())):
        return ""
    found = f"by the table and the policies' limits it is {again.outcome.value}"
    return f"says {recorded.outcome.value} and does not follow from its evidence: {found}, or otherwise so"


def _unasked(state: DesiredState, attempt: int, table: pd.DataFrame) -> Iterator[str]:
    """Yield what the state has asked and the table does not have.

    That are its own seeds (attacks choose theirs), each of its concepts, and of each target every try of the attacks of
    its level, unless there was nothing to aim at.
    """
    seeds = evidence.where(table, ~evidence.is_attack(table))["seed"]
    if not seeds.between(state.seed, state.seed + state.acceptance.seeds - 1).all():
        yield "was not asked by the seeds of its state"
    subjects_there = set(table[["concept", "role", "category"]].itertuples(index=False, name=None))
    for subject in subjects(state):
        if (subject.id, subject.role, subject.category) not in subjects_there:
            yield f"has nothing of {subject.id}, which its state names"
    tries = table.groupby(["concept", "probe", budgets_of(table)]).size()
    arms, limits = len(evidence.arms_in(table)), acceptance(state)
    aimed_at = {concept.id for concept in state.concepts} - set(evidence.never_shown(table))
    for concept, attack in product(sorted(aimed_at), level_of(state, attempt).attacks):
        for number, made in enumerate(due(attack, concept, table, limits), 1):
            if (there := tries.get((concept, attack.name, number), 0)) != arms * made.cost:
                by = attack.name if number == 1 else f"{attack.name} with budget {number}"
                yield f"has {there} tries of {by} on {concept}, not {arms * made.cost}"


def _is_same(one: Any, other: Any) -> bool:
    """Return whether both are the same in JSON, but for what another library makes of the last place of a number."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_is_same(one[name], other[name]) for name in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_is_same, one, other))
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, abs_tol=LAST_PLACE)
    return one == other
