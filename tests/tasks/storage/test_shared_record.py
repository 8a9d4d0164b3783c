"""The record in S3 as workers append to it, on the real server: one receipt a number, and no junk under a digest."""

from __future__ import annotations

import shutil
import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from expunge.canonical_json import canonical_json, sha256
from expunge.policies import desired_state, parse
from expunge.tasks.core.errors import IntegrityError, LedgerError, UsageError
from expunge.tasks.core.paths import DELTAS, STATE, work_folder
from expunge.tasks.core.settings import Settings
from expunge.tasks.ledger.ledger import Ledger
from expunge.tasks.ledger.policy_store import keep_policy
from expunge.tasks.ledger.receipt import Receipt
from expunge.tasks.ledger.recorder import journal
from expunge.tasks.ledger.signatures import signing
from expunge.tasks.ledger.state.database import FILE, Database
from expunge.tasks.ledger.state.leases import LeaseLost, lease_name, leased
from expunge.tasks.storage import s3
from expunge.tasks.storage.record.named import of_record, of_work
from expunge.tasks.storage.record.place import NUMBER, known_here
from expunge.tasks.storage.record.shared import RecordInS3
from tests.flows.conftest import policy_file
from tests.tasks.ledger.signatures.keys import write_key
from tests.tasks.records import LINE, WORK

pytestmark = pytest.mark.usefixtures("operator")
NOTHING: dict[str, Any] = {"inputs": {}, "outputs": {}}


@pytest.fixture
def settings(stack: Settings, tmp_path: Path) -> Settings:
    """A home and a bucket of its own."""
    bucket = f"slots-{uuid.uuid4().hex}"
    s3.client(stack).create_bucket(Bucket=bucket)
    return replace(stack, home=tmp_path / "home", bucket=bucket)


@pytest.fixture
def other(settings: Settings, tmp_path: Path) -> Settings:
    """A second machine that shares nothing but the bucket."""
    return replace(settings, home=tmp_path / "other")


class Racing(RecordInS3):
    """A record whose writers claim a slot at the same moment."""

    barrier: threading.Barrier

    def claim(self, receipt: Receipt, envelope: bytes) -> None:
        self.barrier.wait(20)
        super().claim(receipt, envelope)


def ledger(settings: Settings, record: RecordInS3 | None = None) -> Ledger:
    return journal(settings.home, LINE, record=record or RecordInS3.own(settings))


def append(settings: Settings, who: str = "x", step: str = "read", **named: dict[str, str]) -> Receipt:
    told: dict[str, Any] = {"inputs": {}, "outputs": {}, **named}
    return ledger(settings).append(step, request_id="r", who=who, settings={"work": WORK}, **told)


def fetched(settings: Settings) -> list[Receipt]:
    found = RecordInS3.found(settings)
    assert found is not None
    found.fetch()
    return journal(settings.home, LINE).receipts()


def put(settings: Settings, name: str, content: bytes) -> None:
    """Write into the record's place as somebody does who has the keys of S3."""
    key = f"record/{known_here(settings.home)}/{name}"
    s3.client(settings).put_object(Bucket=settings.bucket, Key=key, Body=content)


def lose(home: Path) -> None:
    shutil.rmtree(home)


def attempt(work: Callable[[], Receipt]) -> Receipt | LeaseLost:
    try:
        return work()
    except LeaseLost as error:
        return error


def test_attack_two_workers_with_lost_databases_race_for_one_number(settings: Settings, other: Settings) -> None:
    append(settings)
    assert len(fetched(other)) == 1
    (settings.home / FILE).unlink()
    Racing.barrier = threading.Barrier(2)
    racers = [ledger(each, Racing.own(each)) for each in (settings, other)]
    with ThreadPoolExecutor(2) as pool:
        runs = [
            pool.submit(attempt, lambda one=one, who=who: one.append("planned", request_id="r", who=who, **NOTHING))
            for who, one in zip("ab", racers, strict=True)
        ]
        ends = [run.result() for run in runs]
    assert sorted(type(end).__name__ for end in ends) == ["LeaseLost", "Receipt"]
    (winner,) = [end for end in ends if isinstance(end, Receipt)]
    assert [fetched(each)[1:] for each in (settings, other)] == [[winner], [winner]]
    later = [append(each, who) for who, each in (("a", settings), ("b", other))]
    assert [one.sequence for one in later] == [3, 4]
    assert fetched(settings) == fetched(other)


