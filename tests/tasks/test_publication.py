"""In what order a bundle is published, and what of a work order is shown to others than those who handle the notice."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from expunge.canonical_json import canonical_json
from expunge.engine.emoji import MODEL
from expunge.engine.files.bundle import MANIFEST
from expunge.engine.files.digests import file_digest, folder_digest
from expunge.flows.casework.counter import counter
from expunge.policies import PolicyError, read
from expunge.tasks.core.errors import IntegrityError
from expunge.tasks.core.paths import BUNDLE, STATE
from expunge.tasks.core.settings import Settings
from expunge.tasks.core.work_order import Order
from expunge.tasks.ledger.case import Case, open_case
from expunge.tasks.ledger.decisions import expiry
from expunge.tasks.ledger.decisions.counters import Countered
from expunge.tasks.ledger.decisions.envelope import Decision, keep_decision, sign_decision
from expunge.tasks.ledger.decisions.record import NotApproved, ask
from expunge.tasks.ledger.policy_store import keep_policy
from expunge.tasks.ledger.receipt import Receipt, Step
from expunge.tasks.ledger.recorder import note
from expunge.tasks.ledger.signatures.keys import private_key
from expunge.tasks.publish import publish_task
from expunge.tasks.record import is_of_a_person
from expunge.tasks.storage.pointer import approved, pointer_key
from tests.flows.conftest import policy_file, withdrawal
from tests.tasks.handed_in import handed_in, order_of
from tests.tasks.ledger.signatures.keys import write_key
from tests.tasks.ledger.test_counters import letter
from tests.tasks.ledger.test_decisions import floor_for
from tests.tasks.storage.bundles import make_bundle
from tests.tasks.storage.puts import hook_puts

END = datetime(2099, 1, 31, 17, tzinfo=UTC)


@pytest.fixture
def ready(stack: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Case, str]:
    """A copyright request whose bundle is made and proven, as a takedown leaves it before the publication."""
    for name, value in replace(stack, home=tmp_path / "home").variables().items():
        monkeypatch.setenv(name, value)
    path = policy_file(tmp_path, folder_digest(MODEL), f"asked-{uuid4().hex[:8]}")
    policy = json.loads(path.read_text()) | {"kind": "copyright", "expires_at": f"{END:%Y-%m-%dT%H:%M:%SZ}"}
    path.write_text(json.dumps(policy))
    order = replace(handed_in(path, tmp_path / "home"), line=f"line-{uuid4().hex[:12]}")
    order.save()
    bundle = file_digest(make_bundle(order.folder / BUNDLE, uuid4().bytes) / MANIFEST)
    note(order, "read", {"policy": order.policy, "base": order.base, "floor": order.floor}, {"state": order.state})
    note(order, "bundled", {}, {"bundle": bundle})
    return open_case(order, Settings.load()), bundle


def waits(folder: Path, case: Case, bundle: str, monkeypatch: pytest.MonkeyPatch) -> Receipt:
    """The question to bea whether it may be published."""
    write_key(folder, "bea")
    monkeypatch.setenv("EXPUNGE_FLOOR", str(floor_for(folder, "asks", {"copyright": ["bea"]})))
    asked = ask(case, bundle, None)
    assert asked is not None
    return asked


def approve(folder: Path, case: Case, asked: Receipt, ends: datetime) -> None:
    of = {"line": asked.line, "request_id": asked.request_id, "policy": asked.inputs["policy"]}
    of |= {"bundle": asked.inputs["bundle"], "nonce": asked.digest}
    decision = Decision.model_validate({"outcome": "approved", "by": "bea", "expires": ends, **of})
    digest = keep_decision(case.order.home, sign_decision(decision, private_key(folder / "bea.pem")))
    case.note(Step.APPROVED, {name: of[name] for name in ("policy", "bundle")} | {"approval": digest}, {})


def while_uploading(monkeypatch: pytest.MonkeyPatch, happens: Callable[[], object]) -> None:
    """Let something happen when the first file of a bundle is sent."""
    sent = list[str]()

    def interrupt(key: str) -> None:
        if key.startswith("bundles/") and not sent:
            sent.append(key)
            happens()

    hook_puts(monkeypatch, interrupt)


def test_s3_has_the_record_of_a_bundle_before_the_line_serves_it(
    ready: tuple[Case, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine that is lost in between leaves what a home restored from S3 can go on from."""
    (case, bundle), sent = ready, list[str]()
    line = case.order.line
    hook_puts(monkeypatch, sent.append)
    publish_task.fn(case, bundle)
    receipts = [place for place, key in enumerate(sent) if re.search(rf"record/.*/heads/{line}/", key)]
    assert len(receipts) == 2
    assert max(receipts) < sent.index(pointer_key(line))


def published(path: Path, home: Path) -> Order:
    order = order_of(read(path), home)
    keep_policy(home, order.policy, path.read_bytes())
    note(order, "published", {"policy": order.policy}, {"bundle": order.key})
    return order


