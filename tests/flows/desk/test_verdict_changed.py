"""The verdict on which people decide: it is told from the very file that the receipt names, at the desk and in the
terminal, and from no other."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from expunge.canonical_json import canonical_json
from expunge.engine.stats.verdict import Verdict
from expunge.flows.casework.approval import waiting
from expunge.tasks.core.paths import STATE, VERDICT
from expunge.tasks.core.work_order import Order
from expunge.tasks.views.assurances import WORDS_OR_WEIGHTS
from tests.flows.conftest import run_cli
from tests.flows.desk.conftest import Browser
from tests.flows.desk.reported import reported
from tests.tasks.ledger.test_decisions import Desk
from tests.tasks.ledger.test_decisions import desk as desk  # the fixture

Visit = Callable[..., Browser]
SENTENCE = "seen in 0 of 40 pictures"


@pytest.fixture
def order(desk: Desk) -> Order:
    """A request that waits, with a PASS on a bicycle."""
    case = desk.submitted()
    reported(case, "PASS")
    return case.order


def words(text: str) -> str:
    return " ".join(text.split())


def test_the_verdict_is_told_where_people_decide_and_in_the_status(order: Order, visit: Visit) -> None:
    page, terminal = words(visit("bea").read("/requests/first")), words(run_cli("waiting").out)
    assurance = Verdict.load(order.folder / VERDICT).assurance
    for said in (page, terminal):
        assert f"bicycle: {SENTENCE}" in said
        assert assurance in said
    (row,) = waiting(order.home)
    assert (row["outcome"], row["problem"]) == ("PASS", "")
    grade = Verdict.load(order.folder / VERDICT).grade
    assert grade.startswith("by words; ")
    status = words(run_cli("status").out)
    assert f"first: PASS, {grade}" in status
    assert WORDS_OR_WEIGHTS in status


def larger_sample(folder: Path) -> None:
    """A verdict that reads well and says that more was drawn."""
    file = folder / VERDICT
    verdict = Verdict.load(file)
    (target,) = verdict.targets
    forged = replace(verdict, targets=(replace(target, total=replace(target.total, n=4000, upper=0.001)),))
    file.write_text(forged.to_json())


def another_name(folder: Path) -> None:
    """The desired state, by which the sentence names the target."""
    file = folder / STATE
    state = json.loads(file.read_bytes())
    state["concepts"][0]["name"] = "unicorn"
    file.write_bytes(canonical_json(state))


def no_verdict(folder: Path) -> None:
    (folder / VERDICT).write_bytes(b"{}")


@pytest.mark.parametrize(("forge", "file"), [(larger_sample, VERDICT), (another_name, STATE), (no_verdict, VERDICT)])
def test_attack_the_verdict_is_changed_after_people_were_asked(
    forge: Callable[[Path], None], file: str, order: Order, visit: Visit
) -> None:
    forge(order.folder)
    page, terminal = words(visit("bea").read("/requests/first")), words(run_cli("waiting").out)
    for said in (page, terminal):
        assert "seen in" not in said
        assert "PASS:" not in said
        assert "unicorn" not in said
        assert f"{file} is n" in said, "no longer what was made, or not what was published"
    assert "Approve and publish" not in page
    assert "Refuse" in page
    (row,) = waiting(order.home)
    assert (row["outcome"], row["headline"], row["assurance"]) == (None, None, None)
    assert file in row["problem"]


def test_a_verdict_that_is_lost_is_not_told(order: Order, visit: Visit) -> None:
    for name in (STATE, VERDICT):
        (order.folder / name).unlink()
        page = words(visit("bea").read("/requests/first"))
        assert "Approve and publish" in page
        assert "seen in" not in page + run_cli("waiting").out
