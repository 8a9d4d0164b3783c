"""How long a policy holds, as it is written into the desk's form."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from expunge.policies import read
from tests.flows.desk.conftest import Browser
from tests.flows.desk.test_work import FIELDS, draft
from tests.flows.desk.test_work import request_id as request_id  # the fixture

END = "2099-01-31T17:00:00+01:00"


def shown(page: str) -> str:
    """What the field holds."""
    (value,) = re.findall(r'name="expires_at" value="([^"]*)"', page)
    return value


def test_an_end_that_is_entered_is_that_of_the_policy(ada: Browser, home: Path, request_id: str) -> None:
    page = f"/requests/{request_id}/policy"
    assert shown(ada.read(page)) == ""
    said = ada.submit(f"{page}/check", {**FIELDS, "expires_at": f" {END} "}).text
    assert "This policy is valid" in said
    assert "It holds until 2099-01-31" in said
    assert ada.submit(page, {**FIELDS, "expires_at": f" {END} "}).status_code == 303
    assert read(draft(home, request_id)).expires_at == datetime(2099, 1, 31, 16, tzinfo=UTC)
    assert shown(ada.read(page)) == END
    ada.submit(page, {**FIELDS, "expires_at": ""})
    assert read(draft(home, request_id)).expires_at is None, "an end that is taken out is none"
    assert "It holds until" not in ada.read(page)


@pytest.mark.parametrize(
    "end", ["next year", "2099-01-31", "2099-01-31T17:00:00", "2099-02-30T17:00:00Z", "2001-01-31T17:00:00Z"]
)
def test_a_wrong_end_is_told_with_its_field_and_nothing_is_submitted(
    end: str, ada: Browser, home: Path, request_id: str
) -> None:
    page = f"/requests/{request_id}/policy"
    ada.read(page)
    wrong = {**FIELDS, "expires_at": end}
    said = ada.submit(f"{page}/check", wrong).text
    assert re.findall(r"<li><strong>([^<]*)</strong>", said) == ["expires at"], said
    answer = ada.submit(page, {**wrong, "then": "submit"})
    assert (answer.status_code, shown(answer.text)) == (400, end), "it can be put right where it was written"
    assert "<strong>expires at</strong>" in answer.text
    assert not (home / "runs").exists()


def test_what_knows_no_end_takes_none(ada: Browser, home: Path) -> None:
    page = ada.submit("/receive", {"kind": "ncii", "text": "From: a@b.example\n\nMaterial: x\n"}).headers["location"]
    ada.read(f"{page}/policy")
    said = ada.submit(f"{page}/policy/check", {**FIELDS, "expires_at": END}).text
    assert re.findall(r"<li><strong>([^<]*)</strong>", said) == ["expires at"]
    assert "knows no end" in said
