"""The limits of a receipt's fields: each takes its last value, and refuses the next."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from expunge.canonical_json import canonical_json, sha256
from expunge.tasks.core.errors import LedgerError
from expunge.tasks.ledger.receipt import Receipt, open_receipt

FIRST: dict[str, Any] = {
    "line": "emoji",
    "sequence": 1,
    "step": "received",
    "request_id": "REQ-1",
    "at": "2026-02-03T16:05:00Z",
    "who": "operator",
    "inputs": {},
    "outputs": {},
    "settings": {},
    "versions": {},
    "verdict": None,
    "previous": "",
}


def read(**changes: object) -> Receipt:
    return Receipt.of(canonical_json({**FIRST, **changes}))


@pytest.mark.parametrize(
    ("field", "last", "next_one"),
    [
        ("sequence", 1, 0),
        ("sequence", 999_999, 1_000_000),
        ("sequence", 7, "7"),
        ("who", "w" * 200, "w" * 201),
        ("who", "w", ""),
        ("request_id", "r" * 200, "r" * 201),
        ("request_id", "r", ""),
        ("fencing_token", 1, 0),
        ("line", "l" * 64, "l" * 65),
    ],
)
def test_the_last_value_is_taken_and_the_next_is_refused(field: str, last: object, next_one: object) -> None:
    assert getattr(read(**{field: last}), field) == last
    with pytest.raises(ValidationError, match=field):
        read(**{field: next_one})


def test_nothing_of_a_receipt_can_be_changed() -> None:
    receipt = read()
    with pytest.raises(ValidationError, match="frozen"):
        receipt.who = "somebody else"


@pytest.mark.parametrize("line", ["a-line", "z-line"])
def test_a_receipt_of_another_line_counts_for_nothing(tmp_path: Path, line: str) -> None:
    content = canonical_json({**FIRST, "line": line})
    (path := tmp_path / f"000001-{sha256(content)}.json").write_bytes(content)
    assert open_receipt(path, line).line == line
    with pytest.raises(LedgerError, match=f"belongs to the line {line}"):
        open_receipt(path, "emoji")
