"""A bundle by itself, for whoever has it and the public key and nothing else: its files, who vouches for it, and
whether its verdict passes and follows from its evidence."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from engine import evidence
from engine.results import Outcome, Verdict
from engine.verdict import decide
from tasks.grounds import is_of_a_base
from tasks.manifest import Bundle, check_bundle
from tasks.places import EVIDENCE, VERDICT
from tasks.receipts import Receipt
from tasks.rederived import can_be_rederived, is_same
from tasks.vouched import receipt_of


@dataclass(frozen=True)
class Vouched:
    """What was found. `rederived`: whether the verdict was worked out anew, which takes the version that came to it;
    of a base that was restored there is none."""

    bundle: str
    receipt: Receipt
    rederived: bool
    problems: tuple[str, ...]


def audit_bundle(folder: Path, keys: Collection[Path]) -> Vouched:
    """IntegrityError where the bundle differs from its manifest or none of the keys vouches for it: then nothing that
    it says is worth a look."""
    bundle = check_bundle(folder)
    receipt = receipt_of(folder, bundle.digest, keys)
    again = can_be_rederived(receipt) and not is_of_a_base(receipt)
    problems = () if is_of_a_base(receipt) else tuple(_against(bundle, receipt, again))
    return Vouched(bundle.digest, receipt, again, problems)


def _against(bundle: Bundle, receipt: Receipt, again: bool) -> Iterator[str]:
    if bundle.files.get(VERDICT) != receipt.inputs.get("verdict"):
        yield f"{VERDICT} is not the one that the receipt names"
        return
    try:
        told, table = Verdict.load(bundle.folder / VERDICT), evidence.read(bundle.folder / EVIDENCE)
        decided = decide(table, told.planned, told.acceptance, told.judge)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        yield f"{VERDICT} cannot be worked out from its evidence: {error}"
        return
    if told.outcome is not Outcome.PASS:
        yield f"{VERDICT} says {told.outcome.value}"
    if again and not is_same(json.loads(decided.to_json()), json.loads(told.to_json())):
        yield f"{VERDICT} says {told.outcome.value} and does not follow from its evidence: by that it is otherwise"
