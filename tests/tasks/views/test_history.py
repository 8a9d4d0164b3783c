"""The state of a request says by when the law wants it done, and whether it is late."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from expunge.engine.emoji import JUDGE, MODEL
from expunge.engine.files.digests import folder_digest
from expunge.flows.history import write_report
from expunge.policies import PolicyError, parse, read
from expunge.tasks.core.errors import NothingOnRecord
from expunge.tasks.core.work_order import Order
from expunge.tasks.ledger.policy_store import keep_policy
from expunge.tasks.ledger.queries import elsewhere, states
from expunge.tasks.ledger.recorder import journal, note
from tests.flows.conftest import policy_file, run_cli
from tests.tasks.handed_in import handed_in, on_a_folder

NOW = datetime.now(UTC)  # the same for all tests, or a policy would be another in the next second


def came_in(folder: Path, kind: str, age: timedelta) -> Path:
    """The file of a policy that came in so long ago."""
    path = policy_file(folder, folder_digest(MODEL), "one")
    received = (NOW - age).strftime("%Y-%m-%dT%H:%M:%SZ")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"kind": kind, "received_at": received}))
    return path


def submitted(folder: Path, kind: str, age: timedelta) -> dict[str, Any]:
    """The state of a policy that came in so long ago, as the flow's first task leaves it."""
    path = came_in(folder, kind, age)
    handed_in(path, folder / "home")
    (row,) = states(folder / "home")
    return row | {"received": datetime.fromisoformat(json.loads(path.read_text())["received_at"])}


@pytest.mark.parametrize(("hours", "late"), [(47, False), (49, True)])
def test_what_is_not_done_in_time_is_late(tmp_path: Path, hours: int, late: bool) -> None:
    row = submitted(tmp_path, "ncii", timedelta(hours=hours))
    assert row["late"] is late
    assert datetime.fromisoformat(row["due"]) - row["received"] == timedelta(hours=48)


def test_what_was_published_in_time_does_not_become_late(tmp_path: Path) -> None:
    row = submitted(tmp_path, "ncii", timedelta(hours=47))
    home, later = tmp_path / "home", datetime.now(UTC) + timedelta(days=30)
    assert [one["late"] for one in states(home, now=later)] == [True]
    order = Order.load(home, row["work"])
    note(order, "published", {"policy": order.policy}, {"bundle": "b" * 64})
    assert [(one["state"], one["late"]) for one in states(home, now=later)] == [("published", False)]
    again = replace(order, key="2" * 64)
    note(again, "read", {"policy": order.policy}, {"state": order.state, "work": again.key})
    assert [one["late"] for one in states(home, now=later)] == [False, False], "done again by a newer version, say"


def test_where_no_law_names_a_time_nothing_is_due(tmp_path: Path) -> None:
    row = submitted(tmp_path, "trademark", timedelta(days=400))
    assert (row["due"], row["late"]) == (None, None)


def test_a_lost_policy_hides_no_other_request_and_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    submitted(tmp_path, "ncii", timedelta(days=3))
    for path in (tmp_path / "home" / "policies").iterdir():
        path.write_text("lost")
    (row,) = states(tmp_path / "home")
    assert (row["state"], row["due"]) == ("accepted", None)
    assert not row["policy_kept"]
    monkeypatch.setenv("EXPUNGE_HOME", str(tmp_path / "home"))
    assert "not known, the policy was lost or altered" in run_cli("status").out


