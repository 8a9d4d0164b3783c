"""The dry run behind `expunge plan`: everything up to the edit, kept in its work folder, no receipt.

The base is looked at before any library for models is loaded.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from expunge.policies import Policy
from expunge.tasks.core.base_model import locate
from expunge.tasks.core.work_order import Order
from expunge.tasks.ledger.attempts import next_number
from expunge.tasks.ledger.line_lock import alone_on
from expunge.tasks.ledger.queries import line_of
from expunge.tasks.ledger.recorder import journal


def dry_run(policy: Policy, home: Path) -> dict[str, Any]:
    """Return what the edit would change, layer by layer, and what its verification would cost, if it erases any."""
    locate(policy)
    from expunge.tasks.edit import plan_edit
    from expunge.tasks.intake import intake
    from expunge.tasks.views.plan_summary import preview

    with alone_on(line_of(policy, home), home):
        order = intake(policy, home)
        if order.desired.restores:
            return {"request_id": policy.request_id, "restores": True, "base": order.base}
        return {"request_id": policy.request_id, **preview(numbered(order, policy), plan_edit(order))}


def numbered(order: Order, policy: Policy) -> Order:
    """Return the order with the number that its attempt would get."""
    chain = journal(order.home, order.line).receipts()
    return replace(order, attempt=next_number(order.home, chain, policy, order.key))
