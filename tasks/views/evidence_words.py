"""The evidence behind the last verdict on a request, counted anew from its table and told in plain English."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from expunge.engine.stats.evidence.table import ARMS, DENOISER, is_attack, read
from expunge.engine.stats.verdict import Verdict
from expunge.tasks.core.errors import LedgerError, NothingOnRecord, UsageError
from expunge.tasks.core.paths import EVIDENCE, VERDICT, readable, work_folder
from expunge.tasks.core.work_order import Ref
from expunge.tasks.ledger import queries
from expunge.tasks.ledger.line.work import bring_back
from expunge.tasks.ledger.receipt import Receipt
from expunge.tasks.storage.record.fetching import fetching

MODELS = {"before": "the unedited model", "after": "the edited model", DENOISER: "the edited denoiser alone"}
ROLES = {"target": "had to go", "look_alike": "looks like a target and had to stay", "general": "had to stay"}


def describe_evidence(home: Path, request_id: str, line: str = "") -> dict[str, Any]:
    """Return what was drawn and seen for the last verdict on a request; what the home lacks of it is fetched from S3.

    Raises:
        NothingOnRecord: nothing was verified for it, or the file is neither here nor in S3.
        UsageError: several lines have it, and `line` names none.
        IntegrityError: evidence or verdict is not what the receipt names.
    """
    receipt = _verified(home, request_id, line)
    folder = work_folder(home, receipt.work)
    with fetching(home):
        bring_back(home, receipt.work, [receipt])
    if lost := [folder / name for name in (EVIDENCE, VERDICT) if not (folder / name).is_file()]:
        raise NothingOnRecord(f"{lost[0]} is neither here nor in S3: restore it from a backup")
    path = Ref(str(folder / EVIDENCE), receipt.outputs["evidence"], 0).path
    with readable(path):
        found = counts(read(path))
    verdict_path = Ref(str(folder / VERDICT), receipt.outputs["verdict"], 0).path
    with readable(verdict_path):
        verdict = Verdict.load(verdict_path)
    return {
        "request_id": request_id,
        "line": receipt.line,
        "receipt": receipt.digest,
        "at": receipt.at,
        "evidence": receipt.outputs["evidence"],
        "file": str(path),
        **found,
        "verdict": verdict.outcome.value,
        "reasons": [reason.message for reason in verdict.reasons],
        "says": sentences(found),
    }


def counts(frame: pd.DataFrame) -> dict[str, Any]:
    """Return the number of pictures by model, and the rows of each concept, prompts and attacks apart."""
    attacked = frame.assign(attack=is_attack(frame))
    rows = [
        {"concept": concept, "role": role, "by": "attacks" if attack else "prompts", **_seen(own)}
        for (role, concept, attack), own in attacked.groupby(["role", "concept", "attack"], sort=True)
    ]
    order = list(ROLES)
    return {
        "pictures": len(frame),
        "by_model": {arm: int((frame["arm"] == arm).sum()) for arm in MODELS if (frame["arm"] == arm).any()},
        "faults": int((frame["fault"] != "").sum()),
        "concepts": sorted(rows, key=lambda row: (order.index(row["role"]), row["concept"], row["by"] == "attacks")),
    }


def sentences(found: Mapping[str, Any]) -> list[str]:
    """Return the counts in plain English."""
    drawn = ", ".join(f"{number} by {MODELS[arm]}" for arm, number in found["by_model"].items())
    first = f"{found['pictures']} pictures were drawn and judged: {drawn}."
    faults = [f"{found['faults']} of them could not be judged."] if found["faults"] else []
    return [first, *faults, *map(_of_concept, found["concepts"])]


def _verified(home: Path, request_id: str, line: str) -> Receipt:
    """Return the last receipt of this request that names evidence."""
    chains, problems = queries.read(home)
    all_receipts = [one for chain in chains.values() for one in chain if line in ("", one.line)]
    own = [one for one in all_receipts if one.request_id == request_id and {"evidence", "verdict"} <= set(one.outputs)]
    if not own and problems:
        raise LedgerError("\n".join(problems))
    if not own:
        raise NothingOnRecord(f"nothing was verified for {request_id!r}: see `expunge status`")
    if len(lines := {one.line for one in own}) > 1:
        raise UsageError(f"{request_id} is on {' and on '.join(sorted(lines))}: name one by --line")
    return own[-1]


def _seen(own: pd.DataFrame) -> dict[str, list[int]]:
    """Return by model in how many of its pictures the concept was seen, and how many there are."""
    arms = {arm: own[own["arm"] == arm] for arm in ARMS}
    return {arm: [int(rows["seen"].sum()), len(rows)] for arm, rows in arms.items()}


def _of_concept(row: Mapping[str, Any]) -> str:
    drawn = [(arm, *row[arm]) for arm in ARMS if row[arm][1]]
    shares = [f"in {seen} of {total} pictures by {MODELS[arm]}" for arm, seen, total in drawn]
    how = " when attacked" if row["by"] == "attacks" else ""
    return f"{row['concept']} ({ROLES[row['role']]}) was seen{how} {' and '.join(shares)}."
