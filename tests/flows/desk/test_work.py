"""The policy of a notice at the desk: written as a form, checked, planned in a process of its own; and the record."""

from __future__ import annotations

import fcntl
import html
import io
import json
import os
import re
import time
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
import yaml

from expunge.engine.emoji import MODEL
from expunge.engine.files.digests import folder_digest
from expunge.flows import background
from expunge.flows.casework import trail
from expunge.flows.desk import drafts
from expunge.policies import read
from expunge.tasks.core.base_model import built_in_models
from expunge.tasks.ledger.notices import received_notices
from tests.flows.conftest import policy_file
from tests.flows.desk.conftest import NOTICES, Browser

FIELDS = {
    "mode": "form",
    "model": " ".join(next(iter(built_in_models().items()))),
    "target-0-name": "panda",
    "target-0-category": "object",
    "target-0-aliases": "giant panda, panda bear",
    "kept-0-id": "kept-1",
    "kept-0-name": "koala",
    "kept-0-category": "object",
    "kept-0-kind": "look_alike",
}


@pytest.fixture
def request_id(ada: Browser, home: Path) -> str:
    files = {"file": ("n.eml", (NOTICES / "heron.eml").read_bytes())}
    path = ada.submit("/receive", {"kind": "copyright"}, files=files).headers["location"]
    ada.read(path)
    return path.rsplit("/", 1)[1]


def draft(home: Path, request_id: str) -> Path:
    return home / "drafts" / f"{request_id}.yaml"


def test_the_form_becomes_the_policy_and_keeps_the_clock(ada: Browser, home: Path, request_id: str) -> None:
    at = received_notices(home)[0].settings["received_at"]
    assert "Not complete yet" in ada.read(f"/requests/{request_id}/policy")
    assert "This policy is valid" in ada.submit(f"/requests/{request_id}/policy/check", FIELDS).text
    assert "FILL IN" in draft(home, request_id).read_text(), "a check keeps nothing"
    assert ada.submit(f"/requests/{request_id}/policy", FIELDS).status_code == 303
    policy = read(draft(home, request_id))
    assert (policy.request_id, [one.name for one in policy.concepts]) == (request_id, ["panda"])
    assert policy.concepts[0].aliases == ("giant panda", "panda bear")
    assert policy.received_at.isoformat() == str(at)[:19] + "+00:00"
    assert 'value="panda"' in ada.read(f"/requests/{request_id}/policy")
    text = draft(home, request_id).read_text()
    assert "panda" in ada.read(f"/requests/{request_id}/policy?mode=text")
    ada.submit(
        f"/requests/{request_id}/policy", {"mode": "text", "policy": text + "seed: 7\neditor:\n  name: scapre\n"}
    )
    ada.submit(f"/requests/{request_id}/policy", {**FIELDS, "target-0-id": "panda", "target-0-name": "red panda"})
    policy = read(draft(home, request_id))
    assert (policy.seed, policy.concepts[0].id, policy.concepts[0].name) == (7, "panda", "red panda")


@pytest.mark.parametrize("text", ["a: &x [1]", "a: 2026-01-01", "- 1", "concepts: 1\nretain: x", "concepts: [1, [2]]"])
def test_attack_a_text_that_no_form_can_show(text: str, ada: Browser, request_id: str) -> None:
    ada.submit(f"/requests/{request_id}/policy", {"mode": "text", "policy": text})
    assert "Not complete yet" in ada.read(f"/requests/{request_id}/policy")
    assert ada.submit(f"/requests/{request_id}/policy", FIELDS).status_code == 303


def test_what_is_wrong_is_said_with_its_field(ada: Browser, request_id: str) -> None:
    said = ada.submit(f"/requests/{request_id}/policy/check", {**FIELDS, "target-0-category": "thing"}).text
    assert "category" in said
    answer = ada.submit(f"/requests/{request_id}/policy", {"mode": "text", "policy": "a: [", "then": "submit"})
    assert (answer.status_code, "Not complete yet" in answer.text) == (400, True)


def test_attack_the_text_takes_the_id_of_another_request(ada: Browser, home: Path, request_id: str) -> None:
    ada.submit(f"/requests/{request_id}/policy", FIELDS)
    text = draft(home, request_id).read_text().replace(request_id, "notice-of-another")
    answer = ada.submit(f"/requests/{request_id}/policy", {"mode": "text", "policy": text, "then": "submit"})
    assert (answer.status_code, "is another one" in answer.text) == (400, True)
    assert not (home / "runs").exists()


