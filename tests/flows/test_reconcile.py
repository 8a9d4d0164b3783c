"""Reconcile on real servers: what is repaired, and what is refused and said, for a line on which one bundle is out."""

from __future__ import annotations

import shutil
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from mlflow import MlflowClient
from prefect.client.orchestration import get_client
from prefect.states import Running
from sqlalchemy import insert, select, update

from expunge.canonical_json import canonical_json, sha256
from expunge.flows.reconcile import Unreconciled, reconcile, reconcile_all
from expunge.tasks.core.errors import NothingOnRecord
from expunge.tasks.core.paths import EVIDENCE, work_folder
from expunge.tasks.core.settings import Settings
from expunge.tasks.ledger.ledger import Ledger
from expunge.tasks.ledger.queries import publications
from expunge.tasks.ledger.receipt import Step, of_step
from expunge.tasks.ledger.recorder import journal
from expunge.tasks.ledger.state.database import FILE, Database
from expunge.tasks.ledger.state.leases import acquire, lease_name, leased, release
from expunge.tasks.ledger.state.tables import LINES, REQUESTS
from expunge.tasks.reconcile import orphans, runs
from expunge.tasks.storage import s3
from expunge.tasks.storage.bundle_store import bundle_uri, publish_bundle
from expunge.tasks.storage.pointer import approved, pointer_key
from expunge.tasks.storage.record.place import known_here
from expunge.tasks.storage.record.shared import RecordInS3
from expunge.tasks.tracking.abandoned_runs import mark_of
from expunge.tasks.tracking.registry import is_registered, withdraw
from expunge.tasks.tracking.runs import recorded_run
from tests.flows.conftest import run_cli
from tests.flows.lines import reset

JUNK = "ee" * 32


def outcomes(settings: Settings, dry: bool = False) -> list[tuple[str, str]]:
    """What is found, as place and what was done."""
    return [(row["place"], row["done"]) for row in reconcile(settings, dry)["findings"]]


def words(settings: Settings, dry: bool = False) -> str:
    return "\n".join(row["what"] + " " + row["where"] for row in reconcile(settings, dry)["findings"])


def place(settings: Settings) -> str:
    return f"record/{known_here(settings.home)}/"


def put(settings: Settings, key: str, content: bytes = b"junk") -> str:
    """Write as somebody does who has the keys of S3."""
    s3.client(settings).put_object(Bucket=settings.bucket, Key=key, Body=content)
    return key


def remove(settings: Settings, key: str) -> str:
    s3.client(settings).delete_object(Bucket=settings.bucket, Key=key)
    return key


def there(settings: Settings, key: str) -> bool:
    return s3.is_there(s3.client(settings), settings.bucket, key)


def everything(settings: Settings) -> dict[str, str]:
    """The objects of the bucket by key, each with what S3 says of its content."""
    pages = s3.client(settings).get_paginator("list_objects_v2").paginate(Bucket=settings.bucket)
    return {entry["Key"]: entry["ETag"] for page in pages for entry in page.get("Contents", ())}


@pytest.fixture
def sound(line: Settings, name: str, kept: Path) -> Settings:
    """The line as it was after its publication, and nothing else in the bucket."""
    reset(line, name, kept)
    return line


@pytest.fixture
def at_once(sound: Settings) -> Settings:
    """The line, where an orphan is old enough as soon as it is there."""
    return replace(sound, orphan_days=0)


@pytest.fixture
def published(sound: Settings, name: str) -> Any:
    return publications(sound.home, name)[-1]


def test_a_line_on_which_all_is_well_has_no_findings_and_no_object_too_many(at_once: Settings, name: str) -> None:
    before = everything(at_once)
    assert reconcile(at_once) == {"lines": [name], "findings": [], "dry": False, "exit_code": 0}
    assert everything(at_once) == before