def test_one_of_many_writers_wins_a_slot(settings: Settings) -> None:
    record, barrier = RecordInS3.own(settings), threading.Barrier(8)
    receipts = [append_alone(settings, str(number)) for number in range(8)]

    def claim(receipt: Receipt) -> bool:
        barrier.wait(20)
        try:
            record.claim(receipt, signing.signed(settings.home, receipt))
        except LeaseLost:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        won = [receipt for receipt, wins in zip(receipts, pool.map(claim, receipts), strict=True) if wins]
    assert len(won) == 1
    slot = record.slot(LINE, 1)
    assert slot is not None
    assert signing.opened(slot, signing.signing_key(settings.home)) == won[0]
    record.claim(won[0], slot)  # whoever was cut off before the answer claims it again


def append_alone(settings: Settings, who: str) -> Receipt:
    """Return the first receipt of a home that knows of no other place."""
    return journal(settings.home.parent / f"alone-{who}", LINE).append("read", request_id="r", who=who, **NOTHING)


def test_attack_a_worker_whose_database_was_lost_comes_back_late(settings: Settings, other: Settings) -> None:
    """Its lease is older than the last receipt, so the fence of the pointer is above it."""
    append(settings)
    with leased(Database.of(settings.home), lease_name(LINE)):
        late = ledger(settings)
        fetched(other)
        append(other, "b")
        with pytest.raises(LeaseLost, match="was refused: other work took over"):
            late.append("planned", request_id="r", who="late", **NOTHING)
    assert [one.who for one in fetched(settings)] == ["x", "b"]
    assert append(settings, "a").sequence == 3


