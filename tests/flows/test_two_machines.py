"""Two machines that share S3 and the key alone, each with a home and a database of its own, take in and decide."""

from __future__ import annotations

import stat
import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from expunge.engine.files.bundle import MANIFEST
from expunge.engine.files.digests import file_digest
from expunge.flows.casework.approval import approve, waiting
from expunge.flows.casework.counter import counter, rescind
from expunge.flows.casework.notices import take_in
from expunge.flows.desk import make_app
from expunge.flows.desk.people import Door, add_token
from expunge.tasks.core.errors import IntegrityError, LedgerError, ServiceUnreachable
from expunge.tasks.core.paths import BUNDLE, IDENTITY
from expunge.tasks.core.settings import Settings
from expunge.tasks.core.work_order import Order
from expunge.tasks.ledger.case import Case, open_case
from expunge.tasks.ledger.decisions.counters import Countered
from expunge.tasks.ledger.decisions.record import NotApproved, approval_of, ask
from expunge.tasks.ledger.line.head import sharing
from expunge.tasks.ledger.line.lock import alone_on
from expunge.tasks.ledger.line.work import bring_back
from expunge.tasks.ledger.queries import NOTICES
from expunge.tasks.ledger.receipt import Receipt, Step
from expunge.tasks.ledger.recorder import journal, note
from expunge.tasks.publish import publish_task
from expunge.tasks.storage import s3
from expunge.tasks.storage.pointer import approved
from expunge.tasks.storage.record.appending import append_for_all
from expunge.tasks.storage.record.freshness import Freshness
from expunge.tasks.storage.record.place import known_here
from expunge.tasks.storage.record.shared import RecordInS3
from tests.flows.conftest import policy_file, run_cli
from tests.flows.desk.conftest import ADDRESS, Browser
from tests.tasks.handed_in import handed_in
from tests.tasks.ledger.signatures.keys import write_key
from tests.tasks.ledger.test_counters import BACK, HEAD, letter, noticed
from tests.tasks.ledger.test_decisions import floor_for
from tests.tasks.storage.bundles import make_bundle

NOTICE = "From: {0}@example.org\nSubject: takedown\n\nRemoved material: the picture {0}\n"


