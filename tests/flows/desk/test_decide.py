"""Decisions at the desk: who may decide, with which key, and what a counter-notice does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from expunge.flows import background
from expunge.flows.casework.approval import waiting
from expunge.flows.casework.trail import trail
from tests.flows.desk.conftest import NOTICES, Browser
from tests.tasks.ledger.test_decisions import Desk
from tests.tasks.ledger.test_decisions import desk as desk  # the fixture

Visit = Callable[..., Browser]
PAGE = "/requests/first"


@pytest.fixture
def asked(desk: Desk) -> Desk:
    desk.submitted()
    return desk


def decide(browser: Browser, what: str, key: Path, **fields: str) -> Any:
    return browser.submit(f"{PAGE}/{what}", fields, files={"key": ("k.pem", key.read_bytes())})


def test_a_person_reads_that_it_waits_and_refuses_with_a_reason(asked: Desk, visit: Visit) -> None:
    bea = visit("bea")
    page = bea.read(PAGE)
    assert "Approve and publish" in page
    assert decide(bea, "refuse", asked.key("bea")).status_code == 400, "without a reason"
    assert decide(bea, "refuse", asked.key("bea"), reason="It is a parody.").status_code == 303
    assert waiting(asked.home) == []
    assert (trail(asked.home, "first")[-1]["by"], "It is a parody." in bea.read(PAGE)) == ("bea", True)
    assert not list((asked.home / "private").glob("key-*")), "the key is not kept"


def test_an_approval_starts_the_publication(asked: Desk, visit: Visit, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[tuple[Any, ...]] = []
    monkeypatch.setattr(background, "start", lambda *words: started.append(words) or "20260101000000-0123456789ab")
    assert decide(visit("bea"), "approve", asked.key("bea")).status_code == 303
    assert started == [(asked.home, "publish", ["first"], "bea", "first", None)]
    assert waiting(asked.home)[0]["approved_by"] == "bea"


@pytest.mark.parametrize(("who", "key"), [("eve", "eve"), ("eve", "bea"), ("bea", "eve"), ("ada", "bea")])
def test_attack_a_decision_by_another_person_or_with_anothers_key(
    who: str, key: str, asked: Desk, visit: Visit
) -> None:
    browser = visit(who)
    for what in ("approve", "refuse"):
        assert decide(browser, what, asked.key(key), reason="x").status_code == 400
    assert [(row["state"], row["approved_by"]) for row in waiting(asked.home)] == [("awaiting_approval", None)]
    assert not (asked.home / "runs").exists()
    assert ("may not decide" in browser.read(PAGE)) == (who == "eve")


def test_attack_whoever_handed_it_in_approves_it(asked: Desk, visit: Visit) -> None:
    assert decide(visit("ada"), "approve", asked.key("ada")).status_code == 400
    assert waiting(asked.home)[0]["approved_by"] is None


def test_a_counter_notice_is_taken_in_at_the_page_of_its_request(ada: Browser) -> None:
    mail = (NOTICES / "heron.eml").read_bytes()
    path = ada.submit("/receive", {"kind": "copyright"}, files={"file": ("n.eml", mail)}).headers["location"]
    text = "From: a@b.example\nSubject: counter\n\nRemoved material: the heron\n"
    answer = ada.submit(f"{path}/counter", {"text": text})
    assert answer.status_code == 303, answer.text
    page = ada.read(answer.headers["location"])
    assert "What is missing" in page
    letter = ada.get(f"{path}/letters/acknowledgement")
    assert (letter.status_code, letter.headers["content-disposition"].split(";")[0]) == (200, "attachment")
    assert "acknowledgement" in ada.read(path)
    assert ada.get(f"{path}/letters/..%2fx").status_code == 404
    assert ada.get(f"{path}/letters/nothing").status_code == 400
    assert "Counter-notice" in page
    other = ada.submit("/receive", {"kind": "trademark", "text": text + "\n"}).headers["location"]
    assert "copyright notices only" in ada.submit(f"{other}/counter", {"text": text}).text
