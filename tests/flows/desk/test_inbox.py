"""A notice at the desk: from its receipt to the list of what is due, whatever the notice says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from expunge.flows.casework.notices import received_notices
from expunge.tasks.audit.record import audit
from tests.flows.desk.conftest import NOTICES, Browser

MAIL = (NOTICES / "heron.eml").read_bytes()


def taken_in(browser: Browser, data: bytes, name: str = "n.eml", **fields: str) -> str:
    """Hand in a file, and return the path of its page."""
    answer = browser.submit("/receive", fields, files={"file": (name, data)})
    assert answer.status_code == 303, answer.text
    return answer.headers["location"]


def test_a_mail_is_on_record_by_the_person_who_is_logged_in(ada: Browser, home: Path) -> None:
    page = ada.read(taken_in(ada, MAIL, kind="copyright"))
    assert "Nothing is missing" in page
    assert "The Blue Heron" in page
    (receipt,) = received_notices(home)
    assert receipt.who == "ada"
    assert audit(home).problems == ()
    assert receipt.request_id in ada.read("/")


def test_what_is_missing_comes_with_the_sentence_to_send_back(ada: Browser) -> None:
    page = ada.read(taken_in(ada, (NOTICES / "lumen.json").read_bytes(), "lumen.json"))
    assert "Please sign the notice" in page
    assert "512(c)(3)(A)(i)" in page
    assert "Incomplete" in ada.read("/")


def test_a_text_can_be_pasted(ada: Browser) -> None:
    answer = ada.submit("/receive", {"text": MAIL.decode().replace("\n", "\r\n"), "kind": "copyright"})
    assert "Nothing is missing" in ada.read(answer.headers["location"])


def test_a_notice_that_cannot_be_read_says_why_and_keeps_what_was_written(ada: Browser, home: Path) -> None:
    answer = ada.submit("/receive", {"text": "no notice at all", "kind": "trademark"})
    assert answer.status_code == 400
    assert "no notice at all</textarea>" in answer.text
    assert '<option value="trademark" selected>' in answer.text
    assert not (home / "receipts").exists()


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, "Choose a file"),
        ({"text": "x: y", "kind": "copyrite"}, "one of the kinds"),
        ({"text": "x: y", "received": "yesterday"}, "Received at"),
        ({"text": MAIL.decode(), "received": "2999-01-01T00:00"}, "in the past"),
    ],
)
def test_bad_input_names_the_field(fields: dict[str, str], said: str, ada: Browser, home: Path) -> None:
    answer = ada.submit("/receive", fields)
    assert (answer.status_code, said in answer.text) == (400, True), answer.text
    assert not (home / "receipts").exists()


def test_attack_a_notice_and_its_file_name_hold_a_script(ada: Browser) -> None:
    script = "<script>alert(1)</script><img src=x onerror=alert(2)>"
    page = ada.read(taken_in(ada, MAIL.replace(b"The Blue Heron,", b"The " + script.encode()), kind="copyright"))
    assert "<script>alert" not in page
    assert "<img" not in page
    assert "&lt;script&gt;alert(1)" in page
    answer = ada.submit("/receive", {}, files={"file": (f"{script}.yaml", b"- x")})
    assert answer.status_code == 400
    assert "<script>alert" not in answer.text
    assert re.findall(r" on\w+=", re.sub(r"&[a-z]+;|&#\d+;", "", answer.text)) in ([], [" onerror="])


def test_attack_a_text_turns_the_direction_of_writing(ada: Browser) -> None:
    answer = ada.submit("/receive", {"text": "safe\u202etxt.exe"})
    assert "\\u202e" in answer.text.split("<textarea")[0] or "\u202e" not in answer.text.split("<textarea")[0]
    assert "\u202e" not in answer.text


def test_attack_a_notice_of_a_person_is_shown_in_clear(ada: Browser, home: Path) -> None:
    text = b"""notice_version: "1"
kind: ncii
contacts: ["eva.moss@mail.example"]
elements:
  signature: Eva Moss
  material: a picture of Eva Moss, at /m/7
  contact: eva.moss@mail.example
"""
    path = taken_in(ada, text, "Eva Moss.yaml")
    pages = ada.read(path) + ada.read("/")
    assert "stated" in pages
    assert "Eva Moss" not in pages
    assert "mail.example" not in pages


@pytest.mark.parametrize(
    "name", ["..%2f..%2fprivate", "%2e%2e", "..%5c..", "notice%00", "x" * 65, "a.b", "nobody-knows-it"]
)
def test_attack_an_id_climbs_out_of_the_home(name: str, ada: Browser) -> None:
    taken_in(ada, MAIL, kind="copyright")
    assert ada.get(f"/requests/{name}").status_code == 404


def test_static_files_end_at_their_folder(ada: Browser) -> None:
    assert ada.get("/static/desk.css").status_code == 200
    for path in ("/static/../app.py", "/static/%2e%2e/app.py", "/static/..%2fapp.py"):
        assert ada.get(path).status_code == 404