@pytest.fixture
def first(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home of a machine, with a bucket of its own, the key of the operator and the name of a person."""
    monkeypatch.setenv("EXPUNGE_SIGNING_KEY", str(write_key(tmp_path, "operator")[0]))
    monkeypatch.setenv("EXPUNGE_ACTOR", "ada")
    return home


@pytest.fixture
def second(tmp_path: Path) -> Path:
    """The home of another machine."""
    return tmp_path / "second"


def received(folder: Path, name: str, home: Path, text: str = NOTICE) -> str:
    (file := folder / f"{name}.eml").write_text(text.format(name))
    return take_in(file, "copyright", None, None, home)["request_id"]


def chain_of(home: Path, line: str = NOTICES) -> list[Receipt]:
    """The receipts of a line as a machine has them that asked S3 just now."""
    return append_for_all(home, journal(home, line).receipts)


def race(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the first claims of two writers come at the same moment."""
    barrier, claim, seen = threading.Barrier(2), RecordInS3.claim, set[int]()

    def wait(record: RecordInS3, receipt: Receipt, envelope: bytes) -> None:
        if threading.get_ident() not in seen:
            seen.add(threading.get_ident())
            barrier.wait(20)
        claim(record, receipt, envelope)

    monkeypatch.setattr(RecordInS3, "claim", wait)


def side_by_side(*works: Callable[[], str]) -> list[str]:
    with ThreadPoolExecutor(len(works)) as pool:
        return [run.result() for run in [pool.submit(work) for work in works]]


def test_attack_both_take_in_a_notice_at_the_same_moment(
    first: Path, second: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither is lost, and no number has two receipts; neither machine had heard of a record before."""
    race(monkeypatch)
    numbers = side_by_side(lambda: received(tmp_path, "a", first), lambda: received(tmp_path, "b", second))
    chain = chain_of(first)
    assert sorted(one.request_id for one in chain) == sorted(numbers)
    assert chain == chain_of(second)


def in_the_run(home: Path, bucket: Settings, path: Path) -> tuple[Case, str]:
    """What a takedown leaves in record and home before it publishes."""
    with sharing(home, RecordInS3.own(bucket)):
        order = replace(handed_in(path, home), line=f"line-{uuid.uuid4().hex[:12]}")
        order.save()
        bundle = file_digest(make_bundle(order.folder / BUNDLE, uuid.uuid4().bytes) / MANIFEST)
        note(order, "read", {"policy": order.policy, "base": order.base, "floor": order.floor}, {"state": order.state})
        note(order, "bundled", {}, {"bundle": bundle})
        return open_case(order, Settings.load()), bundle


def test_attack_a_counter_notice_comes_in_elsewhere_during_the_run(
    first: Path, second: Path, tmp_path: Path, base_digest: str
) -> None:
    path = policy_file(tmp_path, base_digest, "first")
    path.write_text(path.read_text().replace('"trademark"', '"copyright"'))
    settings = Settings.load()
    case, bundle = in_the_run(first, settings, path)
    found = counter("first", letter(tmp_path, "counter"), None, second)
    assert found["state"] == "received"
    with sharing(first, RecordInS3.own(settings)), pytest.raises(Countered, match="a counter-notice against first"):
        publish_task.fn(case, bundle)
    assert approved(case.order.line, settings) is None


def test_an_approval_given_elsewhere_counts_here(
    first: Path, second: Path, tmp_path: Path, base_digest: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_key(tmp_path, "bea")
    monkeypatch.setenv("EXPUNGE_FLOOR", str(floor_for(tmp_path, "asks", {"trademark": ["bea"]})))
    settings = Settings.load()
    with sharing(first, RecordInS3.own(settings)):
        order = handed_in(policy_file(tmp_path, base_digest, "first"), first)
        note(order, Step.BUNDLED, {"candidate": "c" * 64, "verdict": "d" * 64}, {"bundle": "b" * 64})
        ask(open_case(order), "b" * 64, "d" * 64)
        with pytest.raises(NotApproved, match="nobody has approved it"):
            approval_of(open_case(order), "b" * 64)
    assert approve(second, "first", tmp_path / "bea.pem")["by"] == "bea"
    assert [row["state"] for row in waiting(second)] == ["approved"]
    with sharing(first, RecordInS3.own(settings)), alone_on(order.line, first):
        assert approval_of(open_case(order), "b" * 64).keys() == {"approval"}


def test_the_sender_of_a_notice_is_the_same_on_every_machine(first: Path, second: Path, tmp_path: Path) -> None:
    number = noticed(tmp_path, first)
    (file := tmp_path / "other.eml").write_text(HEAD.replace("lena@vogel", "eve@other") + BACK)
    assert [one["element"] for one in rescind(number, file, None, second)["missing"]] == ["sender"]
    assert rescind(number, letter(tmp_path, "back", BACK), None, second)["missing"] == []


@pytest.mark.parametrize("address", ["http://127.0.0.1:9", ""])
def test_without_s3_nothing_is_on_record_for_the_number_could_be_anothers(
    address: str, first: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    received(tmp_path, "a", first)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", address)
    with pytest.raises(ServiceUnreachable, match="S3"):
        received(tmp_path, "b", first)
    assert len(journal(first, NOTICES).receipts()) == 1


def test_what_was_on_record_before_there_was_an_s3_comes_there_first(
    first: Path, second: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as alone:
        alone.delenv("AWS_ENDPOINT_URL_S3")
        early = [received(tmp_path, name, first) for name in "ab"]
    last = received(tmp_path, "c", first)
    assert [one.request_id for one in chain_of(second)] == [*early, last]


def test_attack_a_fork_of_before_there_was_an_s3_is_not_gone_on_with(
    first: Path, second: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as alone:
        alone.delenv("AWS_ENDPOINT_URL_S3")
        for name, home in (("a", first), ("b", second)):
            received(tmp_path, name, home)
    received(tmp_path, "c", first)
    with pytest.raises(LedgerError, match=r"number [12] (of notices )?in S3"):
        received(tmp_path, "d", second)
    assert [one.sequence for one in chain_of(first)] == [1, 2]


def test_a_reader_shows_what_another_machine_put_on_record(first: Path, second: Path, tmp_path: Path) -> None:
    number, there = received(tmp_path, "a", first), {"EXPUNGE_HOME": str(second)}
    status = run_cli("status", "--json", **there)
    assert ([row["request_id"] for row in status.data["notices"]], status.data["old"]) == ([number], None), status.err
    assert stat.S_IMODE(second.stat().st_mode) == 0o700
    again = received(tmp_path, "b", first)
    assert [row["request_id"] for row in run_cli("due", "--json", **there).data["due"]] == [number, again]
    last = received(tmp_path, "c", first)
    assert last in run_cli("letter", "acknowledgement", last, **there).out
    assert run_cli("audit", "--stored", "--json", **there).data["problems"] == []


@pytest.mark.parametrize("address", ["http://127.0.0.1:9", ""])
def test_a_reader_that_cannot_ask_s3_says_that_it_may_be_old(address: str, first: Path, tmp_path: Path) -> None:
    number = received(tmp_path, "a", first)
    done = run_cli("status", "--json", AWS_ENDPOINT_URL_S3=address)
    assert (done.code, [row["request_id"] for row in done.data["notices"]]) == (0, [number])
    assert f"this may be old. {first} alone is read, which has notices until receipt 1" in done.err
    assert done.data["old"] in done.err
    assert "this may be old" in run_cli("due", AWS_ENDPOINT_URL_S3=address).err


def test_attack_a_slot_with_junk_is_no_reason_to_show_the_home_alone(first: Path, tmp_path: Path) -> None:
    received(tmp_path, "a", first)
    settings = Settings.load()
    key = f"record/{known_here(first)}/heads/{NOTICES}/000002"
    s3.client(settings).put_object(Bucket=settings.bucket, Key=key, Body=b"{}")
    done = run_cli("status")
    assert (done.code, f"number 2 of {NOTICES} in S3" in done.err) == (6, True), done.out


def test_the_desk_shows_what_another_machine_put_on_record(
    first: Path, second: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = received(tmp_path, "a", first)
    browser = Browser(app := make_app(second, door := Door.of(second, {})), base_url=ADDRESS)
    browser.read("/login")
    browser.submit("/login", {"token": add_token(door.tokens, "ada")})
    assert number in browser.read("/")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    app.state.freshness = Freshness(second)
    assert "this may be old" in browser.read("/record")


def brought_back(order: Order, home: Path) -> Order:
    """The order as a machine has it that knows the record alone."""
    with sharing(home, record := RecordInS3.own(replace(Settings.load(), home=home))):
        record.fetch()
        bring_back(home, order.key, journal(home, order.line).receipts())
        return Order.load(home, order.key)


def test_the_order_of_a_work_is_made_anew_from_the_record(
    first: Path, second: Path, tmp_path: Path, base_digest: str
) -> None:
    with sharing(first, RecordInS3.own(Settings.load())):
        order = handed_in(policy_file(tmp_path, base_digest, "first"), first)
    found = brought_back(order, second)
    assert (replace(found, home=first), found.desired) == (order, order.desired)


def test_attack_another_judge_is_named_under_the_key_of_a_work(
    first: Path, second: Path, tmp_path: Path, base_digest: str
) -> None:
    with sharing(first, RecordInS3.own(settings := Settings.load())):
        order = handed_in(policy_file(tmp_path, base_digest, "first"), first)
    named = (order.folder / IDENTITY).read_bytes().replace(order.judge.encode(), b"0" * 64)
    key = f"record/{known_here(first)}/files/{order.key}"
    s3.client(settings).put_object(Bucket=settings.bucket, Key=key, Body=named)
    with pytest.raises(IntegrityError, match="is not what its name says"):
        brought_back(order, second)
