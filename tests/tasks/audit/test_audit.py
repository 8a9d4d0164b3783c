"""What somebody may do to the record of a takedown, and that `expunge audit` finds it."""

from __future__ import annotations

import json
import shutil
from datetime import datetime
from pathlib import Path

import pytest

from expunge.canonical_json import canonical_json, sha256
from expunge.engine.files.bundle import assemble
from expunge.engine.files.digests import file_digest
from expunge.tasks.audit.record import audit
from expunge.tasks.core.errors import NothingOnRecord, UsageError
from expunge.tasks.ledger import ledger
from expunge.tasks.ledger.queries import receipts
from expunge.tasks.ledger.recorder import journal, note
from tests.tasks.records import FILES, LINE, Record, Work


def test_a_record_that_nobody_touched_is_whole_and_says_what_to_note(record: Record) -> None:
    found = audit(record.home)
    assert found.problems == ()
    (line,) = found.lines
    assert (line.line, line.receipts, line.signed, line.published) == (LINE, 7, 7, 1)
    assert line.head == record.chain[-1].digest
    assert record.problems(line.head, record.chain[2].digest) == ()


def test_where_nothing_is_on_record_nothing_is_whole(tmp_path: Path) -> None:
    with pytest.raises(NothingOnRecord, match="has no receipt"):
        audit(tmp_path)
    (tmp_path / "receipts" / LINE).mkdir(parents=True)
    with pytest.raises(NothingOnRecord, match="has no receipt"):
        audit(tmp_path)


def test_attack_a_receipt_is_altered(record: Record) -> None:
    path = next((record.home / "receipts" / LINE).glob("000004-*"))
    path.chmod(0o644)
    path.write_bytes(path.read_bytes().replace(b"PASS", b"FAIL"))
    assert any("altered" in problem for problem in record.problems())


@pytest.mark.parametrize("file", [*FILES.values(), "state.json"])
def test_attack_a_file_is_exchanged_or_removed(record: Record, file: str) -> None:
    (record.work / file).write_bytes(b"{}")
    assert any(file in problem for problem in record.problems())
    (record.work / file).unlink()
    assert any(problem.endswith(f"{file} is missing") for problem in record.problems())


def test_attack_the_state_is_softened(record: Record) -> None:
    told = json.loads((record.work / "state.json").read_bytes())
    told["acceptance"]["max_target_rate"] = 0.6
    (record.work / "state.json").write_bytes(canonical_json(told))
    (problem,) = record.problems()
    assert "state.json has changed" in problem


def test_attack_a_failed_verdict_is_told_as_passed(record: Record) -> None:
    """Every digest fits: the verdict says FAIL from the start, and only the receipt says PASS."""
    (record.work / "verdict.json").write_bytes(b'{"outcome":"FAIL"}')
    failed = file_digest(record.work / "verdict.json")
    known = record.chain[3].outputs["verdict"]
    shutil.copyfile(record.work / "verdict.json", record.work / "bundle" / "verdict.json")
    bundle = remade(record)

    def forge(receipt: dict) -> None:
        for part in ("inputs", "outputs"):
            receipt[part] |= {name: failed for name, digest in receipt[part].items() if digest == known}
            receipt[part] |= {"bundle": bundle} if "bundle" in receipt[part] else {}

    record.rewrite(forge)
    (problem,) = record.problems()
    assert "verdict.json has changed: it is FAIL, on record is PASS" in problem


def test_attack_the_bundle_holds_another_model_than_was_verified(record: Record) -> None:
    (record.work / "bundle" / "model" / "weights").write_bytes(b"the unedited model's")
    bundle = remade(record)

    def forge(receipt: dict) -> None:
        receipt["outputs"] |= {"bundle": bundle} if "bundle" in receipt["outputs"] else {}

    record.rewrite(forge)
    (problem,) = record.problems()
    assert "bundle/model has changed" in problem


def remade(record: Record) -> str:
    """The bundle under a manifest that fits what it holds by now; returns its digest."""
    old, files = record.work / "bundle", record.work / "held"
    shutil.copytree(old, files)
    extras = {path.name: path for path in files.iterdir() if path.is_file() and path.name != "manifest.json"}
    digest = assemble(files / "model", extras, old)
    shutil.rmtree(files)
    return digest


def test_attack_the_weights_in_the_bundle_are_exchanged(record: Record) -> None:
    (record.work / "bundle" / "model" / "weights").write_bytes(b"others")
    assert all("receipt 6 (bundled audited)" in problem for problem in record.problems())
    assert len(record.problems()) == 2  # against the manifest, and against what was verified
    shutil.rmtree(record.work / "bundle")
    assert len(record.problems()) == 4


def test_attack_the_policy_is_softened_or_removed(record: Record) -> None:
    (path,) = (record.home / "policies").iterdir()
    path.write_bytes(path.read_bytes().replace(b"0.2,", b"0.3,"))
    (problem,) = record.problems()
    assert "not the published policy that was received" in problem
    path.unlink()
    assert len(record.problems()) == 1
    path.mkdir()
    assert len(record.problems()) == 1


def test_the_policy_of_a_refused_request_is_looked_for_too(record: Record) -> None:
    journal(record.home, LINE).append(
        "refused",
        request_id="turned-away",
        who="x",
        inputs={"policy": "0" * 64},
        outputs={},
        settings={"work": "0" * 64},
        verdict={"outcome": "refused", "reasons": ["it is about another base"]},
    )
    (problem,) = record.problems()
    assert "0" * 64 in problem


