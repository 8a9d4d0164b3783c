"""In what order a bundle is published, and what of a work order is shown to others than those who handle the notice."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest

from expunge.engine.emoji import MODEL
from expunge.engine.files.bundle import MANIFEST
from expunge.engine.files.digests import file_digest, folder_digest
from expunge.policies import read
from expunge.tasks.core.paths import BUNDLE
from expunge.tasks.core.settings import Settings
from expunge.tasks.core.work_order import Order
from expunge.tasks.ledger.case import open_case
from expunge.tasks.ledger.policy_store import keep_policy
from expunge.tasks.ledger.recorder import note
from expunge.tasks.publish import publish_task
from expunge.tasks.record import is_of_a_person
from expunge.tasks.storage.pointer import pointer_key
from tests.flows.conftest import policy_file, withdrawal
from tests.tasks.handed_in import order_of
from tests.tasks.storage.bundles import make_bundle
from tests.tasks.storage.puts import hook_puts


def test_s3_has_the_record_of_a_bundle_before_the_line_serves_it(
    stack: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine that is lost in between leaves what a home restored from S3 can go on from."""
    sent: list[str] = []
    for name, value in replace(stack, home=tmp_path).variables().items():
        monkeypatch.setenv(name, value)
    order = Order(
        "one",
        f"line-{uuid4().hex[:12]}",
        "a" * 64,
        tmp_path,
        "b" * 64,
        "c" * 64,
        "d" * 64,
        tmp_path,
        "e" * 64,
        tmp_path,
        floor="f" * 64,
    )
    order.save()
    bundle = file_digest(make_bundle(order.folder / BUNDLE, uuid4().bytes) / MANIFEST)
    note(order, "read", {"policy": order.policy, "base": order.base}, {"state": order.state})
    note(order, "bundled", {}, {"bundle": bundle})
    hook_puts(monkeypatch, sent.append)
    publish_task.fn(open_case(order, Settings.load()), bundle)
    receipts = [place for place, key in enumerate(sent) if re.search(rf"record/.*/receipts/{order.line}/", key)]
    assert len(receipts) == 2
    assert max(receipts) < sent.index(pointer_key(order.line))


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
