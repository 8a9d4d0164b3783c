"""The desk in a real browser, wide and narrow: everybody can use it, nothing runs past the edge, and htmx works."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from expunge.flows.desk import make_app
from expunge.flows.desk.people import Door, add_token
from tests.flows.desk.conftest import NOTICES

CHROMIUM = shutil.which("chromium")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="Debian's package chromium is not here")]
SIZES = {"wide": (1280, 900), "narrow": (390, 844)}
PICTURES = os.environ.get("EXPUNGE_TEST_PICTURES")
"""Where a variable of this name has a folder, the tests put pictures of the pages there."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def address(home: Path) -> Iterator[str]:
    """A desk that listens."""
    server = uvicorn.Server(uvicorn.Config(make_app(home, Door.of(home, {})), port=0, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    until = time.monotonic() + 30
    while not server.started and time.monotonic() < until:
        time.sleep(0.05)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join()


def look(page: Any, name: str) -> None:
    """Fail where somebody could not use the page, or where it is wider than the screen."""
    from axe_playwright_python.sync_playwright import Axe

    if PICTURES:
        page.screenshot(path=str(Path(PICTURES) / f"{name}.png"), full_page=True)
    found = Axe().run(page).response["violations"]
    serious = [one for one in found if one["impact"] in ("serious", "critical")]
    assert serious == [], [(one["id"], [node["html"][:200] for node in one["nodes"]]) for one in serious]
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), f"{name} runs past the edge"


@pytest.mark.parametrize("size", SIZES)
def test_an_officer_takes_a_notice_in_and_writes_its_policy(browser: Any, address: str, home: Path, size: str) -> None:
    width, height = SIZES[size]
    context = browser.new_context(viewport={"width": width, "height": height}, bypass_csp=False)
    page, wrong = context.new_page(), []
    page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.goto(address)
    look(page, f"{size}-1-login")
    page.get_by_label("Your token").fill(add_token(Door.of(home, {}).tokens, "Ada Lovelace"))
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Inbox").wait_for()
    look(page, f"{size}-2-empty")
    page.get_by_role("link", name="New notice").first.click()
    look(page, f"{size}-3-receive")
    page.get_by_label("File", exact=True).set_input_files(NOTICES / "lumen.json")
    page.get_by_role("button", name="Put on record").click()
    look(page, f"{size}-4-request")
    page.get_by_role("link", name="Write the policy").click()
    page.get_by_text("Not complete yet").wait_for()
    page.get_by_label("Model", exact=True).select_option(index=1)
    page.get_by_label("Target 1: name").fill("panda")
    page.get_by_label("It is").first.select_option("object")
    page.get_by_label("Kept 1: name").fill("koala")
    kept = page.get_by_role("group", name="Kept 1")
    kept.get_by_label("It is").select_option("object")
    page.get_by_text("This policy is valid").wait_for()
    look(page, f"{size}-5-policy")
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_role("link", name="Record").click()
    look(page, f"{size}-6-record")
    page.get_by_role("link", name="Inbox").click()
    look(page, f"{size}-7-inbox")
    folder = home / "runs" / "20260101000000-0123456789ab"
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(
        '{"command": "plan", "words": [], "request_id": "", "who": "ada", "at": "2026-01-01T00:00:00+00:00"}'
    )
    page.goto(f"{address}/runs/{folder.name}")
    look(page, f"{size}-8-run")
    page.get_by_role("button", name="Log out").click()
    page.get_by_role("heading", name="Log in").wait_for()
    assert wrong == []
    context.close()