@pytest.mark.parametrize("name", ["emoji-0.bak", ".git", "Emoji"])
def test_what_is_no_line_is_named_and_ends_nothing(record: Record, name: str) -> None:
    (record.home / "receipts" / name).mkdir()
    (problem,) = record.problems()
    assert f"{name} is no line's folder" in problem
    assert len(list(receipts(record.home))) == 7


def test_two_lines_of_one_base_are_told(record: Record) -> None:
    first = record.chain[0]
    for line in (LINE, "copy-0"):
        note(Work(record.home, line), "read", {**first.inputs, "base": "c" * 64}, first.outputs)
    assert any(f"copy-0 and {LINE} are lines of one base" in problem for problem in record.problems())


def test_a_receipt_that_is_no_file_is_named_and_ends_nothing(record: Record) -> None:
    (record.home / "receipts" / LINE / f"000008-{'0' * 64}.json").mkdir()
    (problem,) = record.problems()
    assert "foreign file" in problem


def test_half_a_digest_cannot_be_noted(record: Record) -> None:
    with pytest.raises(UsageError, match="64 hex digits"):
        record.problems(record.chain[-1].digest[:12])


def test_work_that_went_to_and_fro_is_whole(record: Record) -> None:
    """A step that comes again to what it once came to, after it came to something else, is told a third time."""
    work = Work(record.home)
    first, other = record.chain[2], {"candidate": "0" * 64}
    assert note(work, "erased", first.inputs, first.outputs) == first
    note(work, "erased", first.inputs, other)
    again = note(work, "erased", first.inputs, first.outputs)
    assert (again.sequence, again.outputs) == (9, first.outputs)
    assert record.problems() == ()


@pytest.mark.parametrize(
    ("step", "told"), [("verified", {"outcome": "FAIL", "reasons": []}), ("gated", {"outcome": "shut", "failed": []})]
)
def test_attack_something_is_published_that_did_not_pass(record: Record, step: str, told: dict) -> None:
    record.rewrite(lambda receipt: receipt.update(verdict=told) if receipt["step"] == step else None)
    assert any(f"({step} audited), which says {told['outcome']}" in problem for problem in record.problems())


@pytest.mark.parametrize("step", ["read", "planned", "erased", "verified", "gated", "bundled"])
def test_attack_something_is_published_without_a_step(record: Record, step: str) -> None:
    record.rewrite(lambda receipt: None, without=step)
    (problem,) = record.problems()
    assert f"of the step '{step}' that it rests on" in problem


def test_attack_a_receipt_names_no_bundle_so_that_none_is_looked_at(record: Record) -> None:
    record.rewrite(lambda receipt: receipt.update(outputs={}) if receipt["step"] == "bundled" else None, "published")
    (problem,) = record.problems()
    assert "receipt 6 (bundled audited)" in problem
    assert "on record is nothing" in problem


def test_attack_another_verdict_is_slipped_under_a_publication(record: Record) -> None:
    forged = sha256(b"a better one")

    def forge(receipt: dict) -> None:
        if receipt["step"] == "published":
            receipt["inputs"]["verdict"] = forged

    record.rewrite(forge)
    (problem,) = record.problems()
    assert "receipt 7 (published audited)" in problem


def test_a_line_of_before_there_were_signatures_is_vouched_for_by_who_noted_its_end(record: Record) -> None:
    shutil.rmtree(record.home / "signatures")
    key, end = next((record.home / "keys").iterdir()), record.chain[-1].digest
    assert len(audit(record.home, keys=[key]).problems) == 1
    assert audit(record.home, [end], [key]).problems == ()


def test_attack_a_signature_is_taken_from_under_a_receipt(record: Record) -> None:
    next((record.home / "signatures" / LINE).glob("000004-*")).unlink()
    assert record.problems() == (f"{LINE}: receipt 4 (verified audited) has no signature",)
    assert audit(record.home).lines[0].signed == 6


def test_attack_the_record_is_written_anew_and_only_who_has_the_key_can_tell(record: Record, tmp_path: Path) -> None:
    mine = Path(shutil.copy(next((record.home / "keys").iterdir()), tmp_path / "mine.pem"))
    assert audit(record.home, keys=[mine]).problems == ()
    for folder in ("private", "keys", "signatures"):
        shutil.rmtree(record.home / folder)
    record.rewrite(lambda receipt: receipt.update(who="somebody else"))
    assert record.problems() == ()
    assert audit(record.home).unchecked[0] == "who signed it (--key)"
    assert audit(record.home, keys=[mine]).problems == tuple(
        f"{LINE}: receipt {number} ({step} audited) is signed by none of the keys"
        for number, step in enumerate((receipt.step for receipt in record.chain), 1)
    )


def test_attack_the_end_is_cut_off_and_only_who_noted_it_can_tell(record: Record) -> None:
    head = record.chain[-1].digest
    record.rewrite(lambda receipt: None, without="published")
    assert record.problems() == ()
    (problem,) = record.problems(head)
    assert head in problem


def test_a_clock_that_was_set_back_is_noted_and_makes_the_record_no_less_whole(
    record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Before(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime(2001, 2, 3, tzinfo=tz)

    checked = record.chain[-1]
    append = journal(record.home, LINE).append
    how = {"request_id": "audited", "who": "clock", "inputs": checked.inputs, "outputs": {}}
    append("refused", **how)
    before = audit(record.home)
    assert before.remarks == ()
    monkeypatch.setattr(ledger, "datetime", Before)
    append("refused", **how)
    after = audit(record.home)
    assert after.problems == before.problems == ()
    (remark,) = after.remarks
    assert remark.startswith(f"{LINE}: receipt 9")
    assert "is of 2001-02-03T00:00:00Z" in remark
    assert remark.endswith("a clock was set back between")
