"""A new request from a person's answers: its notice goes on record, and its policy is written ready to submit."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from expunge.flows.casework.notices import draft_file, record_notice
from expunge.policies import parse, read_floor
from expunge.policies.kinds import PRIVATE_KINDS, Kind
from expunge.policies.notices.new_policy import Answers, notice_text, policy_text
from expunge.tasks.core.errors import UsageError
from expunge.tasks.core.paths import write_out, write_over
from expunge.tasks.ledger.floor_store import floor_file

SOURCE = "the new policy"
OPEN = b"FILL IN"
"""What a draft says where nobody has filled it in."""


def check(answers: Answers, kind: Kind, received_at: datetime) -> None:
    """Raise PolicyErrors where the answers contradict each other, or are below the floor in force."""
    _policy(answers, kind, "new", received_at)


def write_request(
    kind: Kind, elements: Mapping[str, str], answers: Answers, at: datetime | None, out: Path | None, home: Path
) -> dict[str, Any]:
    """Put the notice on record and write its policy; return what `expunge receive` does, with the policy's file.

    Raises:
        UsageError: the file is there already, or the moment lies in the future.
    """
    if out and out.exists():
        raise UsageError(f"--out {out} is there already: name a new file")
    target = "" if kind in PRIVATE_KINDS else answers.targets[0][0]
    came = (at or datetime.now(UTC)).isoformat(timespec="minutes")
    text = f"# came in at {came}\n{notice_text(kind, elements, target)}"  # else two alike would count as one
    found = record_notice(text.encode(), "the answers", kind, at, None, home)
    policy = _policy(answers, kind, found["request_id"], datetime.fromisoformat(found["received_at"])).encode()
    draft = draft_file(home, found["request_id"])
    if out:
        write_out(out, policy)
    elif OPEN in (before := draft.read_bytes()):
        write_over(draft, policy)
    elif before != policy:
        raise UsageError(f"{draft} was written before, by other answers: name a new file by --out")
    return found | {"draft": str(out or draft)}


def _policy(answers: Answers, kind: Kind, request_id: str, received_at: datetime) -> str:
    floor = read_floor(floor_file())
    text = policy_text(answers, kind, request_id, received_at, floor.terms(kind))
    parse(text.encode(), SOURCE, floor)
    return text
