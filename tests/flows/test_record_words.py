"""`expunge receipts` and `expunge evidence`: the record in words, and as an archive."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from expunge.tasks.core.paths import EVIDENCE, work_folder
from tests.flows.conftest import run_cli
from tests.tasks.views.lettered import noticed, publish, request


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose home has a notice and a request that was published."""
    folder = tmp_path_factory.mktemp("words")
    noticed(folder)
    publish(request(folder))
    return folder


@pytest.fixture(autouse=True)
def _at_home(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXPUNGE_HOME", str(folder / "home"))


def test_the_receipts_of_a_request_are_listed_and_each_is_told_in_words() -> None:
    rows = run_cli("receipts", "first", "--json").data["receipts"]
    assert [row["step"] for row in rows] == ["read", "verified", "published"]
    assert "Policy taken up" in run_cli("receipts", "first").out
    said = run_cli("receipts", rows[1]["receipt"][:12]).out
    for words in (
        "Verification judged: the step `verified` of the request first.",
        "Outcome: PASS.",
        "which is here as it was.",
        f"It follows the receipt {rows[0]['receipt'][:12]}.",
    ):
        assert words in said
    assert run_cli("receipts", rows[0]["receipt"], "--json").data["content"]["step"] == "read"


def test_the_receipt_of_a_notice_says_when_it_came_in() -> None:
    number = run_cli("status", "--json").data["notices"][0]
    said = run_cli("receipts", number["receipt"]).out
    assert f"It came in on {number['received_at']}." in said
    assert "it is the first of its line" in said


def test_the_archive_is_that_of_the_desk(tmp_path: Path) -> None:
    file = tmp_path / "first.zip"
    assert run_cli("receipts", "first", "--zip", str(file)).code == 0
    with zipfile.ZipFile(file) as archive:
        names = archive.namelist()
    assert "verdict.json" in names
    assert sum(name.startswith("receipts/") for name in names) == 3
    again = run_cli("receipts", "first", "--zip", str(file))
    assert (again.code, "is there already" in again.err) == (2, True)


def test_evidence_says_what_was_seen_of_each_concept() -> None:
    found = run_cli("evidence", "first", "--json").data
    assert found["pictures"] == sum(found["by_model"].values())
    target = next(row for row in found["concepts"] if row["concept"] == "bicycle")
    assert (target["before"][0], target["after"][0]) == (target["before"][1], 0)
    said = run_cli("evidence", "first").out
    total = target["after"][1]
    assert f"and in 0 of {total} pictures by the edited model." in said
    assert "PASS by this evidence" in said


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("receipts", "nobody"), 2, "no request 'nobody'"),
        (("receipts", "0" * 64), 2, "no receipt 000"),
        (("receipts", "0" * 64, "--zip", "x.zip"), 2, "takes the id of a request"),
        (("evidence", "nobody"), 2, "nothing was verified"),
    ],
)
def test_what_is_not_on_record_is_named(words: tuple[str, ...], code: int, said: str) -> None:
    done = run_cli(*words)
    assert (done.code, done.out) == (code, "")
    assert said in done.err


def test_attack_evidence_was_changed_after_it_was_signed(tmp_path: Path) -> None:
    order = request(tmp_path)
    publication = publish(order)
    path = work_folder(order.home, publication.work) / EVIDENCE
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    done = run_cli("evidence", "first", EXPUNGE_HOME=str(order.home))
    assert (done.code, done.out) == (6, "")
    receipt = run_cli("receipts", "first", "--json", EXPUNGE_HOME=str(order.home)).data["receipts"][1]["receipt"]
    assert "the file here is ANOTHER" in run_cli("receipts", receipt, EXPUNGE_HOME=str(order.home)).out
