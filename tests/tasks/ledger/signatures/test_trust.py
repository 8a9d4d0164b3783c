"""Only what a trusted key signed decides: whatever somebody without it writes into a home ends with exit code 6."""

from __future__ import annotations

import json
import os
import shutil
import signal
from pathlib import Path

import pytest

from expunge.tasks.audit.record import audit
from expunge.tasks.core.errors import IntegrityError, LedgerError
from expunge.tasks.core.settings import Settings
from expunge.tasks.ledger.ledger import Ledger
from expunge.tasks.ledger.line.lock import alone_on
from expunge.tasks.ledger.queries import line_status, lines, states
from expunge.tasks.ledger.receipt import Receipt
from expunge.tasks.ledger.recorder import journal
from expunge.tasks.ledger.signatures import signing
from expunge.tasks.ledger.signatures.keys import public_key
from expunge.tasks.ledger.signatures.trust import trusted_keys
from expunge.tasks.reverify import next_check
from tests.flows.conftest import run_cli
from tests.tasks.ledger.signatures.keys import write_key
from tests.tasks.ledger.test_receipts import run
from tests.tasks.records import LINE, WORK, Record, published


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home in which something is published and was found wanting since, all of it signed."""
    record = published(tmp_path)
    monkeypatch.setenv("EXPUNGE_HOME", str(record.home))
    told(journal(record.home, LINE), "FAIL", ["bicycle is seen"])
    assert [(row["state"], row["reasons"]) for row in states(record.home)] == [("suspect", ["bicycle is seen"])]
    return record.home


def told(ledger: Ledger, outcome: str, reasons: list[str]) -> Receipt:
    """A check of what is published that came to this, as whoever has this ledger writes it down."""
    chain = Ledger(ledger.folder.parent, LINE).receipts()
    bundle = next(one.outputs["bundle"] for one in reversed(chain) if one.step == "published")
    candidate = next(one.inputs["candidate"] for one in chain if one.step == "bundled")
    return ledger.append(
        "reverified",
        request_id="audited",
        who="x",
        inputs={"bundle": bundle, "candidate": candidate},
        outputs={},
        settings={"work": WORK},
        verdict={"outcome": outcome, "reasons": reasons, "doubts": []},
    )


def unsigned(home: Path) -> Ledger:
    """The line's ledger as somebody writes to it who knows the format and has no key."""
    return Ledger(home / "receipts", LINE)


def refused(home: Path, problem: str) -> None:
    """Every reader refuses the record and says why: `status`, `audit`, a submission, the nightly check, the alias."""
    for command in ("status", "audit"):
        done = run_cli(command)
        assert (done.code, problem in done.out.replace("\n", "")) == (6, True), done.out + done.err
    assert "suspect" not in run_cli("status").out
    nowhere = Settings(home, "", "", "")
    for read in (
        journal(home, LINE).receipts,
        lambda: line_status(home, LINE),
        lambda: next_check(journal(home, LINE), nowhere),
    ):
        with pytest.raises(LedgerError, match="does not hold"):
            read()
    with pytest.raises(LedgerError), alone_on(LINE, home):
        told(journal(home, LINE), "PASS", [])


def test_attack_an_unsigned_pass_overrides_a_signed_fail(home: Path) -> None:
    told(unsigned(home), "PASS", [])
    assert audit(home).lines[0].signed == audit(home).lines[0].receipts - 1
    refused(home, "receipt 9 (reverified audited) has no signature")