@pytest.mark.parametrize("kind", ["ncii", "privacy_erasure"])
def test_an_order_is_of_a_person_as_long_as_a_request_about_one_is_in_force(tmp_path: Path, kind: str) -> None:
    base, home = folder_digest(MODEL), tmp_path / "home"
    files = [policy_file(tmp_path, base, request, erase) for request, erase in (("a", "rainbow"), ("b", "bicycle"))]
    about = policy_file(tmp_path, base, "about", "umbrella")
    about.write_text(about.read_text().replace('"trademark"', f'"{kind}"'))
    assert not is_of_a_person(open_case(published(files[0], home)))
    assert is_of_a_person(open_case(published(about, home)))
    assert is_of_a_person(open_case(published(files[1], home))), "the model is edited, and questioned, for all of them"
    assert not is_of_a_person(open_case(published(withdrawal(files[0], "back", "about"), home)))


def test_attack_a_counter_notice_comes_in_while_the_bundle_is_uploaded(
    ready: tuple[Case, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case, bundle = ready

    def interrupt(key: str) -> None:
        if key.startswith("bundles/"):
            counter(case.order.request_id, letter(tmp_path, "reply"), None, case.order.home)

    hook_puts(monkeypatch, interrupt)
    with pytest.raises(Countered, match="a counter-notice against"):
        publish_task.fn(case, bundle)
    assert approved(case.order.line, case.settings) is None
    assert "published" not in {receipt.step for receipt in open_case(case.order).chain}


def test_attack_the_receipt_of_a_counter_notice_is_removed_before_the_publication(
    ready: tuple[Case, str], tmp_path: Path
) -> None:
    """With its signature, so that the chain of notices ends sound; the database knows that more was signed."""
    case, bundle = ready
    counter(case.order.request_id, letter(tmp_path, "first", "I disagree.\n"), None, case.order.home)
    counter(case.order.request_id, letter(tmp_path, "reply"), None, case.order.home)
    for folder in ("receipts", "signatures"):
        max((case.order.home / folder / "notices").glob("*.json")).unlink()
    with pytest.raises(Countered, match="a counter-notice against"):
        publish_task.fn(case, bundle)


def test_attack_an_approval_expires_while_the_bundle_is_uploaded(
    ready: tuple[Case, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case, bundle = ready
    asked = waits(tmp_path, case, bundle, monkeypatch)
    ends = datetime.now(UTC) + timedelta(seconds=2)
    approve(tmp_path, case, asked, ends)
    while_uploading(monkeypatch, lambda: time.sleep(max(0.0, (ends - datetime.now(UTC)).total_seconds() + 0.1)))
    with pytest.raises(NotApproved, match="the approval expired"):
        publish_task.fn(case, bundle)
    assert approved(case.order.line, case.settings) is None


def test_attack_an_approval_is_exchanged_while_the_bundle_is_uploaded(
    ready: tuple[Case, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The receipt of the publication would name one that does not count any more."""
    case, bundle = ready
    asked, soon = waits(tmp_path, case, bundle, monkeypatch), datetime.now(UTC) + timedelta(minutes=30)
    approve(tmp_path, case, asked, soon)
    while_uploading(monkeypatch, lambda: approve(tmp_path, case, asked, soon + timedelta(minutes=1)))
    with pytest.raises(NotApproved, match="was approved anew meanwhile"):
        publish_task.fn(case, bundle)
    assert approved(case.order.line, case.settings) is None


class Later(datetime):
    """The clock after the end of the policy."""

    @classmethod
    def now(cls, tz: object = None) -> datetime:
        return END + timedelta(seconds=1)


@pytest.mark.parametrize("when", ["before", "while it is uploaded"])
def test_attack_a_policy_expires_before_it_is_published(
    when: str, ready: tuple[Case, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    case, bundle = ready
    if when == "before":
        monkeypatch.setattr(expiry, "datetime", Later)
    else:
        while_uploading(monkeypatch, lambda: monkeypatch.setattr(expiry, "datetime", Later))
    with pytest.raises(PolicyError, match=r"expires_at.* has passed"):
        publish_task.fn(case, bundle)
    assert approved(case.order.line, case.settings) is None
    assert "published" not in {receipt.step for receipt in open_case(case.order).chain}


def test_attack_the_bundle_is_another_than_was_proven(ready: tuple[Case, str]) -> None:
    case, bundle = ready
    make_bundle(case.order.folder / BUNDLE, b"another model")
    with pytest.raises(IntegrityError, match=f"is no longer bundle {bundle}"):
        publish_task.fn(case, bundle)
    assert approved(case.order.line, case.settings) is None


def test_attack_the_ids_of_a_person_are_taken_out_of_the_desired_state(tmp_path: Path) -> None:
    """Its digest leaves them out, so the file with fewer of them has the same one."""
    base, home = folder_digest(MODEL), tmp_path / "home"
    about = policy_file(tmp_path, base, "about", "umbrella")
    about.write_text(about.read_text().replace('"trademark"', '"ncii"'))
    published(about, home)
    order = published(policy_file(tmp_path, base, "a", "rainbow"), home)
    file = order.folder / STATE
    state = json.loads(file.read_bytes())
    file.write_bytes(canonical_json({**state, "request_ids": ["a"]}))
    assert is_of_a_person(open_case(Order.load(home, order.key)))