def test_attack_a_policy_holds_a_script(ada: Browser, request_id: str) -> None:
    script = '"><script>alert(1)</script>'
    ada.submit(f"/requests/{request_id}/policy", {**FIELDS, "target-0-name": script})
    for mode in ("form", "text"):
        assert "<script>alert" not in ada.read(f"/requests/{request_id}/policy?mode={mode}")
    ada.submit(f"/requests/{request_id}/policy", {"mode": "text", "policy": f"x: '{script}</textarea>'"})
    assert "<script>alert" not in ada.read(f"/requests/{request_id}/policy")


def waited(browser: Browser, path: str, seconds: float = 120) -> str:
    until = time.monotonic() + seconds
    while "Running" in (text := browser.read(path)) and time.monotonic() < until:
        time.sleep(0.3)
    return text


@pytest.mark.slow
def test_an_audit_runs_in_a_process_of_its_own_and_outlives_the_desk(ada: Browser, visit, home: Path) -> None:
    files = {"file": ("n.eml", (NOTICES / "heron.eml").read_bytes())}
    ada.submit("/receive", {"kind": "copyright"}, files=files)
    path = ada.submit("/record/audit").headers["location"]
    assert ada.submit("/record/audit").status_code == 400, "one at a time"
    later = visit("bob")  # another desk on the same home
    assert "The record is whole" in waited(later, path)
    (run,) = background.runs(home)
    assert (run["who"], run["code"], run["result"]["problems"]) == ("ada", 0, [])
    assert "whole" in later.read("/record")


def test_a_run_that_was_killed_is_said_to_be_lost(ada: Browser, home: Path) -> None:
    folder = home / "runs" / "20260101000000-0123456789ab"
    folder.mkdir(parents=True)
    begun = {"command": "audit", "words": [], "request_id": "", "who": "ada", "at": "2026-01-01T00:00:00+00:00"}
    (folder / "run.json").write_text(json.dumps(begun))
    (folder / "lock").touch()
    assert "ended without a result" in ada.read(f"/runs/{folder.name}")


@pytest.mark.parametrize("name", ["x", "..%2f..", "20260101000000-0123456789ab", "20260101000000-0123456789ab%0a"])
def test_attack_a_run_that_is_none(name: str, ada: Browser) -> None:
    assert ada.get(f"/runs/{name}").status_code == 404


def test_the_files_of_a_request_are_its_receipts(ada: Browser, request_id: str) -> None:
    archive = zipfile.ZipFile(io.BytesIO(ada.get(f"/requests/{request_id}/files.zip").content))
    (name,) = archive.namelist()
    assert name.startswith("receipts/notices-000001-")
    assert ada.get("/requests/nobody/files.zip").status_code == 400


def test_attack_a_decision_without_a_key_or_on_what_does_not_wait(ada: Browser, request_id: str) -> None:
    for path in ("approve", "refuse"):
        assert "private key" in ada.submit(f"/requests/{request_id}/{path}").text
        answer = ada.submit(f"/requests/{request_id}/{path}", {"reason": "x"}, files={"key": ("k.pem", b"no key")})
        assert answer.status_code == 400


def test_a_policy_longer_than_the_form_loses_nothing(ada: Browser, home: Path, request_id: str) -> None:
    """The form shows some of its rows; what it does not show stays."""
    many = [{"id": f"thing-{number}", "name": f"thing {number}", "category": "object"} for number in range(38)]
    policy = drafts.content_of(draft(home, request_id).read_bytes()) or {}
    draft(home, request_id).write_bytes(drafts.as_text({**policy, "concepts": many}))
    shown = ada.read(f"/requests/{request_id}/policy")
    rows = {
        name: html.unescape(value)
        for name, value in re.findall(r'name="(target-\d+-(?:id|name|category))"[^>]*value="([^"]*)"', shown)
    }
    rows |= {f"target-{number}-category": "object" for number in range(38) if f"target-{number}-name" in rows}
    ada.submit(f"/requests/{request_id}/policy", {**FIELDS, **rows})
    kept = drafts.content_of(draft(home, request_id).read_bytes()) or {}
    assert [one["name"] for one in kept["concepts"]] == [one["name"] for one in many]


