"""Attempts on a target, counted from the record: who tries often enough passes once by chance.

An attempt is on record before its first picture is drawn, so that one which is broken off counts. A submission that
changes nothing is the same attempt: the same candidate, questioned by the same pictures.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from expunge.engine.files.digests import json_digest
from expunge.policies import DesiredState, Policy
from expunge.tasks.core.errors import IntegrityError
from expunge.tasks.ledger.policy_store import kept_policy
from expunge.tasks.ledger.receipt import Receipt, Step, of_step

Drawn = tuple[str | None, str | None]
"""A candidate and the digest of its questions: what sets one attempt apart from another."""

LIMITS = (
    *("max_target_rate", "max_attack_rate", "max_retain_drop", "max_noise_rate", "min_control_rate", "probe_limits"),
    "confidence",
)


def questions_digest(state: DesiredState) -> str:
    """Return the digest of what decides which pictures are drawn.

    Limits do not. Nor does in rounds how many seeds there are at most: bounds that hold at every look hold as well
    where a plan goes on.
    """
    questions = state.model_dump(mode="json", exclude={"request_ids", "limits", "unspared"})
    rounds = questions["acceptance"]["sampling"] == "sequential"
    for name in (*LIMITS, *(("seeds",) if rounds else ())):
        questions["acceptance"].pop(name, None)
    return json_digest(questions)


def attempt_number(home: Path, chain: Sequence[Receipt], policy: Policy, drawn: Drawn) -> int:
    """Return the number of an attempt that `policy` makes on a line with these receipts.

    Of its targets, that which was tried for most often decides. A target is the same by any name or alias that one
    policy gives it, in any spelling. What is only in force beside the policy's targets was not asked for by it and does
    not count.
    """
    known = [(attempt, _keys(home, attempt)) for attempt in of_step(chain, Step.ATTEMPTED)]
    numbers = []
    for concept in policy.concepts:
        own = concept.counting_keys
        tried = list(dict.fromkeys(_drawn(attempt) for attempt, keys in known if keys is None or keys & own))
        numbers.append(tried.index(drawn) + 1 if drawn in tried else len(tried) + 1)
    return max(numbers, default=1)


def next_number(home: Path, chain: Sequence[Receipt], policy: Policy, work: str) -> int:
    """Return the number that a submission would get: that of its work, if that is on record, or a new one."""
    own = [attempt for attempt in of_step(chain, Step.ATTEMPTED) if attempt.work == work]
    return attempt_number(home, chain, policy, _drawn(own[-1]) if own else (None, None))


def stray_attempt(home: Path, attempt: Receipt, before: Sequence[Receipt]) -> str:
    """Say how an attempt has another number than the receipts before it give; "" if it has theirs."""
    try:
        policy = kept_policy(home, attempt.inputs["policy"])
    except KeyError:
        return "it names no policy"
    except IntegrityError:
        return ""  # it is lost, which is told for itself
    stated, due = (attempt.verdict or {}).get("attempt"), attempt_number(home, before, policy, _drawn(attempt))
    return "" if stated == due else f"by the receipts before it this is attempt {due}, on record is {stated}"


def stray_verdict(home: Path, verified: Receipt, before: Sequence[Receipt]) -> str:
    """Say how a verdict was reached as another attempt than was counted; "" if as that."""
    own = [one for one in of_step(before, Step.ATTEMPTED) if one.work == verified.work]
    counted = [one for one in own if one.inputs.get("candidate") == verified.inputs.get("candidate")]
    if not counted:
        return "its attempt was never counted"
    due, stated = (counted[-1].verdict or {}).get("attempt"), (verified.verdict or {}).get("attempt")
    return "" if stated == due else f"it is of attempt {stated}, counted was {due}"


def _drawn(attempt: Receipt) -> Drawn:
    return attempt.inputs.get("candidate"), attempt.inputs.get("questions")


def _keys(home: Path, attempt: Receipt) -> set[str] | None:
    """Return the names that an attempt was on; None where its policy is lost, so that it counts for every target."""
    try:
        return kept_policy(home, attempt.inputs.get("policy", "")).counting_keys
    except IntegrityError:
        return None
