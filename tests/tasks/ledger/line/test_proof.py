"""How long a proof holds, and what a check is: of what is in force, with seeds that none before it had."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any

import pytest

from expunge.flows.reverify import AHEAD
from expunge.policies import DesiredState, desired_state, parse
from expunge.tasks.audit.record import audit
from expunge.tasks.ledger.floor_store import keep_floor
from expunge.tasks.ledger.line.proof import Proof, doubts_of, state_to_check
from expunge.tasks.ledger.line.status import LineStatus
from expunge.tasks.ledger.policy_store import keep_policy, published_policies
from expunge.tasks.ledger.queries import line_status, lines_to_check, publication, states, summary
from expunge.tasks.ledger.receipt import Receipt, Step
from expunge.tasks.ledger.recorder import journal, note
from tests.flows.conftest import policy_file, run_cli
from tests.tasks.records import LINE, Work

BUNDLE = "bb" * 32


def publish(home: Path, erase: str = "bicycle", days: int = 30, bundle: str = BUNDLE) -> str:
    """A policy and the receipt of its publication; returns the policy's digest."""
    home.mkdir(exist_ok=True)
    path = policy_file(home, "cd" * 32, f"takes-{erase}", erase)
    data = json.dumps(json.loads(path.read_text()) | {"reverify": {"max_age_days": days}}).encode()
    policy = parse(data, erase)
    keep_policy(home, policy.digest, data)
    work = Work(home, key=policy.digest, request_id=policy.request_id)
    note(work, "published", {"policy": policy.digest, "floor": keep_floor(home).digest}, {"bundle": bundle})
    return policy.digest


def check(home: Path, outcome: str = "PASS", **told: Any) -> Receipt:
    """The receipt of a check of what is in force, as a flow would leave it."""
    state = checked_state(home)
    inputs = {"bundle": str(summary(home, LINE)["bundle"]), "state": state.digest, "floor": keep_floor(home).digest}
    if outcome != "ERROR":
        inputs["candidate"] = "aa" * 32
    verdict = {"outcome": outcome, "reasons": [], "doubts": [], **told}
    return note(Work(home, key=state.digest, request_id="check"), Step.CHECKED, inputs, {}, verdict)


def checked_state(home: Path) -> DesiredState:
    """What the next check asks for."""
    return state_to_check(published_policies(home, chain(home)), chain(home), keep_floor(home))


def chain(home: Path) -> list[Receipt]:
    return journal(home, LINE).receipts()


def of(home: Path) -> LineStatus:
    status = line_status(home, LINE)
    assert status is not None
    return status


def doubted(home: Path, line: str) -> list[str]:
    status = line_status(home, line)
    return status.proof.doubts if status else []


def moment(receipt: Receipt) -> datetime:
    return datetime.fromisoformat(receipt.at)


def test_where_nothing_is_published_nothing_has_to_be_proven(tmp_path: Path) -> None:
    note(Work(tmp_path), "read", {}, {})
    assert Proof.of(chain(tmp_path)) is None
    assert lines_to_check(tmp_path) == []
    assert doubted(tmp_path, LINE) == []
    assert doubted(tmp_path, "no-line") == []


def test_it_is_due_by_the_shortest_time_of_the_policies_in_force_from_the_last_proof_on(tmp_path: Path) -> None:
    publish(tmp_path, "bicycle", days=7)
    publish(tmp_path, "umbrella", days=90)
    week = moment(chain(tmp_path)[0]) + timedelta(days=7)
    assert of(tmp_path).proof_due == of(tmp_path).check_due == week
    assert lines_to_check(tmp_path, week - timedelta(seconds=1)) == []
    assert lines_to_check(tmp_path, week) == lines_to_check(tmp_path) == [LINE]
    checked = moment(check(tmp_path))
    assert of(tmp_path).proof_due == checked + timedelta(days=7)


