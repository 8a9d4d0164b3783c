"""The outcome of a counter-notice: a court action, the return of what was removed, or that nothing was removed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from expunge.policies import Policy
from expunge.tasks.ledger.decisions.counters import window_of
from expunge.tasks.ledger.policy_store import kept_policy
from expunge.tasks.ledger.receipt import Receipt, Step, is_of_a_base, of_step


def put_back(home: Path, chain: Sequence[Receipt], request_id: str, policy: Policy, since: str) -> dict[str, Any]:
    """Return by which publication a request was withdrawn since a moment, and what is proven of that; {} if by none.

    A publication that takes its place and still erases one of its targets gives nothing back.
    """
    for publication in of_step(chain, Step.PUBLISHED):
        later = kept_policy(home, publication.inputs["policy"])
        if (
            publication.at >= since
            and request_id in later.replaces
            and later.counting_keys.isdisjoint(policy.counting_keys)
        ):
            tested, base = _seen_again(chain, publication.work, policy), is_of_a_base(publication)
            return {"at": publication.at, "tested": tested, "base": base}
    return {}


def outcome_of(counter: Receipt, court: Receipt | None, back: dict[str, Any], published: bool) -> dict[str, Any] | None:
    """Return the outcome of a counter-notice; None as long as there is none.

    Args:
        counter: the receipt of the counter-notice.
        court: the receipt of the court action that answered it.
        back: what `put_back` found.
        published: whether anything of the request is served now.
    """
    window = window_of(counter)
    if court:
        return {**window, "how": "court", "at": str(court.settings["received_at"])}
    if back:
        moment = datetime.fromisoformat(back["at"])
        early = moment < datetime.fromisoformat(window["opens"])
        late = moment > datetime.fromisoformat(window["closes"])
        return {**window, "how": "back", **back, "when": "early" if early else "late" if late else "in time"}
    over = datetime.now(UTC) > datetime.fromisoformat(window["closes"])
    return {**window, "how": "untouched"} if over and not published else None


def _seen_again(chain: Sequence[Receipt], work: str, policy: Policy) -> bool:
    """Return whether the withdrawal saw every target of the policy again."""
    proofs = [one for one in of_step(chain, Step.RETURNED) if one.work == work and one.outcome == "PASS"]
    said = (proofs[-1].verdict or {}).get("seen", []) if proofs else []
    seen = [str(words) for words in said] if isinstance(said, list) else []
    return bool(policy.concepts) and all(
        any(words.startswith(f"it is back: {concept.id} is seen in ") for words in seen) for concept in policy.concepts
    )