def test_a_home_without_a_record_is_told_so(stack: Settings, tmp_path: Path) -> None:
    empty = replace(stack, home=tmp_path / "home", bucket=f"empty-{uuid.uuid4().hex}")
    s3.client(stack).create_bucket(Bucket=empty.bucket)
    with pytest.raises(NothingOnRecord, match="no record that a key of this home signed"):
        reconcile(empty)


# the database


def test_a_lost_database_is_written_from_the_receipts(sound: Settings, name: str) -> None:
    (sound.home / FILE).unlink()
    assert outcomes(sound, dry=True) == [("database", "can be repaired")]
    assert outcomes(sound) == [("database", "repaired")]
    assert outcomes(sound) == []


def test_attack_a_state_in_the_database_is_not_believed(sound: Settings, name: str) -> None:
    with Database.of(sound.home).transaction() as connection:
        connection.execute(update(REQUESTS).values(state="rejected"))
    assert "requests" in words(sound, dry=True)
    assert outcomes(sound) == [("database", "repaired")]
    with Database.of(sound.home).transaction() as connection:
        assert list(connection.execute(select(REQUESTS.c.state)).scalars()) == ["published"]


def test_attack_a_line_in_the_database_that_nobody_signed_goes(sound: Settings, name: str) -> None:
    forged = {"id": "forged-000000000000", "base": None, "head": JUNK, "sequence": 3, "envelope": b"{}"}
    with Database.of(sound.home).transaction() as connection:
        connection.execute(insert(LINES).values(**forged))
    assert outcomes(sound) == [("database", "repaired")]
    with Database.of(sound.home).transaction() as connection:
        assert list(connection.execute(select(LINES.c.id)).scalars()) == [name]


def test_a_receipt_that_the_database_alone_has_is_put_on_record(sound: Settings, name: str) -> None:
    """A worker was killed after it moved the head."""
    last = journal(sound.home, name).receipts()[-1]
    for folder in ("receipts", "signatures"):
        (sound.home / folder / name / last.file_name).unlink()
    remove(sound, place(sound) + RecordInS3.slot_name(name, last.sequence))
    assert outcomes(sound) == [("database", "repaired")]
    assert journal(sound.home, name).receipts()[-1] == last
    assert there(sound, place(sound) + RecordInS3.slot_name(name, last.sequence))


# the record in S3


def test_a_slot_that_was_never_written_is_written_from_the_home(sound: Settings, name: str) -> None:
    slot = remove(sound, place(sound) + RecordInS3.slot_name(name, 3))
    assert outcomes(sound, dry=True) == [("S3", "can be repaired")]
    assert not there(sound, slot)
    assert outcomes(sound) == [("S3", "repaired")]
    assert there(sound, slot)


def test_attack_a_slot_that_was_written_over_is_left_to_people(sound: Settings, name: str) -> None:
    slot = put(sound, place(sound) + RecordInS3.slot_name(name, 3))
    other = remove(sound, place(sound) + RecordInS3.slot_name(name, 4))
    assert outcomes(sound) == [("S3", "left to people")]
    assert not there(sound, other), "where the record may have forked nothing is written"
    assert s3.read(s3.client(sound), sound.bucket, slot) == b"junk"


def test_attack_a_receipt_that_was_removed_everywhere_is_not_made_up(sound: Settings, name: str) -> None:
    chain = journal(sound.home, name).receipts()
    for folder in ("receipts", "signatures"):
        (sound.home / folder / name / chain[3].file_name).unlink()
    remove(sound, place(sound) + RecordInS3.slot_name(name, 4))
    before = everything(sound)
    found = reconcile(replace(sound, orphan_days=0))
    assert {row["done"] for row in found["findings"]} == {"left to people"}
    assert found["exit_code"] == 6
    assert everything(sound) == before


def test_attack_the_last_receipts_were_removed_and_a_slot_after_them_is_left(sound: Settings, name: str) -> None:
    last = journal(sound.home, name).receipts()[-1]
    put(sound, place(sound) + RecordInS3.slot_name(name, last.sequence + 2))
    assert outcomes(sound) == [("S3", "left to people")]
    assert "receipts were removed" in words(sound)


