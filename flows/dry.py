"""The dry run behind `expunge plan`: everything up to the edit, kept in its work folder, no receipt.

The base is looked at before any library for models is loaded.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from expunge.policies import Policy
from expunge.tasks.core.base_model import locate
from expunge.tasks.core.settings import Settings
from expunge.tasks.ledger.floor_store import floor_in_force
from expunge.tasks.ledger.line.attempts import next_number
from expunge.tasks.ledger.line.lock import alone_on
from expunge.tasks.ledger.queries import line_of
from expunge.tasks.ledger.recorder import journal


def dry_run(policy: Policy, home: Path) -> dict[str, Any]:
    """Return what the edit would change, layer by layer, and what its verification would cost, if it erases any."""
    locate(policy)
    from expunge.tasks.edit import plan_edit
    from expunge.tasks.intake import intake
    from expunge.tasks.views.plan_summary import preview

    line = line_of(policy, home)
    with alone_on(line, home):
        ledger = journal(home, line)
        case = intake(policy, ledger, Settings(home, "", "", ""), floor_in_force())
        order = case.order
        if order.desired.restores:
            return {"request_id": policy.request_id, "restores": True, "base": order.base}
        counted = order.counted(next_number(home, case.chain, policy, order.key))
        return {"request_id": policy.request_id, **preview(counted, plan_edit(order))}