def test_the_status_shows_what_is_late(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    row = submitted(tmp_path, "ncii", timedelta(days=3))
    monkeypatch.setenv("EXPUNGE_HOME", str(tmp_path / "home"))
    assert f"{row['due']} late" in run_cli("status").out


def test_a_refusal_that_was_overcome_is_no_request_any_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A policy that was turned away at the door has a key of its own; taken in, it has another."""
    path, home = on_a_folder(came_in(tmp_path, "ncii", timedelta(days=1))), tmp_path / "home"
    monkeypatch.delenv("EXPUNGE_JUDGE", raising=False)
    with pytest.raises(PolicyError, match="no judge is known"):
        handed_in(path, home)
    assert [row["state"] for row in states(home)] == ["rejected"]
    monkeypatch.setenv("EXPUNGE_JUDGE", str(JUDGE))
    handed_in(path, home)
    assert [row["state"] for row in states(home)] == ["accepted"]


def test_the_first_request_on_a_base_is_told_what_holds_for_others_and_not_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same model, downloaded again: its README is another, and so are its digest and its line."""
    row, home = submitted(tmp_path, "ncii", timedelta(hours=1)), tmp_path / "home"
    order = Order.load(home, row["work"])
    base = Path(shutil.copytree(MODEL, tmp_path / "again"))
    (base / "README.md").write_text("# another")
    path = policy_file(tmp_path, folder_digest(base), "two")
    policy = json.loads(path.read_text())
    path.write_text(json.dumps(policy | {"base": policy["base"] | {"uri": f"file:{base}"}}))
    monkeypatch.setenv("EXPUNGE_JUDGE", str(JUDGE))
    second = handed_in(path, home)
    assert elsewhere(home, journal(home, second.line), second.request_id) == {}, "nothing was published yet"
    published = {"bundle": "b" * 64}
    note(order, "published", {"policy": order.policy}, published)
    assert elsewhere(home, journal(home, second.line), second.request_id) == {order.line: [order.request_id]}
    assert elsewhere(home, journal(home, order.line), order.request_id) == {}
    note(second, "published", {"policy": second.policy}, published)
    assert elsewhere(home, journal(home, second.line), second.request_id) == {order.line: [order.request_id]}
    note(replace(second, key="3" * 64, request_id="three"), "published", {"policy": second.policy}, published)
    assert elsewhere(home, journal(home, second.line), second.request_id) == {}, "it is no first request any more"


def test_what_the_gate_doubts_is_the_reason_where_the_verdict_has_none(tmp_path: Path) -> None:
    row = submitted(tmp_path, "trademark", timedelta(days=1))
    order = Order.load(tmp_path / "home", row["work"])
    note(order, "verified", {}, {}, verdict={"outcome": "PASS", "reasons": []})
    note(order, "gated", {}, {}, verdict={"outcome": "shut", "failed": ["the verdict does not follow"]})
    (told,) = states(tmp_path / "home")
    assert (told["state"], told["verdict"], told["reasons"]) == ("rejected", "PASS", ["the verdict does not follow"])


def test_a_report_of_what_is_not_verified_yet_says_how_far_it_came(tmp_path: Path) -> None:
    submitted(tmp_path, "ncii", timedelta(days=1))
    with pytest.raises(NothingOnRecord, match="no verification on record here: it is accepted, submit it again"):
        write_report(tmp_path / "home", read(tmp_path / "one.yaml"), None)


def test_a_request_that_was_published_by_an_amended_file_is_late_no_more(tmp_path: Path) -> None:
    row = submitted(tmp_path, "ncii", timedelta(hours=40))
    home, later = tmp_path / "home", datetime.now(UTC) + timedelta(days=30)
    order = Order.load(home, row["work"])
    note(order, "refused", {"policy": order.policy}, {}, {"outcome": "refused", "reasons": ["too much"]})
    assert [one["late"] for one in states(home, now=later)] == [True], "the positive control"
    data = json.dumps(json.loads((tmp_path / "one.yaml").read_text()) | {"title": "amended"}).encode()
    amended = replace(order, key="2" * 64, policy=parse(data, "one").digest)
    keep_policy(home, amended.policy, data)
    note(amended, "published", {"policy": amended.policy}, {"bundle": "b" * 64})
    told = [(one["state"], one["late"]) for one in states(home, now=later)]
    assert told == [("rejected", False), ("published", False)]


def test_what_is_asked_under_an_id_that_was_published_is_late_by_itself(tmp_path: Path) -> None:
    row = submitted(tmp_path, "ncii", timedelta(hours=40))
    home, later = tmp_path / "home", datetime.now(UTC) + timedelta(days=30)
    order = Order.load(home, row["work"])
    note(order, "published", {"policy": order.policy}, {"bundle": "b" * 64})
    data = json.dumps(json.loads((tmp_path / "one.yaml").read_text()) | {"title": "amended"}).encode()
    amended = replace(order, key="2" * 64, policy=parse(data, "one").digest)
    keep_policy(home, amended.policy, data)
    note(amended, "refused", {"policy": amended.policy}, {}, {"outcome": "refused", "reasons": ["two texts"]})
    told = [(one["state"], one["late"]) for one in states(home, now=later)]
    assert told == [("published", False), ("rejected", True)]