# what receipts name


def test_what_a_receipt_names_is_stored_again_where_the_home_has_it(sound: Settings, name: str, published: Any) -> None:
    key = remove(sound, f"{place(sound)}files/{published.inputs['verdict']}")
    bundle = remove(sound, f"bundles/{published.outputs['bundle']}/README.md")
    assert outcomes(sound, dry=True) == [("S3", "can be repaired")] * 2
    assert outcomes(sound) == [("S3", "repaired")] * 2
    assert there(sound, key)
    assert there(sound, bundle)


def test_what_is_lost_in_all_places_is_left_to_people(sound: Settings, name: str, published: Any) -> None:
    remove(sound, f"{place(sound)}files/{published.inputs['verdict']}")
    (work_folder(sound.home, published.work) / "verdict.json").unlink()
    assert outcomes(sound, dry=True) == [("S3", "left to people")]
    found = reconcile(sound)
    assert ("S3", "left to people") in [(row["place"], row["done"]) for row in found["findings"]]
    assert found["exit_code"] == 6


def test_attack_the_home_has_another_file_by_that_name(sound: Settings, name: str, published: Any) -> None:
    key = remove(sound, f"{place(sound)}files/{published.inputs['verdict']}")
    (work_folder(sound.home, published.work) / "verdict.json").write_bytes(b"{}")
    assert outcomes(sound, dry=True) == [("S3", "left to people")]
    assert not there(sound, key)


@pytest.mark.parametrize("kind", ["policies/{policy}.yaml", "files/{verdict}", "states/{state}.json"])
def test_attack_what_a_receipt_names_was_exchanged(sound: Settings, published: Any, kind: str) -> None:
    put(sound, place(sound) + kind.format(**published.inputs), b"something else")
    assert outcomes(sound) == [("S3", "left to people")]
    assert "is not what its name says" in words(sound)


def test_attack_the_manifest_of_a_bundle_was_exchanged(sound: Settings, published: Any) -> None:
    put(sound, f"bundles/{published.outputs['bundle']}/manifest.json", b"{}")
    found = reconcile(replace(sound, orphan_days=0))
    assert found["exit_code"] == 6
    assert "is not what its name says" in words(sound)


# the pointer


def test_attack_a_pointer_that_says_something_else_is_left_to_people(sound: Settings, name: str) -> None:
    key = put(sound, pointer_key(name), canonical_json({"bundle": JUNK, "line": name}))
    assert outcomes(sound) == [("S3", "left to people")]
    assert approved(name, sound) == JUNK, f"{key} is moved by a publication alone"


def test_attack_a_pointer_of_a_line_that_nobody_knows(sound: Settings) -> None:
    put(sound, pointer_key("other-aaaaaaaaaaaa"), canonical_json({"bundle": JUNK, "line": "other-aaaaaaaaaaaa"}))
    assert outcomes(sound) == [("S3", "left to people")]


def test_a_line_that_was_only_taken_over_is_no_finding(sound: Settings) -> None:
    fence = {"bundle": None, "line": "other-aaaaaaaaaaaa", "fencing_token": 7}
    put(sound, pointer_key("other-aaaaaaaaaaaa"), canonical_json(fence))
    assert outcomes(sound) == []


# MLflow


def test_a_publication_that_mlflow_never_heard_of_is_entered(sound: Settings, name: str, published: Any) -> None:
    run = recorded_run(sound, published.digest)
    assert run is not None
    MlflowClient(sound.mlflow_tracking_uri).delete_run(run)
    assert outcomes(sound, dry=True) == [("MLflow", "can be repaired")]
    assert recorded_run(sound, published.digest) is None
    assert outcomes(sound) == [("MLflow", "repaired")]
    assert recorded_run(sound, published.digest) not in (None, run)
    assert is_registered(sound, name, bundle_uri(published.outputs["bundle"], sound))


