"""The pages by which somebody decides, in a real browser, wide and narrow: report, decision, and progress of a run."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from expunge.flows.desk.people import Door, add_token
from expunge.tasks.ledger.receipt import Step
from expunge.tasks.ledger.recorder import note
from tests.flows.desk.reported import reported
from tests.flows.desk.test_browser import SIZES, look, pytestmark
from tests.flows.desk.test_browser import address as address  # fixtures of a desk that listens
from tests.flows.desk.test_browser import browser as browser
from tests.tasks.evidence.examined import CANDIDATE
from tests.tasks.ledger.test_decisions import Desk
from tests.tasks.ledger.test_decisions import desk as desk  # the fixture

pytestmark = pytestmark  # slow, and with Chromium alone
Enter = Callable[[str, str], Any]
WORDS = {"PASS": "seen in 0 of 40 pictures", "FAIL": "seen in 40 of 40 pictures", "INCONCLUSIVE": "seen in 5 of 40"}
RUN = "20260101000000-0123456789ab"


@pytest.fixture
def enter(browser: Any, address: str, home: Path) -> Iterator[Enter]:
    """Log somebody in at the desk, and return the page; a screen of this size."""
    contexts = []

    def open_page(name: str, size: str) -> Any:
        width, height = SIZES[size]
        contexts.append(context := browser.new_context(viewport={"width": width, "height": height}, bypass_csp=True))
        page = context.new_page()
        page.goto(address)
        page.get_by_label("Your token").fill(add_token(Door.of(home, {}).tokens, name))
        page.keyboard.press("Enter")
        page.get_by_role("heading", name="Inbox").wait_for()
        return page

    yield open_page
    for context in contexts:
        context.close()


@pytest.mark.parametrize("outcome", ["PASS", "FAIL", "INCONCLUSIVE"])
def test_a_report_reads_on_a_desk_and_on_a_telephone(
    outcome: str, desk: Desk, enter: Enter, address: str, home: Path
) -> None:
    reported(desk.submitted(), outcome)
    for size in SIZES:
        page = enter("bea", size)
        answer = page.goto(f"{address}/requests/first/report")
        assert "sandbox" in answer.headers["content-security-policy"]
        look(page, f"{size}-report-{outcome.lower()}")
        said = " ".join(page.locator("body").inner_text().split())
        assert outcome.lower() in said.lower()
        assert WORDS[outcome] in said
        assert ("limit 20 % above the limit" in said) == (outcome == "FAIL")
        assert ("perhaps above the limit" in said) == (outcome == "INCONCLUSIVE")
        cells = page.locator("td.met, td.missed, td.unproven, td.open").all_inner_texts()
        assert ("missed" in cells) == (outcome == "FAIL")
        assert ("perhaps" in cells) == (outcome == "INCONCLUSIVE")


@pytest.mark.parametrize("size", SIZES)
def test_somebody_decides_with_the_report_at_hand(size: str, desk: Desk, enter: Enter, address: str) -> None:
    reported(desk.submitted(), "PASS")
    page = enter("bea", size)
    look(page, f"{size}-inbox-waits")
    page.get_by_role("link", name="first", exact=True).click()
    page.get_by_role("heading", name="Decide").wait_for()
    look(page, f"{size}-decide")
    assert f"PASS: bicycle: {WORDS['PASS']}" in page.locator("body").inner_text()
    page.get_by_role("link", name="Read the report first").click()
    page.get_by_text(WORDS["PASS"]).first.wait_for()
    page.go_back()
    page.get_by_label("The file of your private key").set_input_files(desk.key("bea"))
    page.get_by_label("Reason, where you refuse").fill("It is a parody, as the pictures in the report show.")
    page.get_by_role("button", name="Refuse").click()
    page.get_by_role("heading", name="What happened").wait_for()
    look(page, f"{size}-refused")
    assert page.get_by_role("heading", name="Decide").count() == 0
    assert "refused: refused" not in page.locator("body").inner_text().lower()
    other = enter("eve", size)
    desk.submitted("second")
    other.goto(f"{address}/requests/second")
    other.get_by_text("who may not decide on it").wait_for()
    look(other, f"{size}-not-yours")


@contextmanager
def run(home: Path, command: str, code: int | None, result: Any, log: str) -> Iterator[None]:
    """A run of request `first` that began before its receipts; without a code it is alive."""
    folder = home / "runs" / RUN
    folder.mkdir(parents=True, exist_ok=True)
    begun = {"command": command, "words": [], "request_id": "first", "line": "", "who": "ada"}
    (folder / "run.json").write_text(json.dumps({**begun, "at": "2026-01-01T00:00:00+00:00"}))
    (folder / "out.json").write_text(json.dumps(result))
    (folder / "log.txt").write_text(log)
    (folder / "end.json").unlink(missing_ok=True)
    if code is not None:
        at = datetime.now(UTC).isoformat(timespec="seconds")
        (folder / "end.json").write_text(json.dumps({"code": code, "at": at}))
    with (folder / "lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX if code is None else fcntl.LOCK_UN)
        yield


@pytest.mark.parametrize("size", SIZES)
def test_a_run_is_followed_to_its_end(size: str, desk: Desk, enter: Enter, address: str, home: Path) -> None:
    case = desk.submitted()
    page = enter("ada", size)
    log = "drawing 120 of 480 pictures, " + "x" * 300 + "\n"
    with run(home, "submit", None, None, log):
        page.goto(f"{address}/runs/{RUN}")
        page.get_by_text("Running", exact=True).wait_for()
        look(page, f"{size}-run-running")
        note(
            case.order, Step.VERIFIED, {"candidate": CANDIDATE}, {}, {"outcome": "FAIL", "reasons": ["seen too often"]}
        )
        page.get_by_text("seen too often").wait_for(timeout=20_000)
    result = {"headline": "bicycle: seen in 40 of 40 pictures, at most 100.0 %, limit 20 %.", "sentences": ["A", "B"]}
    with run(home, "submit", 4, result, log + "expunge: FAIL, nothing was published: bicycle is still there\n"):
        page.get_by_text("Not successful").wait_for(timeout=20_000)
        look(page, f"{size}-run-failed")
        page.get_by_text("Technical log").click()
        look(page, f"{size}-run-log")
    for name, command, code, found in (
        ("waits", "submit", 7, {"headline": "bicycle: seen in 0 of 40 pictures, at most 7.3 %, limit 20 %."}),
        ("published", "publish", 0, {"headline": "bicycle: seen in 0 of 40 pictures, at most 7.3 %, limit 20 %."}),
    ):
        with run(home, command, code, found, ""):
            page.goto(f"{address}/runs/{RUN}")
            look(page, f"{size}-run-{name}")
