"""Requests on a real record, as far as a test needs them: handed in, published with a verdict, or refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from expunge.engine.emoji import MODEL
from expunge.engine.files.digests import folder_digest
from expunge.engine.stats.evidence.table import Row
from expunge.flows.casework.notices import take_in
from expunge.tasks.core.work_order import Order
from expunge.tasks.ledger.receipt import Receipt, Step
from expunge.tasks.ledger.recorder import note
from tests.flows.conftest import policy_file
from tests.tasks.evidence.examined import verified
from tests.tasks.handed_in import handed_in

NOTICE = Path(__file__).parents[2] / "policies" / "notices" / "heron.eml"
BASE = folder_digest(MODEL)


def good(row: Row) -> bool:
    return row.arm == "before" or row.role != "target"


def request(folder: Path, request_id: str = "first", kind: str = "copyright", **changes: Any) -> Order:
    """A request that was handed in; `changes` are fields of its target."""
    path = policy_file(folder, BASE, request_id, changes.pop("erase", "bicycle"))
    policy = json.loads(path.read_text()) | {"kind": kind}
    policy["concepts"][0] |= changes
    path.write_text(json.dumps(policy))
    return handed_in(path, folder / "home")


def publish(order: Order, saw: Any = good) -> Receipt:
    """Verify an order and put its publication on record."""
    verdict, table = verified(order, saw)
    proof = {"verdict": verdict.sha256, "evidence": table.sha256}
    note(order, Step.VERIFIED, {"candidate": "c" * 64}, proof, {"outcome": "PASS", "reasons": []})
    inputs = {"policy": order.policy, "state": order.state, "floor": order.floor, "verdict": verdict.sha256}
    return note(order, Step.PUBLISHED, inputs, {"bundle": order.key})


def refuse(order: Order, reason: str) -> Receipt:
    """Put on record that a person refused it."""
    said = {"outcome": "refused", "by": "ada", "reason": reason, "reasons": [reason]}
    return note(order, Step.REFUSED, {"policy": order.policy, "refusal": "d" * 64}, {}, said)


def noticed(folder: Path, text: str | bytes = b"", kind: Any = "copyright", name: str = "notice.eml") -> str:
    """The id of a notice that was received."""
    (file := folder / name).write_bytes(text.encode() if isinstance(text, str) and text else NOTICE.read_bytes())
    return take_in(file, kind, None, None, folder / "home")["request_id"]
