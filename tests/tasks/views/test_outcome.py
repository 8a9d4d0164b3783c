"""What a submission is told of the work it came to."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from expunge.tasks.core.settings import Settings
from expunge.tasks.core.work_order import Order
from expunge.tasks.ledger.case import open_case
from expunge.tasks.ledger.policy_store import keep_policy
from expunge.tasks.ledger.receipt import Receipt
from expunge.tasks.ledger.recorder import note
from expunge.tasks.views.outcome import outcome
from tests.tasks.evidence.examined import new_order, verified


@pytest.fixture
def order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Order:
    monkeypatch.setattr("expunge.tasks.views.outcome.page_of", lambda *_: "")  # which asks MLflow
    made = new_order(tmp_path, "quick")
    (file,) = tmp_path.glob("*.yaml")
    keep_policy(made.home, made.policy, file.read_bytes())
    verified(made)
    return made


def published(order: Order, bundle: str) -> Receipt:
    return note(order, "published", {"policy": order.policy, "state": order.state}, {"bundle": bundle * 64})


def settings(home: Path) -> Settings:
    return Settings(home, "http://user:secret@here/api", "http://there", "http://store")


def test_it_names_the_bundle_that_is_served_and_not_one_that_another_followed(order: Order) -> None:
    own = published(order, "a")
    told = outcome(open_case(order, settings(order.home)), own, repeated=True)
    assert (told["superseded"], told["bundle"]) == (False, f"s3://expunge/bundles/{'a' * 64}")
    published(replace(order, key="2" * 64), "b")
    told = outcome(open_case(order, settings(order.home)), own, repeated=True)
    assert (told["superseded"], told["bundle"]) == (True, f"s3://expunge/bundles/{'b' * 64}")


def test_it_tells_no_password_of_an_address(order: Order) -> None:
    own = published(order, "a")
    told = outcome(open_case(order, settings(order.home)), own, repeated=False)
    assert told["prefect"] == "http://here"