def test_attack_a_key_is_planted_beside_the_record_and_signs_what_it_likes(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    private, public = write_key(tmp_path, "stranger")
    forged = told(unsigned(home), "PASS", [])
    with monkeypatch.context() as patch:
        patch.setenv("EXPUNGE_SIGNING_KEY", str(private))
        signing.keep(home, forged, signing.signed(home, forged))
    planted = {path.read_bytes() for path in (home / "keys").iterdir()}
    assert public.read_bytes() in planted, "the positive control"
    refused(home, "receipt 9 (reverified audited) is signed by none of the keys")


def test_attack_a_private_key_is_planted_in_a_home_whose_operator_signs(
    tmp_path: Path, operator: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What lies in `private/` is no key of a home that was given one from elsewhere."""
    record = published(tmp_path)
    private, _ = write_key(tmp_path, "stranger")
    (record.home / "private").mkdir()
    shutil.copy(private, record.home / "private" / "signing.pem")
    forged = told(unsigned(record.home), "PASS", [])
    with monkeypatch.context() as patch:
        patch.setenv("EXPUNGE_SIGNING_KEY", str(private))
        signing.keep(record.home, forged, signing.signed(record.home, forged))
    with pytest.raises(LedgerError, match="is signed by none of the keys"):
        journal(record.home, LINE).receipts()
    assert [key.keyid for key in trusted_keys(record.home)] == [public_key(operator).keyid]


def test_attack_all_signatures_are_removed_and_all_is_said_to_be_of_before_there_were_any(home: Path) -> None:
    Record(home).rewrite(lambda receipt: None)
    shutil.rmtree(home / "signatures")
    refused(home, "has no signature, and says that no version signed yet")


def test_attack_a_receipt_follows_another_than_the_one_before_it(home: Path) -> None:
    path = sorted((home / "receipts" / LINE).glob("*.json"))[-1]
    receipt = Receipt.model_validate_json(path.read_bytes())
    other = receipt.model_copy(update={"previous": "0" * 64})
    other = Receipt.model_validate(other.model_dump())
    path.unlink()
    next((home / "signatures" / LINE).glob("000008-*")).unlink()
    signing.keep(home, other, signing.signed(home, other))
    (path.parent / other.file_name).write_bytes(other.content)
    refused(home, f"{other.file_name}: does not follow the receipt before it")


def test_attack_the_receipt_of_a_failure_is_removed_and_its_signature_stays(home: Path) -> None:
    path = sorted((home / "receipts" / LINE).glob("*.json"))[-1]
    path.unlink()
    (home / "signatures" / LINE / f"{path.name}.{'0' * 32}.part").write_bytes(b"what a kill leaves is no signature")
    for command in ("status", "audit"):
        done = run_cli(command)
        assert (done.code, f"{path.name} is the signature of a receipt that is not there" in done.out) == (6, True)
    with pytest.raises(LedgerError, match="signature of a receipt that is not there"):
        next_check(journal(home, LINE), Settings(home, "", "", ""))
    with alone_on(LINE, home):
        assert path.exists(), "the next run puts it back from its signature"
    assert [row["state"] for row in states(home)] == ["suspect"]


def test_attack_a_signature_in_the_name_of_another_receipt_is_not_put_back(home: Path) -> None:
    folder = home / "signatures" / LINE
    last = sorted(folder.glob("*.json"))[-1]
    shutil.copy(last, folder / f"000009-{'0' * 64}.json")
    with alone_on(LINE, home):
        assert not list((home / "receipts" / LINE).glob("000009-*"))
    refused(home, f"000009-{'0' * 64}.json is the signature of a receipt that is not there")


def test_attack_a_whole_line_is_removed_and_its_signatures_stay(home: Path) -> None:
    shutil.rmtree(home / "receipts" / LINE)
    assert lines(home) == [LINE]
    assert run_cli("status").code == run_cli("audit").code == 6


def die_before_the_receipt(home: Path) -> None:
    Ledger._store = lambda *_: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[method-assign]
    told(journal(home, LINE), "PASS", [])


def test_a_kill_before_an_appended_receipt_is_stored_is_mended_by_the_next_run(home: Path) -> None:
    """SIGKILL in the very moment: the record is as if the run had been killed a moment later."""
    assert run((die_before_the_receipt, home)) == [-signal.SIGKILL]
    assert len(journal(home, LINE).receipts()) == 8
    with alone_on(LINE, home):
        pass
    assert [receipt.sequence for receipt in journal(home, LINE).receipts()] == list(range(1, 10))
    assert [row["state"] for row in states(home)] == ["published"]


def test_a_reader_without_the_private_key_names_the_public_one(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = Path(shutil.copy(next((home / "keys").iterdir()), tmp_path / "mine.pem"))
    shutil.rmtree(home / "private")
    assert run_cli("status").code == 6
    monkeypatch.setenv("EXPUNGE_TRUSTED_KEYS", str(mine))
    assert [row["state"] for row in states(home)] == ["suspect"]
    monkeypatch.setenv("EXPUNGE_TRUSTED_KEYS", f"{mine}:{tmp_path / 'none.pem'}")
    assert (run_cli("status").code, "none.pem is no public key" in run_cli("status").err) == (2, True)


def test_attack_a_copy_without_a_key_is_called_whole_though_nobody_can_tell_who_signed_it(home: Path) -> None:
    end = json.loads(run_cli("audit", "--json").out)["lines"][0]["head"]
    key = str(next((home / "keys").iterdir()))
    for words, missing in (
        (
            (),
            ["who signed it (--key)", f"end of {LINE} was cut off (--noted or --stored)", "what S3 serves (--stored)"],
        ),
        (("--key", key), [f"end of {LINE} was cut off", "what S3 serves"]),
        (("--key", key, "--noted", end), ["what S3 serves"]),
    ):
        done = run_cli("audit", *words)
        (line,) = (line for line in done.out.splitlines() if "WHOLE" in line)
        assert ", not checked: " in line
        assert all(what in line for what in missing), line
        assert line.endswith("; 3 states and verdicts of another version, which only that one comes to again")
        assert len(run_cli("audit", *words, "--json").data["unchecked"]) == len(missing) + 1


def test_attack_an_alias_would_be_set_by_an_unsigned_pass(home: Path) -> None:
    """MLflow hears of a line only what its receipts say, and these are not read at all."""
    from expunge.tasks.catch_up import catch_up

    told(unsigned(home), "PASS", [])
    with pytest.raises(LedgerError, match="has no signature"):
        catch_up(journal(home, LINE), Settings.of(home, {}, needed=()))
    assert not issubclass(LedgerError, IntegrityError), "no step may take it for a refusal and write on"
