"""Decisions at the desk: who may decide, with which key, and what a counter-notice does."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from expunge.engine.emoji import JUDGE, MODEL
from expunge.engine.files.digests import folder_digest
from expunge.flows import background
from expunge.flows.casework import approval
from expunge.flows.casework.approval import waiting
from expunge.flows.casework.trail import trail
from expunge.tasks.core.paths import work_folder
from expunge.tasks.ledger.decisions.record import NotApproved
from tests.flows.conftest import policy_file
from tests.flows.desk.conftest import NOTICES, Browser
from tests.tasks.ledger.test_decisions import DIGEST, Desk
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
    (line,) = {row["line"] for row in waiting(asked.home)}
    assert started == [(asked.home, "publish", ["first"], "bea", "first", None, line)]
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


@pytest.fixture
def twice(asked: Desk, tmp_path: Path) -> dict[str, str]:
    """One request id that waits on two lines, each with its own report; the work by line."""
    other = tmp_path / "other"
    shutil.copytree(MODEL, other)
    (other / "README.md").write_text("another copy")
    policy = json.loads(policy_file(tmp_path, DIGEST, "first").read_text())
    policy["base"] = {"uri": f"file:{other}", "sha256": folder_digest(other)}
    (tmp_path / "first.yaml").write_text(json.dumps(policy))
    asked.patch.setenv("EXPUNGE_JUDGE", str(JUDGE))
    asked.submitted(bundle="e" * 64, path=tmp_path / "first.yaml")
    works = {row["line"]: row["work"] for row in waiting(asked.home)}
    assert len(works) == 2
    for line, work in works.items():
        (work_folder(asked.home, work) / "report.html").write_text(f"<p>the report of {line}</p>")
    return works


def test_attack_a_decision_on_one_model_shows_the_report_of_another(
    twice: dict[str, str], asked: Desk, visit: Visit
) -> None:
    bea = visit("bea")
    first = bea.read(PAGE)
    assert "Approve" not in first, "without a line there is nothing to decide on"
    assert all(f"?line={line}" in first for line in twice)
    assert bea.get(f"{PAGE}/report").status_code == 400
    for line, work in twice.items():
        page = bea.read(f"{PAGE}?line={line}")
        assert set(re.findall(rf'href="({PAGE}/report[^"]*)"', page)) == {f"{PAGE}/report?work={work}"}
        assert bea.read(f"{PAGE}/report?work={work}") == f"<p>the report of {line}</p>"
        assert f'name="line" value="{line}"' in page
    assert bea.get(f"{PAGE}/report?work={'0' * 64}").status_code == 404
    assert bea.get(f"{PAGE}?line=nothing").status_code == 404
    inbox = bea.read("/")
    assert all(f"{PAGE}?line={line}" in inbox for line in twice)


def test_attack_a_decision_counts_for_the_other_model(twice: dict[str, str], asked: Desk, visit: Visit) -> None:
    bea, (refused, open_one) = visit("bea"), twice
    assert decide(bea, "refuse", asked.key("bea"), reason="no").status_code == 400, "which of the two?"
    answer = decide(bea, "refuse", asked.key("bea"), reason="no", line=refused)
    assert answer.headers["location"] == f"{PAGE}?line={refused}"
    assert [row["line"] for row in waiting(asked.home)] == [open_one]
    assert "Approve" not in bea.read(f"{PAGE}?line={refused}")
    assert "Approve" in bea.read(f"{PAGE}?line={open_one}")
    assert f"{PAGE}?line={open_one}" in bea.read("/"), "what one model has done hides nothing of the other"


def test_attack_the_desk_is_killed_while_it_signs(asked: Desk, visit: Visit, monkeypatch: pytest.MonkeyPatch) -> None:
    """No file of the key is anywhere while the decision is signed, so nothing can stay behind."""
    bea, secret, found = visit("bea"), asked.key("bea").read_bytes(), []

    def look(home: Path, request_id: str, key: Path, line: str, person: str) -> dict[str, Any]:
        assert key.read_bytes() == secret
        found.extend(path for path in home.rglob("*") if path.is_file() and path.read_bytes() == secret)
        found.extend(Path(tempfile.gettempdir()).glob("key-*"))
        raise NotApproved("looked")

    monkeypatch.setattr(approval, "approve", look)
    assert "looked" in decide(bea, "approve", asked.key("bea")).text
    assert found == []
    left = asked.home / "private" / "key-ab12_d34.pem"
    left.write_bytes(secret)
    visit()
    assert not left.exists(), "what an earlier version left is removed at the next start"