def test_a_receipt_that_the_database_alone_has_is_put_into_its_slot(
    settings: Settings, other: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    append(settings)
    with monkeypatch.context() as cut:
        cut.setattr(RecordInS3, "claim", killed)
        with pytest.raises(KeyboardInterrupt):
            append(settings, step="planned")
    assert [one.step for one in fetched(other)] == ["read"]
    ledger(settings).finish()
    assert [one.step for one in fetched(other)] == ["read", "planned"]


def killed(*_: object) -> None:
    raise KeyboardInterrupt


def test_a_home_that_was_deleted_has_its_record_again(settings: Settings, tmp_path: Path) -> None:
    data = policy_file(tmp_path, "cd" * 32, "kept").read_bytes()
    policy = parse(data, "kept")
    keep_policy(settings.home, policy.digest, data)
    receipts = [append(settings, inputs={"policy": policy.digest}), append(settings, step="planned")]
    lose(settings.home)
    assert fetched(settings) == receipts
    assert (settings.home / "policies" / f"{policy.digest}.yaml").read_bytes() == data
    assert append(settings).sequence == 3


def test_what_a_work_left_is_fetched_by_its_receipts(settings: Settings, tmp_path: Path) -> None:
    receipt, contents = worked(settings, tmp_path)
    lose(settings.home)
    record = RecordInS3.found(settings)
    assert record is not None
    record.fetch_work(receipt)
    assert {path.name: path.read_bytes() for path in work_folder(settings.home, WORK).iterdir()} == contents


def worked(settings: Settings, tmp_path: Path) -> tuple[Receipt, dict[str, bytes]]:
    """Return a receipt that names a state and a plan, and both files by their names."""
    state = desired_state([parse(policy_file(tmp_path, "cd" * 32, "kept").read_bytes(), "kept")])
    contents = {STATE: canonical_json(state.model_dump(mode="json")), DELTAS: b"deltas"}
    (folder := work_folder(settings.home, WORK)).mkdir(parents=True)
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    named: dict[str, Any] = {"inputs": {"state": state.digest}, "outputs": {"plan": sha256(b"deltas")}}
    return append(settings, step="planned", **named), contents


@pytest.mark.parametrize("kind", ["states", "files"])
def test_attack_junk_under_the_digest_of_a_works_file(kind: str, settings: Settings, tmp_path: Path) -> None:
    receipt, _ = worked(settings, tmp_path)
    lose(settings.home)
    record = RecordInS3.own(settings)
    (one,) = [one for one in of_work(settings.home, receipt) if one.key.startswith(kind)]
    put(settings, one.key, b"junk")
    with pytest.raises(IntegrityError, match=f"{one.key} is not what its name says"):
        record.fetch_work(receipt)
    assert not one.path.exists()
    assert not list(one.path.parent.glob("*.part"))


@pytest.mark.parametrize("junk", [b"junk", b"", b"a: b: c"])
def test_attack_junk_under_the_digest_of_a_policy(junk: bytes, settings: Settings, tmp_path: Path) -> None:
    data = policy_file(tmp_path, "cd" * 32, "kept").read_bytes()
    policy = parse(data, "kept")
    keep_policy(settings.home, policy.digest, data)
    receipt = append(settings, inputs={"policy": policy.digest})
    (one,) = of_record(settings.home, receipt)
    lose(settings.home)
    number = found_number(settings)
    s3.client(settings).put_object(Bucket=settings.bucket, Key=f"record/{number}/{one.key}", Body=junk)
    with pytest.raises(IntegrityError, match="is not what its name says"):
        fetched(settings)
    assert not one.path.exists()


def found_number(settings: Settings) -> str:
    (number,) = s3.folders_under(s3.client(settings), settings.bucket, "record/")
    return number


def test_attack_junk_lies_there_before_the_receipt_is_written(settings: Settings, tmp_path: Path) -> None:
    """A receipt whose policy nobody could fetch would be on record."""
    RecordInS3.own(settings)
    data = policy_file(tmp_path, "cd" * 32, "kept").read_bytes()
    policy = parse(data, "kept")
    keep_policy(settings.home, policy.digest, data)
    put(settings, f"policies/{policy.digest}.yaml", b"junk")
    with pytest.raises(IntegrityError, match="is not what its name says"):
        append(settings, inputs={"policy": policy.digest})
    assert journal(settings.home, LINE).receipts() == []
    assert RecordInS3.own(settings).slot(LINE, 1) is None


@pytest.mark.parametrize("who", ["a stranger", "nobody", "another number", "another line"])
def test_attack_a_slot_that_holds_no_receipt_of_its_number(
    who: str, settings: Settings, other: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    append(settings)
    forged = append_alone(settings, "forger")
    if who == "a stranger":
        with monkeypatch.context() as stranger:
            stranger.setenv("EXPUNGE_SIGNING_KEY", str(write_key(tmp_path, "stranger")[0]))
            envelope = signing.signed(tmp_path / "stranger", forged.model_copy(update={"sequence": 2}))
    else:
        changed = {"another number": {"sequence": 7}, "another line": {"line": "other-0", "sequence": 2}}
        receipt = Receipt.model_validate({**forged.model_dump(), **changed.get(who, {})})
        envelope = b"{}" if who == "nobody" else signing.signed(settings.home, receipt)
    put(settings, f"heads/{LINE}/000002", envelope)
    with pytest.raises(LedgerError, match=f"number 2 of {LINE} in S3"):
        fetched(other)
    with pytest.raises(LedgerError, match=f"number 2 of {LINE} in S3"):
        append(settings)


def test_attack_a_record_of_somebody_else_is_not_taken_for_ours(
    settings: Settings, other: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as stranger:
        stranger.setenv("EXPUNGE_SIGNING_KEY", str(write_key(tmp_path, "stranger")[0]))
        append(settings)
    assert RecordInS3.found(other) is None
    append(other)
    assert known_here(other.home) != known_here(settings.home)
    lose(other.home)
    assert [one.who for one in fetched(other)] == ["x"]


def test_two_records_of_ours_are_never_guessed_between(settings: Settings, other: Settings, tmp_path: Path) -> None:
    append(settings)
    other.home.mkdir()
    (other.home / NUMBER).write_text("ab" * 16)
    append(other, "b")
    third = replace(settings, home=tmp_path / "third")
    with pytest.raises(UsageError, match="2 records that our key signed"):
        RecordInS3.own(third)
    third.home.mkdir(exist_ok=True)
    (third.home / NUMBER).write_text("ab" * 16)
    assert [one.who for one in fetched(third)] == ["b"]


@pytest.mark.parametrize("number", ["../other", "", "AB" * 16])
def test_a_number_that_is_none_is_refused(number: str, settings: Settings) -> None:
    settings.home.mkdir()
    (settings.home / NUMBER).write_text(number)
    with pytest.raises(UsageError, match="is no number of a record"):
        RecordInS3.own(settings)


def test_a_home_and_a_database_of_different_records_do_not_go_together(settings: Settings, other: Settings) -> None:
    RecordInS3.own(settings)
    (settings.home / NUMBER).write_text("ab" * 16)
    with pytest.raises(UsageError, match="is a home of the record"):
        RecordInS3.own(settings)
