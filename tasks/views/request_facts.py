"""The request as the report names it: what is asked, who handled it, when it came and is due, and on which model."""

from __future__ import annotations

from pathlib import Path

from expunge.policies import Policy
from expunge.policies.kinds import KINDS
from expunge.policies.model.deadlines import TERMS, due_at
from expunge.tasks.ledger.case import Case

BUILT_IN = {"builtin:emoji": "the built-in emoji model"}


def base_name(policy: Policy) -> str:
    """Return what people call the model: the policy's own name for it, or that of its folder."""
    return policy.base_name or BUILT_IN.get(policy.base.uri) or Path(policy.base.uri).name


def request_facts(case: Case, policy: Policy | None) -> dict[str, str]:
    """Return the lines at the head of the report by their titles; without a kept policy only what the order says."""
    order, state = case.order, case.order.desired
    asked = {"Erase": ", ".join(concept.name for concept in state.concepts)}
    others = [request for request in state.request_ids if request != order.request_id]
    if others:
        asked["Together with"] = ", ".join(others)
    if policy is None:
        return asked | {"Model": f"{BUILT_IN.get(state.base.uri) or Path(state.base.uri).name} (line {order.line})"}
    due = due_at(policy)
    return {
        **({"Request": policy.title} if policy.title else {}),
        "Kind": KINDS[policy.kind].words,
        **asked,
        "Handled by": ", ".join(dict.fromkeys(receipt.who for receipt in case.receipts)) or "nobody yet",
        "Received": f"{policy.received_at:%Y-%m-%d %H:%M %Z}",
        **({"Holds until": f"{policy.expires_at:%Y-%m-%d %H:%M %Z}"} if policy.expires_at else {}),
        "Due": f"{due:%Y-%m-%d %H:%M %Z}, {TERMS[policy.kind]}" if due else "without delay, no law names a time",
        "Model": f"{base_name(policy)} (line {order.line})",
    }