def test_an_alias_that_is_missing_is_set(sound: Settings, name: str, published: Any) -> None:
    withdraw(sound, name)
    assert outcomes(sound) == [("MLflow", "repaired")]
    assert is_registered(sound, name, bundle_uri(published.outputs["bundle"], sound))


def test_attack_what_mlflow_shows_was_written_by_somebody_else(sound: Settings, published: Any) -> None:
    client = MlflowClient(sound.mlflow_tracking_uri)
    run = recorded_run(sound, published.digest)
    assert run is not None
    client.set_tag(run, "expunge.verdict", "FAIL")
    assert outcomes(sound) == [("MLflow", "left to people")]
    client.delete_run(run)
    assert outcomes(sound) == [("MLflow", "repaired")], "the cure"


def test_a_run_in_mlflow_that_a_killed_worker_left_is_ended(sound: Settings, published: Any) -> None:
    client = MlflowClient(sound.mlflow_tracking_uri)
    experiment = client.get_experiment_by_name("takedowns")
    assert experiment is not None
    ours, others = (
        client.create_run(experiment.experiment_id, tags={"expunge.receipt": receipt}).info.run_id
        for receipt in (published.digest, JUNK)
    )
    assert outcomes(sound) == [("MLflow", "repaired")]
    assert [client.get_run(run).info.status for run in (ours, others)] == ["KILLED", "RUNNING"]
    client.delete_run(ours)
    client.delete_run(others)


def test_without_mlflow_all_else_is_repaired(sound: Settings, name: str) -> None:
    slot = remove(sound, place(sound) + RecordInS3.slot_name(name, 3))
    found = reconcile(replace(sound, mlflow_tracking_uri="http://127.0.0.1:9"))
    assert [(row["place"], row["done"]) for row in found["findings"]] == [
        ("MLflow", "not looked at"),
        ("S3", "repaired"),
    ]
    assert found["exit_code"] == 8
    assert there(sound, slot)


# Prefect


@pytest.fixture
def running(sound: Settings, name: str) -> Iterator[Callable[..., Any]]:
    """Make a run with these tags that Prefect takes for running."""
    made = []

    def make(*tags: str) -> Any:
        with get_client(sync_client=True) as client:
            run = client.create_flow_run(reconcile_all, tags=tags)
            client.set_flow_run_state(run.id, Running(), force=True)
        made.append(run.id)
        return run.id

    yield make
    with get_client(sync_client=True) as client:
        for run in made:
            client.delete_flow_run(run)


def state_of(run: Any) -> str:
    with get_client(sync_client=True) as client:
        state = client.read_flow_run(run).state
    assert state is not None
    return state.name or ""


def test_a_run_whose_process_was_killed_is_closed(
    sound: Settings, name: str, running: Callable[..., Any], tmp_path: Path
) -> None:
    ours, others = running(mark_of(name, sound.home)), running(mark_of(name, tmp_path))
    assert outcomes(sound, dry=True) == [("Prefect", "can be repaired")]
    assert state_of(ours) == "Running"
    assert outcomes(sound) == [("Prefect", "repaired")]
    assert (state_of(ours), state_of(others)) == ("Crashed", "Running")


