"""The desk alone, on the real stack: a mail becomes an approved takedown, which a counter-notice ends."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.flows.conftest import on_stack as on_stack  # fixtures of the real stack
from tests.flows.desk.conftest import NOTICES, Browser
from tests.flows.desk.test_work import FIELDS, waited
from tests.tasks.ledger.signatures.keys import write_key
from tests.tasks.ledger.test_counters import COMPLETE, HEAD
from tests.tasks.ledger.test_decisions import floor_for

pytestmark = pytest.mark.slow
Visit = Callable[..., Browser]
KEPT = {"car": "look_alike", "bus": "look_alike", "guitar": "general", "castle": "general"}


def fields() -> dict[str, str]:
    """A policy that few pictures can prove."""
    said = {"mode": "form", "model": FIELDS["model"], "target-0-name": "bicycle", "target-0-category": "object"}
    for number, (name, kind) in enumerate(KEPT.items()):
        row = {"name": name, "category": "object", "kind": kind}
        said |= {f"kept-{number}-{field}": value for field, value in row.items()}
    return {**said, "seeds": "2", "max_target_rate": "0.4", "max_retain_drop": "0.5"}


def written(browser: Browser, path: str) -> str:
    """Fill in the form, and return the text of the policy with what the form does not show."""
    browser.submit(f"{path}/policy", fields())
    shown = re.search(r'<textarea id="policy"[^>]*>(.*?)</textarea>', browser.read(f"{path}/policy?mode=text"), re.S)
    assert shown
    text = html.unescape(shown[1]).replace("acceptance:\n", "acceptance:\n  steps: 6\n  min_control_rate: 0.5\n")
    return f"{text}\nlimits:\n  max_weight_delta: 8.0\n"


def test_a_mail_becomes_an_approved_takedown_and_a_counter_notice_puts_it_back(
    stack: Any, on_stack: None, home: Path, visit: Visit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ada", "bob"):
        write_key(tmp_path, name)
    monkeypatch.setenv("EXPUNGE_FLOOR", str(floor_for(tmp_path, "asks", {"copyright": ["bob"]})))
    monkeypatch.setenv("EXPUNGE_HOME", str(home))
    ada, bob = visit("ada"), visit("bob")
    mail = {"file": ("heron.eml", (NOTICES / "heron.eml").read_bytes())}
    path = ada.submit("/receive", {"kind": "copyright"}, files=mail).headers["location"]
    said = {"mode": "text", "policy": written(ada, path)}
    plan = waited(ada, ada.submit(f"{path}/policy", {**said, "then": "plan"}).headers["location"], 500)
    assert "Weights changed" in plan, plan
    asked = waited(ada, ada.submit(f"{path}/policy", {**said, "then": "submit"}).headers["location"], 900)
    assert "Waits for a decision" in asked, asked
    assert "before and after" in bob.read(f"{path}/report")
    key = {"key": ("bob.pem", (tmp_path / "bob.pem").read_bytes())}
    assert ada.submit(f"{path}/approve", files=key).status_code == 400
    published = waited(bob, bob.submit(f"{path}/approve", files=key).headers["location"], 500)
    assert '<span class="badge good">Done</span>' in published, published
    assert "Published" in ada.read(path)
    for name in ("decision", "statement-of-reasons"):
        assert ada.get(f"{path}/letters/{name}").status_code == 200, name
    answer = ada.submit(f"{path}/counter", {"text": HEAD + COMPLETE}).headers["location"]
    assert "Countered" in ada.read(path)
    draft = re.search(r'<textarea id="policy"[^>]*>(.*?)</textarea>', ada.read(f"{answer}/policy?mode=text"), re.S)
    assert draft
    said = {"mode": "text", "policy": html.unescape(draft[1]), "then": "submit"}
    asked = waited(ada, ada.submit(f"{answer}/policy", said).headers["location"], 900)
    assert "Waits for a decision" in asked, asked
    restored = waited(bob, bob.submit(f"{answer}/approve", files=key).headers["location"], 500)
    assert '<span class="badge good">Done</span>' in restored, restored
    assert "Replaced" in ada.read(path)
    assert "The record is whole" in waited(bob, bob.submit("/record/audit").headers["location"], 300)
