"""Whom a question is for, when it is closed, and of what kinds a request is, whatever comes first."""

from __future__ import annotations

from pathlib import Path

import pytest

from expunge.policies import Floor, parse
from expunge.policies.reading.reader import read_floor
from expunge.tasks.ledger.case import open_case
from expunge.tasks.ledger.decisions.kinds import kinds_of
from expunge.tasks.ledger.decisions.question import deciders_in, open_question
from expunge.tasks.ledger.policy_store import keep_policy
from expunge.tasks.ledger.receipt import Step
from expunge.tasks.ledger.recorder import journal, note
from tests.flows.conftest import policy_file, withdrawal
from tests.tasks.ledger.test_decisions import BUNDLE, DIGEST, Desk, floor_for
from tests.tasks.ledger.test_decisions import desk as desk  # the fixture
from tests.tasks.records import Work


def floor(desk: Desk, **people: list[str]) -> Floor:
    return read_floor(floor_for(desk.folder, "several", people))


@pytest.mark.parametrize("kinds", [("copyright", "trademark"), ("trademark", "copyright")])
def test_only_who_is_named_for_all_kinds_decides(desk: Desk, kinds: tuple[str, str]) -> None:
    people = {kinds[0]: ["ada", "bea"], kinds[1]: ["bea", "eve"]}
    found = deciders_in(floor(desk, **people), {"copyright", "trademark"})
    assert found is not None
    assert list(found.approvers) == ["bea"]


@pytest.mark.parametrize("bundle", ["0" * 64, "f" * 64])
def test_another_bundle_of_the_same_work_closes_the_question(desk: Desk, bundle: str) -> None:
    case = desk.submitted()
    assert "0" * 64 < BUNDLE < "f" * 64
    assert open_question(case.chain, "first") is not None
    note(case.order, Step.BUNDLED, {"candidate": "e" * 64}, {"bundle": bundle})
    assert open_question(open_case(case.order).chain, "first") is None


def test_a_request_is_of_the_kinds_of_all_that_it_replaces_by_whatever_way(desk: Desk) -> None:
    """Here `third` is replaced twice: by `second` and by `first`, whose own earlier kind counts as well."""
    line = "emoji"

    def on_record(path: Path, kind: str) -> None:
        path.write_text(path.read_text().replace('"trademark"', f'"{kind}"'))
        policy = parse(path.read_bytes(), path.stem)
        keep_policy(desk.home, policy.digest, path.read_bytes())
        note(Work(desk.home, line, policy.digest, policy.request_id), Step.READ, {"policy": policy.digest}, {})

    on_record(policy_file(desk.folder, DIGEST, "first"), "court_order")
    on_record(third := policy_file(desk.folder, DIGEST, "third"), "ncii")
    on_record(withdrawal(third, "second", "third"), "ncii")
    now = withdrawal(desk.folder / "third.yaml", "first", "third", "second")
    now.write_text(now.read_text().replace('"ncii"', '"other"'))
    found = kinds_of(desk.home, journal(desk.home, line).receipts(), parse(now.read_bytes(), "first"), [])
    assert found == {"court_order", "ncii", "other"}
