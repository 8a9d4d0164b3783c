"""The desk alone, in a real browser on the real stack: a mail becomes a takedown, a counter-notice ends it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from expunge.tasks.views.letters.template import FOLDER
from tests.flows.conftest import on_stack as on_stack  # fixtures of the real stack
from tests.flows.desk.conftest import NOTICES
from tests.flows.desk.test_browser import address as address  # fixtures of a desk that listens
from tests.flows.desk.test_browser import browser as browser
from tests.flows.desk.test_browser import pytestmark
from tests.flows.desk.test_browser_decision import Enter
from tests.flows.desk.test_browser_decision import enter as enter
from tests.tasks.ledger.signatures.keys import write_key
from tests.tasks.ledger.test_counters import COMPLETE, HEAD
from tests.tasks.ledger.test_decisions import floor_for

pytestmark = pytestmark  # slow, and with Chromium alone
KEPT = {"car": "look_alike", "bus": "look_alike", "guitar": "general", "castle": "general"}
LIMITS = {"At most this share of pictures": "0.4", "At most this share may be lost": "0.5", "Pictures a prompt": "2"}
FASTER = "acceptance:\n  steps: 6\n  min_control_rate: 0.5\n"
SECONDS = 1000


def fill_in(page: Any) -> None:
    """Write the policy in the form."""
    page.get_by_label("Model", exact=True).select_option(label="builtin:emoji")
    page.get_by_label("Target 1: name").fill("bicycle")
    page.get_by_role("group", name="Target 1").get_by_label("It is").select_option("object")
    for number, (name, kind) in enumerate(KEPT.items(), 1):
        row = page.get_by_role("group", name=f"Kept {number}")
        row.get_by_label(f"Kept {number}: name").fill(name)
        row.get_by_label("It is").select_option("object")
        row.get_by_label("Why").select_option(kind)
        if number == 3:  # the form has three empty rows at a time
            page.get_by_role("button", name="Save", exact=True).click()
            page.get_by_label("Kept 4: name").wait_for()
    page.get_by_text("Limits of the proof").click()
    for label, value in LIMITS.items():
        page.get_by_label(label).fill(value)
    page.get_by_text("This policy is valid").wait_for()
    page.get_by_role("button", name="Save", exact=True).click()


def make_quick(page: Any) -> None:
    """Put into the text of the policy what the form does not show: fewer steps, and more reach."""
    page.get_by_role("link", name="Edit as text").click()
    box = page.get_by_label("The policy", exact=True)
    text = box.input_value()
    assert "acceptance:\n" in text
    box.fill(text.replace("acceptance:\n", FASTER) + "\nlimits:\n  max_weight_delta: 8.0\n")
    page.get_by_text("This policy is valid").wait_for()


def run(page: Any, button: str, ends: str) -> None:
    """Start a run by a button of the page, and wait until the page says how it ended."""
    page.get_by_role("button", name=button).click()
    page.wait_for_url("**/runs/*")
    try:
        page.locator(".badge:not(.calm)").first.wait_for(timeout=SECONDS * 1000)
    finally:
        said = page.locator("main").inner_text()
    assert ends.lower() in said.lower(), said


def decide(page: Any, address: str, request_id: str, key: Path, reads: str = "") -> None:
    """Find the request in the inbox, read its report, and approve it."""
    page.goto(address)
    page.get_by_role("link", name=request_id).first.click()
    page.get_by_role("heading", name="Decide").wait_for()
    if reads:
        page.get_by_role("link", name="Read the report first").click()
        page.get_by_text(reads).first.wait_for()
        page.go_back()
    page.get_by_label("The file of your private key").set_input_files(key)
    run(page, "Approve and publish", "Done")


def downloaded(page: Any, title: str) -> str:
    """The letter that a link of the open page hands out."""
    page.get_by_text("Letters", exact=True).click()
    with page.expect_download() as found:
        page.get_by_role("link", name=title).click()
    return Path(found.value.path()).read_text(encoding="utf-8")


def test_a_mail_becomes_an_approved_takedown_and_a_counter_notice_puts_it_back(
    stack: Any, on_stack: None, home: Path, address: str, enter: Enter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ada", "bob"):
        write_key(tmp_path, name)
    monkeypatch.setenv("EXPUNGE_FLOOR", str(floor_for(tmp_path, "asks", {"copyright": ["ada", "bob"]})))
    monkeypatch.setenv("EXPUNGE_HOME", str(home))
    ada, bob = enter("ada", "wide"), enter("bob", "narrow")
    ada.get_by_role("link", name="New notice").first.click()
    ada.get_by_label("File", exact=True).set_input_files(NOTICES / "heron.eml")
    ada.get_by_label("Kind", exact=True).select_option("copyright")
    ada.get_by_role("button", name="Put on record").click()
    ada.get_by_role("heading", name="The notice").wait_for()
    page, request_id = ada.url, ada.url.rpartition("/")[2]
    ada.get_by_role("link", name="Write the policy").click()
    fill_in(ada)
    make_quick(ada)
    run(ada, "Save and plan", "Weights changed")
    ada.goto(f"{page}/policy?mode=text")
    run(ada, "Save and submit", "Waits for a decision")
    ada.goto(page)
    ada.get_by_label("The file of your private key").set_input_files(tmp_path / "ada.pem")
    ada.get_by_role("button", name="Approve and publish").click()
    ada.get_by_text("nobody decides on a request of their own").wait_for()
    decide(bob, address, request_id, tmp_path / "bob.pem", reads="before and after")
    ada.goto(page)
    assert "Published" in ada.locator("dl.facts").inner_text()
    letter = downloaded(ada, "Decision, with redress")
    assert f"Reference: {request_id}" in letter
    assert "a person approved this decision" in letter
    ada.reload()
    statement = json.loads(downloaded(ada, "Statement of reasons"))
    schema = json.loads((FOLDER / "statement-of-reasons.schema.json").read_text())
    jsonschema.validate(statement, schema)
    assert statement["decision_ground"] == "DECISION_GROUND_ILLEGAL_CONTENT"
    counter(ada, page)
    answer, answer_id = ada.url, ada.url.rpartition("/")[2]
    acknowledged(ada, page)
    ada.goto(f"{answer}/policy?mode=text")
    run(ada, "Save and submit", "Waits for a decision")
    decide(bob, address, answer_id, tmp_path / "bob.pem")
    ada.goto(page)
    assert "Replaced" in ada.locator("dl.facts").inner_text()
    assert "erases no more: bicycle" in ada.locator("main").inner_text()
    outcome = " ".join(downloaded(ada, "Outcome of a counter-notice").split())
    assert "we withdrew the removal, and published the model without it" in outcome
    assert "What we published is the model as it was before any removal." in outcome
    ada.goto(answer)
    assert "Restored" in ada.locator("dl.facts").inner_text()
    ada.get_by_role("link", name="Record").click()
    run(ada, "Start an audit", "The record is whole")


def counter(page: Any, request: str) -> None:
    """File the counter-notice on the page of the request."""
    page.goto(request)
    page.get_by_text("Take in a counter-notice").click()
    page.get_by_label("Or its text, with the headers of the e-mail").fill(HEAD + COMPLETE)
    page.get_by_role("button", name="Put on record").click()
    page.get_by_role("heading", name="The notice").wait_for()


def acknowledged(page: Any, request: str) -> None:
    """The request is countered, and its sender's letter can be had."""
    page.goto(request)
    assert "Countered" in page.locator("dl.facts").inner_text()
    assert "counter-notice" in downloaded(page, "Acknowledgement of a counter-notice").lower()
