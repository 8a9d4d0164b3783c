"""Whether a verdict follows from its evidence: worked out once more, from the table and the policies' own limits.

How many rows there had to be and the judge's own error are taken as the verdict has them, for they come from base and
judge, which are not in the record. Another version may count otherwise, so only a verdict of this one is worked out.
"""

from __future__ import annotations

from pathlib import Path

import engine
from engine import evidence
from engine.results import Verdict
from engine.verdict import decide
from policies import DesiredState
from tasks.bundle import EVIDENCE, VERDICT
from tasks.receipts import Receipt
from tasks.translate import acceptance


def can_be_rederived(receipt: Receipt) -> bool:
    """Whether the receipt is of a verdict that this version reached."""
    return receipt.step == "verified" and receipt.versions.get("expunge") == engine.__version__


def contradiction(work: Path) -> str:
    """What speaks against the verdict in the folder of a work, in words; "" if it follows from its evidence.

    A file that is missing or altered is for others to tell, who have its digest.
    """
    try:
        told = Verdict.load(work / VERDICT)
        limits = acceptance(DesiredState.model_validate_json((work / "state.json").read_bytes()))
        again = decide(evidence.read(work / EVIDENCE), told.planned, limits, told.judge)
    except FileNotFoundError:
        return ""
    except (OSError, ValueError, KeyError, TypeError) as error:
        return f"{work / VERDICT} cannot be worked out from its evidence: {error}"
    if again.to_json() == told.to_json():
        return ""
    found = f"by the table and the policies' limits it is {again.outcome.value}"
    return f"{work / VERDICT} says {told.outcome.value} and does not follow from its evidence: {found}, or otherwise so"