@pytest.mark.parametrize(
    ("kind", "category", "private"),
    [
        ("ncii", "object", True),
        ("court_order", "identity", True),
        ("court_order", "explicit", True),
        ("court_order", "object", False),
    ],
)
def test_attack_pictures_of_a_person_are_handed_out(
    kind: str, category: str, private: bool, tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = read(policy_file(tmp_path, folder_digest(MODEL), "of-a-person"))
    concepts = tuple(one.model_copy(update={"category": category}) for one in policy.concepts)
    changed = policy.model_copy(update={"kind": kind, "concepts": concepts})
    receipt: Any = SimpleNamespace(line="a-line", inputs={"policy": "0" * 64})
    monkeypatch.setattr(trail.queries, "read", lambda home: ({"a-line": [receipt]}, []))
    monkeypatch.setattr(trail, "kept_policy", lambda home, digest: changed)
    assert trail.is_private(home, [receipt]) == private


def test_a_word_of_a_person_is_no_option_of_a_command(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = background.start(home, "publish", ["--help"], "ada", "--help")
    while (found := background.describe(home, run) or {}).get("state") == "running":
        time.sleep(0.2)
    assert "Usage" not in found["log"] + str(found["result"]), found
    assert found["code"] != 0


def started(home: Path, days: float, end: dict[str, Any] | None, run_id: str) -> Path:
    """A folder of a run that began and ended so many days ago."""
    folder, at = home / "runs" / run_id, (datetime.now(UTC) - timedelta(days=days)).isoformat(timespec="seconds")
    folder.mkdir(parents=True)
    begun = {"command": "audit", "words": [], "request_id": "", "who": "ada", "at": at}
    (folder / "run.json").write_text(json.dumps(begun))
    (folder / "lock").touch()
    if end is not None:
        (folder / "end.json").write_text(json.dumps({**end, "at": at}))
    return folder


def test_runs_of_long_ago_are_cleared_away_and_no_live_one(home: Path) -> None:
    old = started(home, 31, {"code": 0}, "20260101000000-0123456789aa")
    lost = started(home, 31, None, "20260101000000-0123456789ab")
    new = started(home, 29, {"code": 0}, "20260101000000-0123456789ac")
    live = started(home, 31, None, "20260101000000-0123456789ad")
    foreign = home / "runs" / "notes"
    foreign.mkdir()
    with (live / "lock").open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        background.clear(home, datetime.now(UTC))
    assert [one.exists() for one in (old, lost, new, live, foreign)] == [False, False, True, True, True]


def test_attack_a_step_of_the_clock_makes_a_live_run_lost(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the system says of a process's start moves with the clock; the lock of a live run does not."""
    folder = started(home, 0, None, "20260101000000-0123456789ab")
    born = psutil.Process().create_time()
    (folder / "process.json").write_text(json.dumps({"pid": os.getpid(), "born": born}))
    monkeypatch.setattr(psutil.Process, "create_time", lambda _: born + 3600)
    with (folder / "lock").open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert (background.describe(home, folder.name) or {})["state"] == "running"
    assert (background.describe(home, folder.name) or {})["state"] == "lost"


@pytest.mark.slow
def test_attack_the_process_that_waits_is_killed_while_its_command_goes_on(home: Path) -> None:
    run_id = background.start(home, "audit", [], "ada", "")
    (waiter,) = [one for one in psutil.Process().children() if run_id in " ".join(one.cmdline())]
    until = time.monotonic() + 60
    while not (commands := waiter.children()) and time.monotonic() < until:
        time.sleep(0.05)
    waiter.kill()
    waiter.wait()
    assert (background.describe(home, run_id) or {})["state"] == "running", "its command lives"
    commands[0].kill()
    while (background.describe(home, run_id) or {})["state"] == "running" and time.monotonic() < until:
        time.sleep(0.05)
    assert (background.describe(home, run_id) or {})["state"] == "lost"


@pytest.mark.parametrize("text", ["1e5", "1E2", "nan", "inf", "-1", "1_0", "0x10", "٣", "100000", "1.5"])
def test_attack_a_small_number_is_written_as_a_large_one(text: str, ada: Browser, request_id: str) -> None:
    answer = ada.submit(f"/requests/{request_id}/policy", {**FIELDS, "seeds": text, "then": "submit"})
    assert (answer.status_code, "seeds" in answer.text) == (400, True)
    if text not in ("1.5",):
        answer = ada.submit(f"/requests/{request_id}/policy", {**FIELDS, "max_target_rate": text, "then": "submit"})
        assert (answer.status_code, "max_target_rate" in answer.text) == (400, True)


def test_attack_the_form_makes_ids_of_the_name_of_a_person(ada: Browser, home: Path) -> None:
    """Ids are in receipts and verdicts, which are signed and handed out."""
    path = ada.submit("/receive", {"kind": "ncii", "text": "From: a@b.example\n\nMaterial: x\n"}).headers["location"]
    ada.read(f"{path}/policy")
    ada.submit(f"{path}/policy", {**FIELDS, "target-0-name": "Jane Doe", "target-0-category": "identity"})
    policy = yaml.safe_load(draft(home, path.rsplit("/", 1)[1]).read_text())
    assert [(one["id"], one["name"]) for one in policy["concepts"]] == [("target", "Jane Doe")]
