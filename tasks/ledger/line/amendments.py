"""Amendments: which request takes the place of which, what it changes, and who put it on record when."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

from expunge.policies import Policy, changes
from expunge.tasks.ledger.line.requests import WAS_PUBLISHED
from expunge.tasks.ledger.receipt import Receipt


def with_amendments(
    rows: Sequence[dict[str, Any]], chains: Mapping[str, Sequence[Receipt]], policies: Mapping[str, Policy]
) -> list[dict[str, Any]]:
    """Return the states of requests, each with what it `amends`, and by what it was `amended`.

    Each entry has the other request, what changed, who put the amendment on record, and when. `changes` is None where
    one of the policies is not kept as it was received.
    """
    receipts = {one.digest: one for one in chain.from_iterable(chains.values())}
    found: list[dict[str, Any]] = []
    for row in rows:
        for replaced in row["replaces"] or ():
            old = next((one for one in rows if one["request_id"] == replaced and one["line"] == row["line"]), None)
            found.append(_amendment(row, replaced, old, receipts[row["receipt"]], policies))
    return [
        {
            **row,
            "amends": [one for one in found if one["by"] == row["request_id"] and one["line"] == row["line"]],
            "amended": [
                one
                for one in found
                if one["request_id"] == row["request_id"] and one["line"] == row["line"] and one["published"]
            ],
        }
        for row in rows
    ]


def _amendment(
    row: Mapping[str, Any],
    replaced: str,
    old: Mapping[str, Any] | None,
    receipt: Receipt,
    policies: Mapping[str, Policy],
) -> dict[str, Any]:
    before, after = policies.get(old["policy"]) if old else None, policies.get(row["policy"])
    return {
        "request_id": replaced,
        "by": row["request_id"],
        "line": row["line"],
        "at": receipt.at,
        "who": (receipt.verdict or {}).get("by") or receipt.who,
        "published": row["state"] in WAS_PUBLISHED,
        "changes": changes(before, after) if before and after else None,
    }