def test_a_run_that_is_just_about_to_say_its_end_is_not_closed(
    sound: Settings, name: str, running: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from prefect.states import Completed

    run, waited = running(mark_of(name, sound.home)), list[float]()

    def end(seconds: float) -> None:
        waited.append(seconds)
        with get_client(sync_client=True) as client:
            client.set_flow_run_state(run, Completed(), force=True)

    monkeypatch.setattr(runs, "time", SimpleNamespace(sleep=end))
    assert outcomes(sound) == []
    assert waited == [runs.SETTLED]
    assert state_of(run) == "Completed"


def test_a_run_on_a_worker_whose_process_is_dead_is_closed(sound: Settings, running: Callable[..., Any]) -> None:
    from expunge.tasks.ledger.state.holders import new_holder

    alive = new_holder()
    machine, _, rest = alive.partition(":")
    dead = f"{machine}:{2**22 + 1}:{rest.split(':', 1)[1]}"
    made = [running(f"expunge-process:{holder}") for holder in (dead, alive, f"other-{dead}", "nonsense")]
    assert outcomes(sound) == [("Prefect", "repaired")]
    assert [state_of(run) for run in made] == ["Crashed", "Running", "Running", "Running"]


# orphans


@pytest.mark.parametrize(
    "key", ["{place}files/" + JUNK, "{place}states/" + JUNK + ".json", "bundles/" + JUNK + "/model/weights"]
)
def test_an_orphan_that_is_old_enough_is_deleted(at_once: Settings, key: str) -> None:
    before, orphan = everything(at_once), put(at_once, key.format(place=place(at_once)))
    assert outcomes(at_once, dry=True) == [("S3", "can be repaired")]
    assert there(at_once, orphan)
    assert outcomes(at_once) == [("S3", "repaired")]
    assert everything(at_once) == before


def test_a_young_orphan_may_be_somebodys_work(sound: Settings) -> None:
    orphan = put(sound, f"bundles/{JUNK}/manifest.json")
    found = reconcile(sound)
    assert [(row["place"], row["done"]) for row in found["findings"]] == [("S3", "waits")]
    assert found["exit_code"] == 0
    assert there(sound, orphan)


def test_an_orphan_of_a_week_ago_is_old_by_the_clock_of_s3(sound: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    from datetime import UTC, datetime, timedelta

    orphan = put(sound, f"bundles/{JUNK}/manifest.json")
    now = datetime.now(UTC)
    monkeypatch.setattr(s3, "clock", lambda *_: now + timedelta(days=6.9))
    assert outcomes(sound) == [("S3", "waits")]
    monkeypatch.setattr(s3, "clock", lambda *_: now + timedelta(days=7.1))
    assert outcomes(sound) == [("S3", "repaired")]
    assert not there(sound, orphan)


def test_attack_the_clock_of_this_machine_runs_ahead(sound: Settings) -> None:
    from datetime import UTC, datetime, timedelta
    from unittest.mock import patch

    orphan = put(sound, f"bundles/{JUNK}/manifest.json")
    with patch.object(s3, "datetime", wraps=datetime) as ahead:
        ahead.now.return_value = datetime.now(UTC) + timedelta(days=30)
        assert orphans._by_age({orphan: datetime.now(UTC)}, _look(sound)) == ([], [orphan])


def _look(settings: Settings) -> Any:
    from expunge.tasks.reconcile.look import Look

    return Look(settings, RecordInS3.own(settings))


def test_attack_an_orphan_that_looks_as_if_it_was_named(at_once: Settings, name: str, published: Any) -> None:
    """Its name has the digest of something that is on record: of another kind, or of the bundle that it lies beside."""
    before = everything(at_once)
    put(at_once, f"{place(at_once)}files/{published.inputs['policy']}")
    put(at_once, f"{place(at_once)}states/{published.inputs['verdict']}.json")
    put(at_once, f"bundles/{published.outputs['bundle']}/model/unet/more.bin")
    put(at_once, f"bundles/{published.inputs['verdict']}/manifest.json")
    assert outcomes(at_once) == [("S3", "repaired")] * 4
    assert everything(at_once) == before


def test_attack_a_receipt_without_a_signature_names_an_orphan(at_once: Settings, name: str, published: Any) -> None:
    """Where a chain does not hold nobody can tell what is named, so nothing is deleted at all."""
    orphan = put(at_once, f"bundles/{JUNK}/manifest.json")
    Ledger(at_once.home / "receipts", name).append(
        "bundled", request_id="forged", who="x", inputs={}, outputs={"bundle": JUNK}
    )
    found = reconcile(at_once)
    assert {row["done"] for row in found["findings"]} == {"left to people"}
    assert found["exit_code"] == 6
    assert there(at_once, orphan)


def test_an_object_that_a_receipt_of_another_line_names_stays(at_once: Settings, name: str) -> None:
    """A line of the same record, on another base."""
    content = b"a plan of another line"
    (folder := work_folder(at_once.home, "cd" * 32)).mkdir(parents=True)
    (folder / "deltas.safetensors").write_bytes(content)
    other = journal(at_once.home, "other-bbbbbbbbbbbb", record=RecordInS3.own(at_once))
    named = {"inputs": {}, "outputs": {"plan": sha256(content)}, "settings": {"work": "cd" * 32}}
    other.append("planned", request_id="other", who="x", **named)
    assert outcomes(at_once) == []
    assert there(at_once, f"{place(at_once)}files/{sha256(content)}")


@pytest.mark.parametrize("known_by", ["the head in the database", "the pointer in S3"])
def test_attack_the_receipts_of_a_line_were_removed_so_that_its_files_go(
    at_once: Settings, name: str, known_by: str
) -> None:
    """Another line of the record holds. What the lost line names must not be taken for an orphan."""
    other = journal(at_once.home, "other-bbbbbbbbbbbb", record=RecordInS3.own(at_once))
    other.append("planned", request_id="other", who="x", inputs={}, outputs={}, settings={"work": "cd" * 32})
    for receipt in journal(at_once.home, name).receipts():
        remove(at_once, place(at_once) + RecordInS3.slot_name(name, receipt.sequence))
    for folder in ("receipts", "signatures"):
        shutil.rmtree(at_once.home / folder / name)
    if known_by == "the pointer in S3":
        (at_once.home / FILE).unlink()
    before = everything(at_once)
    found = reconcile(at_once)
    assert found["exit_code"] == 6
    assert everything(at_once).keys() >= before.keys()
    assert "files stay" in "\n".join(row["what"] for row in found["findings"])


def test_a_bundle_of_another_record_in_the_bucket_stays(at_once: Settings, name: str, tmp_path: Path) -> None:
    """Its receipts are signed by a key that nobody here trusts, and keep what they name all the same."""
    other = replace(at_once, home=tmp_path / "other")
    named = journal(other.home, "other-bbbbbbbbbbbb", record=RecordInS3(other, f"record/{'ab' * 16}/"))
    named.append("bundled", request_id="other", who="x", inputs={}, outputs={"bundle": JUNK}, settings={"work": "w"})
    bundle = put(at_once, f"bundles/{JUNK}/manifest.json")
    orphan = put(at_once, f"bundles/{'dd' * 32}/manifest.json")
    assert outcomes(at_once) == [("S3", "repaired")]
    assert (there(at_once, bundle), there(at_once, orphan)) == (True, False)
    assert there(at_once, f"record/{'ab' * 16}/heads/other-bbbbbbbbbbbb/000001")


def test_attack_a_receipt_of_another_record_that_nobody_can_read(at_once: Settings) -> None:
    put(at_once, f"record/{'ab' * 16}/heads/other-bbbbbbbbbbbb/000001", b"no receipt")
    orphan = put(at_once, f"bundles/{JUNK}/manifest.json")
    assert outcomes(at_once) == [("S3", "left to people")]
    assert there(at_once, orphan)


def test_a_bundle_that_somebody_vouched_for_is_left_to_people(at_once: Settings) -> None:
    bundle, voucher = (put(at_once, f"bundles/{JUNK}/{name}") for name in ("manifest.json", "published.json"))
    assert outcomes(at_once) == [("S3", "left to people")]
    assert there(at_once, bundle)
    assert there(at_once, voucher)


def test_a_bundle_that_a_pointer_names_is_left_to_people(at_once: Settings) -> None:
    bundle = put(at_once, f"bundles/{JUNK}/manifest.json")
    put(at_once, pointer_key("other-aaaaaaaaaaaa"), canonical_json({"bundle": JUNK, "line": "other-aaaaaaaaaaaa"}))
    assert set(outcomes(at_once)) == {("S3", "left to people")}
    assert there(at_once, bundle)


@pytest.mark.parametrize(
    "name_of", ["policies/{}.yaml", "notices/{}.json", "decisions/{}.json", "floors/{}.yaml", "x/{}"]
)
def test_what_people_wrote_and_no_receipt_names_is_left_to_people(at_once: Settings, name_of: str) -> None:
    key = put(at_once, place(at_once) + name_of.format(JUNK))
    assert outcomes(at_once) == [("S3", "left to people")]
    assert there(at_once, key)


def test_what_is_not_of_a_record_is_no_matter_of_ours(at_once: Settings) -> None:
    for key in ("pictures/a.png", "models/files/x", "handed-in/x", "results/x/1.json", "somebody/else"):
        put(at_once, key)
    before = everything(at_once)
    assert outcomes(at_once) == []
    assert everything(at_once) == before


def test_what_a_lock_keeps_stays(stack: Settings, at_once: Settings) -> None:
    from datetime import UTC, datetime, timedelta

    locked = replace(at_once, bucket=f"locked-{uuid.uuid4().hex}")
    client = s3.client(locked)
    client.create_bucket(Bucket=locked.bucket, ObjectLockEnabledForBucket=True)
    until = datetime.now(UTC) + timedelta(days=1)
    key = f"bundles/{JUNK}/manifest.json"
    client.put_object(
        Bucket=locked.bucket, Key=key, Body=b"x", ObjectLockMode="GOVERNANCE", ObjectLockRetainUntilDate=until
    )
    found = orphans._removed([key], orphans._heads(_look(locked)), [], False, _look(locked))
    assert [one.done for one in found] == ["waits"]
    assert there(locked, key)


def test_while_any_line_is_held_no_orphan_is_deleted(at_once: Settings, name: str) -> None:
    """A run of that line may have found what an earlier run had stored, and not have its receipt yet."""
    orphan = put(at_once, f"bundles/{JUNK}/manifest.json")
    with leased(Database.of(at_once.home), "cccccccccccc"):
        assert outcomes(at_once) == [("S3", "waits")]
    assert there(at_once, orphan)
    assert outcomes(at_once) == [("S3", "repaired")]


def test_attack_a_run_begins_and_ends_between_the_look_and_the_deletion(
    at_once: Settings, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It finds an old bundle there, as it did itself make before it was killed, and names it."""
    bundle = put(at_once, f"bundles/{JUNK}/manifest.json")
    look = s3.is_withheld

    def meanwhile(*words: Any) -> bool:
        record = RecordInS3.own(at_once)
        named: dict[str, Any] = {"inputs": {}, "outputs": {"bundle": JUNK}, "settings": {"work": "w"}}
        journal(at_once.home, name, record=record).append("bundled", request_id="late", who="x", **named)
        return look(*words)

    monkeypatch.setattr(s3, "is_withheld", meanwhile)
    assert outcomes(at_once) == [("S3", "waits")]
    assert there(at_once, bundle)


def test_attack_nobody_takes_a_line_while_orphans_go(
    at_once: Settings, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    orphan = put(at_once, f"bundles/{JUNK}/manifest.json")
    remove, taken = s3.remove, threading.Event()
    database = Database.of(at_once.home)

    def take() -> None:
        lease = None
        while lease is None:
            lease = acquire(database, lease_name(name))
        taken.set()
        release(database, lease)

    taker = threading.Thread(target=take)

    def slowly(*words: Any) -> dict[str, str]:
        taker.start()
        assert not taken.wait(1), "it begins when all is deleted"
        return remove(*words)

    monkeypatch.setattr(s3, "remove", slowly)
    assert outcomes(at_once) == [("S3", "repaired")]
    taker.join(30)
    assert taken.is_set()
    assert not there(at_once, orphan)


# at any time, twice, in parallel


def test_a_line_that_is_busy_is_passed_by(sound: Settings, name: str) -> None:
    remove(sound, place(sound) + RecordInS3.slot_name(name, 3))
    with leased(Database.of(sound.home), lease_name(name)):
        for dry in (False, True):
            found = reconcile(sound, dry)
            assert [(row["place"], row["done"]) for row in found["findings"]] == [("database", "waits")]
            assert found["exit_code"] == 0


def test_two_at_once_do_no_harm(at_once: Settings, name: str, published: Any) -> None:
    before = everything(at_once)
    put(at_once, f"bundles/{JUNK}/manifest.json")
    remove(at_once, place(at_once) + RecordInS3.slot_name(name, 3))
    remove(at_once, f"{place(at_once)}files/{published.inputs['verdict']}")
    with ThreadPoolExecutor(3) as pool:  # each knows where Prefect is, as the thread of the test does
        runs_at_once = [pool.submit(copy_context().run, reconcile, at_once) for _ in range(3)]
        ends = [run.result() for run in runs_at_once]
    assert {end["exit_code"] for end in ends} == {0}
    reconcile(at_once)
    assert reconcile(at_once)["findings"] == []
    assert everything(at_once).keys() == before.keys()


def test_a_dry_run_changes_nothing_and_says_that_something_is_left(at_once: Settings, name: str) -> None:
    put(at_once, f"bundles/{JUNK}/manifest.json")
    remove(at_once, place(at_once) + RecordInS3.slot_name(name, 3))
    before = everything(at_once)
    variables = {**at_once.variables()}
    done = run_cli("reconcile", "--dry-run", "--json", **variables)
    assert (done.code, done.data["dry"]) == (6, True), done.err
    assert {row["done"] for row in done.data["findings"]} == {"can be repaired"}
    assert everything(at_once) == before
    done = run_cli("reconcile", **variables)
    assert done.code == 0, done.err
    assert "nothing is left to do" in done.out
    assert run_cli("reconcile", "--json", **variables).data["findings"] == []


def test_the_flow_ends_failed_where_something_is_left_to_people(
    sound: Settings, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert reconcile_all() == [name]
    put(sound, pointer_key(name), canonical_json({"bundle": JUNK, "line": name}))
    with pytest.raises(Unreconciled, match="left to people: S3") as ended:
        reconcile_all()
    assert ended.value.exit_code == 6


def test_a_new_machine_reconciles_what_another_did(sound: Settings, name: str, tmp_path: Path, published: Any) -> None:
    """Its home is empty but for the key that signs; what only the first home has it cannot put back, and says so."""
    other = replace(sound, home=tmp_path / "other", orphan_days=0)
    (other.home / "private").mkdir(parents=True, mode=0o700)
    shutil.copy(sound.home / "private" / "signing.pem", other.home / "private")
    assert outcomes(other) == [("database", "repaired")]
    assert outcomes(other) == []
    remove(sound, f"{place(sound)}files/{published.inputs['evidence']}") if "evidence" in published.inputs else None
    of_bundle = of_step(journal(sound.home, name).receipts(), Step.BUNDLED)[-1]
    evidence = of_bundle.inputs["evidence"]
    remove(sound, f"{place(sound)}files/{evidence}")
    shutil.rmtree(other.home / "work", ignore_errors=True)
    assert outcomes(other)[0] == ("S3", "left to people")
    assert (work_folder(sound.home, published.work) / EVIDENCE).exists()
    assert outcomes(sound) == [("S3", "repaired")]


def test_what_was_published_is_still_served_after_all_of_it(at_once: Settings, name: str, published: Any) -> None:
    assert outcomes(at_once) == []
    folder = work_folder(at_once.home, published.work) / "bundle"
    assert publish_bundle(folder, name, at_once) == published.outputs["bundle"]
