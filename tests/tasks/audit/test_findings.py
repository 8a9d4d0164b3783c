"""An audit says of each check what it was of, of each clock when it was set back, and what it did not look at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

import pytest

from expunge.tasks.audit import record as audited
from expunge.tasks.audit.record import audit, stored_otherwise
from expunge.tasks.core.settings import Settings
from expunge.tasks.ledger import ledger
from expunge.tasks.ledger.receipt import Step
from expunge.tasks.ledger.recorder import journal, note
from expunge.tasks.storage.record.place import own_place
from tests.mutation.frozen import changeable
from tests.tasks.records import LINE, Record, Work

FAULTY: Mapping[str, object] = {"outcome": "ERROR", "reasons": ["a file is missing"]}
JUDGED: Mapping[str, object] = {"outcome": "PASS", "reasons": [], "doubts": []}


def check(record: Record, inputs: Mapping[str, str], outputs: Mapping[str, str], verdict: Mapping[str, object]) -> str:
    """Append a check to a record that was whole; return what the audit says of it."""
    of = Work(record.home, key="1" * 64, request_id="check")
    receipt = note(of, Step.CHECKED, inputs, outputs, verdict)
    mine = f"{LINE}: receipt {receipt.sequence} "
    return "\n".join(problem for problem in record.problems() if problem.startswith(mine))


@pytest.mark.parametrize("bundle", ["00" * 32, "ff" * 32])
def test_attack_a_check_is_of_another_bundle(record: Record, bundle: str) -> None:
    served = record.chain[-1].outputs["bundle"]
    assert "00" * 32 < served < "ff" * 32
    assert f"it is of bundle {bundle}, published last is {served}" in check(record, {"bundle": bundle}, {}, FAULTY)


def test_a_check_that_found_a_faulty_bundle_asked_no_model(record: Record) -> None:
    found = check(record, {"bundle": record.chain[-1].outputs["bundle"]}, {}, FAULTY)
    assert "published last is" not in found
    assert "nothing was asked anew" not in found


@pytest.mark.parametrize("model", ["00" * 32, "ff" * 32])
def test_attack_a_check_is_of_another_model(record: Record, model: str) -> None:
    inputs = {"bundle": record.chain[-1].outputs["bundle"], "candidate": model}
    assert f"it questioned the model {model}, published last is" in check(
        record, inputs, {"evidence": "e" * 64}, JUDGED
    )


def test_attack_a_check_rests_on_the_evidence_of_the_publication(record: Record) -> None:
    inputs = {"bundle": record.chain[-1].outputs["bundle"], "candidate": record.chain[3].inputs["candidate"]}
    old, new = record.chain[3].outputs["evidence"], "e" * 64
    assert f"its evidence {old} is that of an earlier receipt: nothing was asked anew" in check(
        record, inputs, {"evidence": old}, JUDGED
    )
    again = check(record, inputs, {"evidence": new}, JUDGED)
    assert "nothing was asked anew" not in again
    assert "it questioned the model" not in again


def test_a_clock_that_goes_on_is_no_remark(record: Record, monkeypatch: pytest.MonkeyPatch) -> None:
    class Later(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime(2999, 2, 3, tzinfo=tz)

    monkeypatch.setattr(ledger, "datetime", Later)
    journal(record.home, LINE).append("refused", request_id="audited", who="x", inputs={}, outputs={})
    assert record.chain[-1].at.startswith("2999")
    assert audit(record.home).remarks == ()


def test_what_s3_serves_is_unchecked_unless_it_was_asked_for(record: Record) -> None:
    assert "what S3 serves (--stored)" in audit(record.home).unchecked
    assert "what S3 serves (--stored)" not in audit(record.home, stored=True).unchecked


def test_what_an_audit_found_cannot_be_changed() -> None:
    assert changeable(audited) == []


def test_attack_s3_serves_nothing_of_what_was_published(stack: Settings, record: Record) -> None:
    bundle, settings = record.chain[-1].outputs["bundle"], replace(stack, home=record.home)
    own_place(settings)
    found = list(stored_otherwise(record.home, [], settings))
    assert any(problem.startswith(f"S3, {LINE}: bundle {bundle}") for problem in found), found
