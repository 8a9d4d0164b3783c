"""The files that each step left in its work folder, compared with the digests in its receipt."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from expunge.engine.errors import EngineError
from expunge.engine.files.bundle import MODEL, verify_bundle
from expunge.engine.files.digests import file_digest, folder_digest
from expunge.engine.files.reading.strict_json import read_json
from expunge.policies import DesiredState
from expunge.tasks.core.paths import (
    BUNDLE,
    COMPARISON,
    DELTAS,
    EVIDENCE,
    QUALITY,
    RETURNED,
    ROUNDING,
    STATE,
    TRIALS,
    VERDICT,
)
from expunge.tasks.ledger.receipt import Receipt, Step, is_of_a_base


def _state(path: Path) -> str:
    return DesiredState.model_validate_json(path.read_bytes()).digest


def _outcome(path: Path) -> str:
    return read_json(path)["outcome"]


def _grade(path: Path) -> str:
    return json.loads(path.read_bytes())["grade"]


def _attempt(path: Path) -> str:
    return str(json.loads(path.read_bytes())["acceptance"]["attempt"])


def _reasons(path: Path) -> str:
    return json.dumps([reason["message"] for reason in read_json(path)["reasons"]])


EXAMINED = (
    (COMPARISON, "comparison", file_digest),
    (EVIDENCE, "evidence", file_digest),
    (VERDICT, "verdict", file_digest),
    (QUALITY, "quality", file_digest),
)

FILES_OF_STEP: dict[str, tuple[tuple[str, str, Callable[[Path], str]], ...]] = {
    Step.READ: ((STATE, "state", _state),),
    Step.PLANNED: ((DELTAS, "plan", file_digest), (TRIALS, "trials", file_digest)),
    Step.ERASED: ((ROUNDING, "rounding", file_digest),),
    Step.VERIFIED: EXAMINED,
    Step.RETURNED: ((RETURNED, "returned", file_digest),),
    Step.CHECKED: ((STATE, "state", _state), *EXAMINED),
    Step.BUNDLED: (
        (BUNDLE, "bundle", verify_bundle),
        (f"{BUNDLE}/{MODEL}", "candidate", folder_digest),
        (f"{BUNDLE}/{EVIDENCE}", "evidence", file_digest),
        (f"{BUNDLE}/{VERDICT}", "verdict", file_digest),
    ),
}
"""What a step left in the folder of its work: path, name of its digest in the receipt, and how that is taken."""

GRADED: Mapping[str, Callable[[Path], str]] = {"grade": _grade, "attempt": _attempt}
"""What receipts of a verdict say of it since version 0.20.0."""

SOMETIMES = {"trials", "quality", "rounding", "comparison"}
"""What not every receipt names: trials are of `editor: auto`, the others came later than the first version."""


def has_verdict(receipt: Receipt) -> bool:
    """Return whether it is of a verdict that rests on evidence. A check of a bundle not as published has none."""
    nothing_to_judge = not receipt.outputs and receipt.outcome == "ERROR"
    return receipt.step == Step.VERIFIED or (receipt.step == Step.CHECKED and not nothing_to_judge)


def changed(work: Path, receipt: Receipt) -> Iterator[str]:
    """Yield what lies no longer in the folder of the work where the receipt's step left it, or is another by now."""
    recorded = receipt.digests
    if receipt.step == Step.CHECKED and not has_verdict(receipt):
        return  # what was served was not what was published, so nothing was asked
    left_out = SOMETIMES | ({"verdict", "evidence"} if is_of_a_base(receipt) else set())
    for path, name, digest_of in FILES_OF_STEP.get(receipt.step, ()):
        if name not in recorded and name in left_out:
            continue
        if problem := _other(work / path, recorded.get(name, "nothing"), digest_of):
            yield f"{work / path} {problem}"
    said = [(str(receipt.outcome), _outcome)] if has_verdict(receipt) else []
    counted = receipt.step == Step.ATTEMPTED  # before there is a verdict, and a run that was killed never has one
    of_verdict = {} if counted else receipt.verdict or {}
    said += [(str(of_verdict[name]), found) for name, found in GRADED.items() if name in of_verdict]
    if receipt.step == Step.CHECKED:
        said.append((json.dumps((receipt.verdict or {}).get("reasons")), _reasons))
    for wanted, found_in in said:
        if problem := _other(work / VERDICT, wanted, found_in):
            yield f"{work / VERDICT} {problem}"


def _other(path: Path, wanted: str, found_in: Callable[[Path], str]) -> str:
    """Return what is wrong with a file or folder in which this should be found, "" if nothing is."""
    try:
        return "" if (found := found_in(path)) == wanted else f"has changed: it is {found}, on record is {wanted}"
    except FileNotFoundError:
        return "is missing"
    except (EngineError, OSError, ValueError, LookupError, TypeError, RecursionError) as error:
        return f"cannot be read: {error}"