def test_a_check_that_proves_nothing_makes_the_proof_no_younger_and_is_not_made_again_every_night(
    tmp_path: Path,
) -> None:
    publish(tmp_path, days=7)
    failed = check(tmp_path, "INCONCLUSIVE", reasons=["more pictures are needed"])
    assert of(tmp_path).proof.proven_by.step == "published"
    assert of(tmp_path).proof_due == moment(chain(tmp_path)[0]) + timedelta(days=7)
    assert of(tmp_path).check_due == moment(failed) + timedelta(days=7)


def test_a_proof_by_a_clock_that_ran_ahead_is_due_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(tmp_path)
    check(tmp_path)

    class Earlier(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
            return datetime.now(tz) - timedelta(days=400)

    assert lines_to_check(tmp_path, Earlier.now(UTC)) == []
    monkeypatch.setattr("expunge.tasks.ledger.line.status.datetime", Earlier)
    assert lines_to_check(tmp_path, Earlier.now(UTC)) == [LINE]
    assert [row["proof_late"] for row in states(tmp_path, now=Earlier.now(UTC))] == [True]


def test_a_lost_policy_hides_no_other_and_where_all_are_lost_it_is_due(tmp_path: Path) -> None:
    short, _ = publish(tmp_path, "bicycle", days=7), publish(tmp_path, "umbrella", days=90)
    (tmp_path / "policies" / f"{short}.yaml").unlink()
    assert of(tmp_path).proof_due == moment(chain(tmp_path)[0]) + timedelta(days=90)
    assert "not the published policy that was received" in of(tmp_path).doubts[0]
    assert {row["state"] for row in states(tmp_path)} == {"suspect"}, "nobody can tell what the lost one replaced"
    for path in (tmp_path / "policies").iterdir():
        path.unlink()
    assert of(tmp_path).proof_due is None
    assert lines_to_check(tmp_path, datetime.now(UTC)) == [LINE]


def test_a_line_whose_chain_does_not_hold_is_to_be_checked_and_hides_no_other(tmp_path: Path) -> None:
    publish(tmp_path)
    (tmp_path / "receipts" / "broken-1").mkdir()
    (tmp_path / "receipts" / "broken-1" / "000001-stray.json").write_text("{}")
    assert lines_to_check(tmp_path) == ["broken-1", LINE]
    assert lines_to_check(tmp_path, datetime.now(UTC)) == ["broken-1"]
    assert summary(tmp_path, "broken-1")["bundle"] is None


def test_every_check_has_a_seed_of_its_own_and_asks_for_the_same(tmp_path: Path) -> None:
    publish(tmp_path)
    path = policy_file(tmp_path, "cd" * 32, "takes-bicycle", "bicycle")
    wanted = desired_state([parse(path.read_bytes(), "policy")])
    asked = []
    for _ in range(3):
        state = checked_state(tmp_path)
        assert state == checked_state(tmp_path), "until it is concluded it stays the same check"
        assert state.model_copy(update={"seed": wanted.seed}) == wanted
        asked.append(state.seed)
        check(tmp_path)
    assert len({wanted.seed, *asked}) == 4


@pytest.mark.parametrize(
    ("outcome", "told", "found"),
    [
        ("PASS", {}, []),
        ("FAIL", {"reasons": ["panda is seen"]}, ["panda is seen"]),
        ("INCONCLUSIVE", {"reasons": ["more pictures are needed"]}, ["more pictures are needed"]),
        ("PASS", {"doubts": ["the verdict does not follow"]}, ["the verdict does not follow"]),
        ("ERROR", {}, ["it came to ERROR"]),
        ("passed", {}, ["it came to passed"]),
        ("PASS", {"doubts": None}, ["it came to PASS"]),
        ("PASS", {"reasons": {}}, ["it came to PASS"]),
    ],
)
def test_only_a_pass_without_a_doubt_proves_it(tmp_path: Path, outcome: str, told: dict, found: list[str]) -> None:
    publish(tmp_path)
    assert doubts_of(check(tmp_path, outcome, **told)) == doubted(tmp_path, LINE) == found


def test_what_is_suspect_shows_in_the_status_until_a_check_passes_or_something_new_is_published(tmp_path: Path) -> None:
    publish(tmp_path)
    (row,) = states(tmp_path)
    assert (row["state"], row["checked"], row["proof_late"]) == ("published", None, False)
    failed = check(tmp_path, "FAIL", reasons=["panda is seen"])
    (row,) = states(tmp_path)
    assert (row["state"], row["reasons"], row["checked"]) == ("suspect", ["panda is seen"], failed.at)
    check(tmp_path)
    (row,) = states(tmp_path)
    assert (row["state"], row["reasons"]) == ("published", [])
    check(tmp_path, "ERROR", reasons=["a file is missing"])
    publish(tmp_path, "umbrella", bundle="cc" * 32)
    assert [row["state"] for row in states(tmp_path)] == ["published", "published"]


def test_what_was_published_stays_so_whatever_a_later_run_of_the_same_work_meets(tmp_path: Path) -> None:
    """Another torch draws other pictures, which prove nothing: the bundle that is served is the one that passed."""
    work = Work(tmp_path, key=publish(tmp_path), request_id="takes-bicycle")
    (before,) = states(tmp_path)
    note(work, "verified", {"candidate": "a" * 64}, {}, {"outcome": "INCONCLUSIVE", "reasons": ["too few"]})
    note(work, "gated", {}, {}, {"outcome": "shut", "failed": ["too few"]})
    assert states(tmp_path) == [before]
    assert before["state"] == "published"


def test_a_line_whose_chain_does_not_hold_keeps_no_other_from_being_told(tmp_path: Path) -> None:
    policy = publish(tmp_path)
    note(Work(tmp_path, "another-1"), "read", {}, {})
    (tmp_path / "receipts" / "another-1" / ".DS_Store").touch()
    assert [row["state"] for row in states(tmp_path)] == ["published"]
    assert publication(tmp_path, LINE, policy) == chain(tmp_path)[-1]
    told = run_cli("status", "--json", EXPUNGE_HOME=str(tmp_path))
    assert told.code == 6
    assert [row["state"] for row in told.data["requests"]] == ["published"]
    assert ["another-1 does not hold" in problem for problem in told.data["problems"]] == [True]
    shown = run_cli("status", EXPUNGE_HOME=str(tmp_path)).out
    assert "nothing can be told of a line: the ledger of another-1 does not hold" in shown


def test_what_falls_due_in_two_nights_is_checked_for_one_of_them_may_fail(tmp_path: Path) -> None:
    publish(tmp_path, days=30)
    given = moment(chain(tmp_path)[0])
    for days, expected in ((27, []), (29, [LINE])):
        night = given + timedelta(days=days) - timedelta(minutes=1)
        assert lines_to_check(tmp_path, night + AHEAD) == expected


def test_a_check_that_was_missed_is_late(tmp_path: Path) -> None:
    publish(tmp_path, days=7)
    later = datetime.now(UTC) + timedelta(days=8)
    (row,) = states(tmp_path, now=later)
    assert (row["state"], row["proof_late"]) == ("published", True)
    assert summary(tmp_path, LINE)["proof_due"] == row["proof_due"]


def replace(home: Path, gone: str, **more: Any) -> str:
    """A policy that takes the place of another request, and its publication."""
    path = policy_file(home, "cd" * 32, "instead", "umbrella")
    data = json.dumps(json.loads(path.read_text()) | {"replaces": [gone], **more}).encode()
    policy = parse(data, "instead")
    keep_policy(home, policy.digest, data)
    note(Work(home, request_id="instead"), "published", {"policy": policy.digest}, {"bundle": BUNDLE})
    return policy.digest


def test_a_request_that_was_replaced_says_by_which_and_its_terms_count_no_more(tmp_path: Path) -> None:
    publish(tmp_path, "bicycle", days=3)
    replace(tmp_path, "takes-bicycle")
    old, new = states(tmp_path)
    assert (old["state"], old["reasons"], old["proof_due"]) == ("replaced", ["by instead"], None)
    assert (new["state"], new["replaces"]) == ("published", ["takes-bicycle"])
    assert of(tmp_path).days == 30
    assert [item.name for item in checked_state(tmp_path).concepts] == ["umbrella"]


def test_what_came_to_nothing_is_replaced_too_and_no_longer_late(tmp_path: Path) -> None:
    path = policy_file(tmp_path, "cd" * 32, "intimate")
    received = (datetime.now(UTC) - timedelta(hours=47)).strftime("%Y-%m-%dT%H:%M:%SZ")
    data = json.dumps(json.loads(path.read_text()) | {"kind": "ncii", "received_at": received}).encode()
    policy = parse(data, "intimate")
    keep_policy(tmp_path, policy.digest, data)
    told = {"outcome": "refused", "reasons": ["too few seeds"]}
    note(Work(tmp_path, key="1" * 64, request_id="intimate"), "refused", {"policy": policy.digest}, {}, told)
    later = datetime.now(UTC) + timedelta(days=9)
    assert [(row["state"], row["late"]) for row in states(tmp_path, now=later)] == [("rejected", True)]
    replace(tmp_path, "intimate")
    old, _ = states(tmp_path, now=later)
    assert (old["state"], old["reasons"], old["late"]) == ("replaced", ["by instead"], False)


def bundled(home: Path, bundle: str, weights: str) -> None:
    note(Work(home, key=bundle), "bundled", {"candidate": weights}, {"bundle": bundle})


def test_attack_the_suspect_weights_are_published_again_under_another_id_to_be_rid_of_the_doubt(
    tmp_path: Path,
) -> None:
    for bundle in (BUNDLE, "cc" * 32):
        bundled(tmp_path, bundle, "aa" * 32)
    bundled(tmp_path, "dd" * 32, "ee" * 32)
    publish(tmp_path, "bicycle")
    check(tmp_path, "FAIL", reasons=["bicycle is seen"])
    publish(tmp_path, "umbrella", bundle="cc" * 32)
    assert doubted(tmp_path, LINE) == ["bicycle is seen"]
    assert of(tmp_path).proof.proven_by == chain(tmp_path)[3], "the same weights on the same pictures are no new proof"
    publish(tmp_path, "rainbow", bundle="dd" * 32)
    assert doubted(tmp_path, LINE) == []
    publish(tmp_path, "panda", bundle=BUNDLE)
    assert doubted(tmp_path, LINE) == ["bicycle is seen"], "nor do they get better by being away for a while"
    check(tmp_path)
    assert doubted(tmp_path, LINE) == []


def test_a_delivery_that_failed_says_nothing_of_the_weights(tmp_path: Path) -> None:
    bundled(tmp_path, BUNDLE, "aa" * 32)
    publish(tmp_path, "bicycle")
    check(tmp_path, "ERROR", reasons=["a file is missing"])
    assert doubted(tmp_path, LINE) == ["a file is missing"]
    publish(tmp_path, "umbrella")
    assert doubted(tmp_path, LINE) == []


def test_a_replaced_request_that_is_handed_in_again_stays_replaced_and_its_id_hides_no_other(tmp_path: Path) -> None:
    path = policy_file(tmp_path, "cd" * 32, "one")
    policy = parse(path.read_bytes(), "one")
    keep_policy(tmp_path, policy.digest, path.read_bytes())
    told = {"outcome": "refused", "reasons": ["x"]}
    note(Work(tmp_path, key="1" * 64, request_id="one"), "refused", {"policy": policy.digest}, {}, told)
    replace(tmp_path, "one")
    note(Work(tmp_path, key="2" * 64, request_id="one"), "refused", {"policy": policy.digest}, {}, told)
    other = policy_file(tmp_path, "cd" * 32, "one", "panda")
    keep_policy(tmp_path, parse(other.read_bytes(), "one").digest, other.read_bytes())
    stranger = {"policy": parse(other.read_bytes(), "one").digest}
    note(Work(tmp_path, key="3" * 64, request_id="one"), "refused", stranger, {}, told)
    assert [row["state"] for row in states(tmp_path)] == ["published", "replaced", "rejected"]


def test_a_publication_that_names_nothing_ends_nothing(tmp_path: Path) -> None:
    note(Work(tmp_path), "bundled", {}, {})
    note(Work(tmp_path), "published", {}, {})
    note(Work(tmp_path, key="1" * 64), Step.CHECKED, {}, {}, {"outcome": "ERROR", "reasons": ["x"]})
    assert "a publication before it names no policy" in "\n".join(problems(tmp_path))
    assert lines_to_check(tmp_path) == [LINE]
    assert [row["state"] for row in states(tmp_path)] == ["suspect"]


def problems(home: Path) -> list[str]:
    return [problem for problem in audit(home).problems if f"({Step.CHECKED} " in problem]


def test_a_check_of_what_was_not_as_published_has_no_evidence_and_is_whole(tmp_path: Path) -> None:
    publish(tmp_path)
    check(tmp_path, "ERROR", reasons=["a file is missing"])
    assert problems(tmp_path) == []


def test_attack_a_check_is_made_up_without_evidence(tmp_path: Path) -> None:
    publish(tmp_path)
    check(tmp_path, "PASS")
    assert any("evidence.parquet is missing" in problem for problem in problems(tmp_path))


def test_attack_a_check_asks_for_less_than_is_in_force(tmp_path: Path) -> None:
    publish(tmp_path, "bicycle")
    softer = checked_state(tmp_path)
    publish(tmp_path, "umbrella")
    told = {"outcome": "ERROR", "reasons": ["x"]}
    asked = {"bundle": BUNDLE, "state": softer.digest, "floor": keep_floor(tmp_path).digest}
    note(Work(tmp_path, request_id="check"), Step.CHECKED, asked, {}, told)
    (problem,) = problems(tmp_path)
    assert "by the policies in force it has to ask for the state" in problem


def test_attack_a_check_is_of_another_bundle_than_was_published(tmp_path: Path) -> None:
    publish(tmp_path)
    state = checked_state(tmp_path)
    told = {"outcome": "ERROR", "reasons": ["x"]}
    asked = {"bundle": "ee" * 32, "state": state.digest, "floor": keep_floor(tmp_path).digest}
    note(Work(tmp_path, request_id="check"), Step.CHECKED, asked, {}, told)
    (problem,) = problems(tmp_path)
    assert f"published last is {BUNDLE}" in problem


def test_attack_a_check_is_of_another_model_or_of_evidence_that_was_there(tmp_path: Path) -> None:
    bundled(tmp_path, BUNDLE, "aa" * 32)
    publish(tmp_path)
    note(Work(tmp_path), "verified", {"candidate": "aa" * 32}, {"evidence": "e" * 64}, {"outcome": "PASS"})
    state = checked_state(tmp_path)
    inputs = {"bundle": BUNDLE, "state": state.digest, "candidate": "ff" * 32}
    told = {"outcome": "PASS", "reasons": [], "doubts": []}
    note(Work(tmp_path, key="1" * 64, request_id="check"), Step.CHECKED, inputs, {"evidence": "e" * 64}, told)
    found = "\n".join(problems(tmp_path))
    assert f"it questioned the model {'ff' * 32}, published last is {'aa' * 32}" in found
    assert f"its evidence {'e' * 64} is that of an earlier receipt" in found


def test_attack_a_check_is_told_before_anything_is_published(tmp_path: Path) -> None:
    note(
        Work(tmp_path, request_id="check"), Step.CHECKED, {"bundle": BUNDLE}, {}, {"outcome": "ERROR", "reasons": ["x"]}
    )
    (problem,) = problems(tmp_path)
    assert "nothing was published before it" in problem
