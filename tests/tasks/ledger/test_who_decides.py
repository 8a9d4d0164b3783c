"""Who may decide and until when, to the letter and to the second: each small mistake in that would let somebody in."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from securesystemslib.dsse import Envelope
from securesystemslib.signer import CryptoSigner

from expunge.flows.casework.approval import approve, refuse, waiting
from expunge.flows.casework.notices import take_in
from expunge.policies import read
from expunge.tasks.core.errors import UsageError
from expunge.tasks.ledger.case import open_case
from expunge.tasks.ledger.decisions import envelope, record
from expunge.tasks.ledger.decisions.kinds import kinds_of
from expunge.tasks.ledger.decisions.record import NotApproved, approval_of
from expunge.tasks.ledger.decisions.validity import refusal_of
from expunge.tasks.ledger.receipt import Step
from expunge.tasks.ledger.recorder import note
from expunge.tasks.ledger.signatures.keys import private_key
from tests.flows.conftest import policy_file, withdrawal
from tests.tasks.handed_in import handed_in
from tests.tasks.ledger.test_decisions import BUNDLE, DIGEST, Desk
from tests.tasks.ledger.test_decisions import desk as desk  # the fixture

NOTICE = Path(__file__).parents[2] / "policies" / "notices" / "heron.eml"


def test_attack_the_submitters_name_is_written_with_other_capitals(desk: Desk) -> None:
    desk.patch.setenv("EXPUNGE_ACTOR", "BEA")
    desk.submitted()
    with pytest.raises(NotApproved, match="bea handed in the request"):
        desk.approve("bea")


def test_attack_whoever_took_in_the_notice_approves_the_policy_of_another(desk: Desk) -> None:
    """The receipt of the notice is on another line than the request's."""
    desk.floor("asks", {"copyright": ["ada", "bea"]})
    desk.patch.setenv("EXPUNGE_ACTOR", "bea")
    request_id = take_in(NOTICE, "copyright", None, None, desk.home)["request_id"]
    desk.patch.setenv("EXPUNGE_ACTOR", "ada")
    path = policy_file(desk.folder, DIGEST, request_id)
    path.write_text(path.read_text().replace('"trademark"', '"copyright"'))
    case = desk.submitted(path=path)
    with pytest.raises(NotApproved, match=r"bea handed in the request \(received\)"):
        desk.approve("bea", request_id)
    desk.forged(case)
    with pytest.raises(NotApproved, match=r"bea handed in the request \(received\)"):
        approval_of(open_case(case.order), BUNDLE)


def test_an_approval_holds_until_its_last_second_and_not_at_its_end(desk: Desk) -> None:
    case = desk.submitted()
    end = datetime.fromisoformat(desk.approve()["expires"])
    chain = open_case(case.order).chain
    asked, answer = (next(one for one in chain if one.step == step) for step in (Step.AWAITING, Step.APPROVED))
    people = record.people_of(desk.home, chain, asked)
    before, at = (
        refusal_of(desk.home, chain, asked, answer, people, moment) for moment in (end - timedelta(seconds=1), end)
    )
    assert (before, at) == ("", f"the approval expired at {end.isoformat()}")


def test_an_approval_holds_as_long_as_the_stricter_of_two_floors_allows(desk: Desk) -> None:
    case = desk.submitted()
    desk.floor("stricter", {"trademark": ["ada", "bea"]}, hours=1)
    (row,) = waiting(desk.home)
    said = desk.approve()
    assert datetime.fromisoformat(said["expires"]) <= datetime.fromisoformat(said["at"]) + timedelta(hours=1)
    assert approval_of(open_case(case.order), BUNDLE)
    assert row["hours"] == 2, "what the question said"


def test_of_several_kinds_the_shortest_time_holds_and_whoever_may_decide_on_all(desk: Desk) -> None:
    people = {"copyright": {"approvers": ["ada", "bea"], "hours": 9}, "trademark": {"approvers": ["bea"], "hours": 3}}
    approval = {
        kind: {"approvers": {one: key_line(desk, one) for one in told["approvers"]}, "hours": told["hours"]}
        for kind, told in people.items()
    }
    (floor := desk.folder / "two.yaml").write_text(
        (Path(__file__).parents[2] / "floor.yaml").read_text() + f"approval: {json.dumps(approval)}\n"
    )
    desk.patch.setenv("EXPUNGE_FLOOR", str(floor))
    desk.patch.setenv("EXPUNGE_ACTOR", "eve")
    request_id = take_in(NOTICE, "copyright", None, None, desk.home)["request_id"]
    desk.submitted(path=policy_file(desk.folder, DIGEST, request_id))
    (row,) = waiting(desk.home)
    assert (row["approvers"], row["hours"]) == (["bea"], 3)


def key_line(desk: Desk, name: str) -> str:
    public = (desk.folder / f"{name}.pub").read_text()
    return "".join(line for line in public.splitlines() if not line.startswith("-"))


def test_attack_an_approval_of_an_earlier_question_counts_for_a_later_one(desk: Desk) -> None:
    """The work is the same, and the bundle was made anew."""
    desk.submitted()
    desk.approve()
    again = desk.submitted(bundle="e" * 64)
    with pytest.raises(NotApproved, match="nobody has approved it"):
        approval_of(open_case(again.order), "e" * 64)
    with pytest.raises(NotApproved, match=f"waits for no decision on bundle {BUNDLE}"):
        approval_of(open_case(again.order), BUNDLE)


def test_attack_an_approval_of_another_work_is_taken_for_this_one(desk: Desk) -> None:
    case = desk.submitted()
    other = desk.submitted("second", "e" * 64)
    desk.approve(request_id="second")
    with pytest.raises(NotApproved, match="nobody has approved it"):
        approval_of(open_case(case.order), BUNDLE)
    assert approval_of(open_case(other.order), "e" * 64)


def test_a_question_that_was_answered_by_a_publication_is_closed(desk: Desk) -> None:
    case = desk.submitted()
    desk.approve()
    desk.publish(open_case(case.order))
    with pytest.raises(NotApproved, match="waits for no decision"):
        approval_of(open_case(case.order), BUNDLE)


def test_attack_a_person_decides_with_the_key_of_another(desk: Desk) -> None:
    desk.submitted()
    with pytest.raises(NotApproved, match="the key is that of bea, and ada is who decides here"):
        approve(desk.home, "first", desk.key("bea"), person="ada")
    assert approve(desk.home, "first", desk.key("bea"), person="bea")["by"] == "bea"


def test_attack_a_key_keeps_its_name_and_is_exchanged_on_the_floor(desk: Desk) -> None:
    desk.submitted()
    (desk.folder / "bea.pub").write_text((desk.folder / "eve.pub").read_text())
    desk.floor("exchanged", {"trademark": ["bea"]})
    for name in ("bea", "eve"):
        with pytest.raises(NotApproved, match="nobody whom first waits for is named by today's floor"):
            desk.approve(name)


def test_a_request_that_waits_on_two_lines_is_decided_on_one_that_is_named(desk: Desk) -> None:
    case = desk.submitted()
    found = [one for one in case.chain if one.step in (Step.READ, Step.BUNDLED, Step.AWAITING)]
    for one in found:
        told = {"inputs": one.inputs, "outputs": one.outputs, "verdict": one.verdict}
        note(record.Subject(desk.home, "other-line", one.work, "first"), one.step, **told)
    with pytest.raises(UsageError, match=r"first waits on .* and on .*: name one by --line"):
        desk.approve()
    assert approve(desk.home, "first", desk.key("bea"), line=case.order.line)["line"] == case.order.line


def test_a_reason_has_up_to_2000_characters(desk: Desk) -> None:
    desk.submitted()
    assert len(refuse(desk.home, "first", "a" * 2000, desk.key("bea"))["reason"]) == 2000


def test_attack_a_longer_reason_goes_past_the_command(desk: Desk) -> None:
    desk.submitted()
    with pytest.raises(UsageError, match="--reason"):
        record.refuse(desk.home, "first", "a" * 2001, desk.key("bea"))


def test_attack_another_work_of_the_same_request_is_published_by_this_question(desk: Desk) -> None:
    """It has the same bundle, and was read before people were asked."""
    other = handed_in(policy_file(desk.folder, DIGEST, "first", "umbrella"), desk.home)
    desk.submitted()
    desk.approve()
    with pytest.raises(NotApproved, match="first waits for no decision on bundle"):
        approval_of(open_case(other), BUNDLE)


def test_a_question_is_closed_by_another_bundle_and_by_another_policy_of_its_request(desk: Desk) -> None:
    case = desk.submitted()
    note(case.order, Step.BUNDLED, {"candidate": "e" * 64}, {"bundle": "e" * 64})
    assert waiting(desk.home) == []
    desk.submitted("second", "f" * 64)
    assert [row["request_id"] for row in waiting(desk.home)] == ["second"]
    handed_in(policy_file(desk.folder, DIGEST, "second", "umbrella"), desk.home)
    assert waiting(desk.home) == []


def test_a_withdrawal_is_of_the_kind_of_what_it_replaces_before_it_is_on_record(desk: Desk) -> None:
    case = desk.submitted()
    back = withdrawal(desk.folder / "first.yaml", "back", "first")
    back.write_text(back.read_text().replace('"trademark"', '"voluntary"'))
    assert kinds_of(desk.home, case.chain, read(back), []) == {"voluntary", "trademark"}


def test_attack_a_reason_has_signs_that_a_terminal_obeys(desk: Desk) -> None:
    desk.submitted()
    for module in (refuse, record.refuse):
        with pytest.raises(UsageError, match="--reason"):
            module(desk.home, "first", "fine\x1b[2Jprint", desk.key("bea"))


@pytest.mark.parametrize(
    ("payload_type", "spaces", "words"),
    [("text/plain", b"", "is the signature of something else"), (envelope.TYPE, b" ", "is no canonical JSON")],
)
def test_attack_a_signed_text_that_is_no_decision(desk: Desk, payload_type: str, spaces: bytes, words: str) -> None:
    """By the right key."""
    case = desk.submitted()
    desk.forged(case)
    (file,) = (desk.home / "decisions").iterdir()
    content = Envelope.from_dict(json.loads(file.read_bytes())).payload + spaces
    made = Envelope(content, payload_type, {})
    made.sign(CryptoSigner(private_key(desk.key("bea"))))
    people = record.people_of(desk.home, open_case(case.order).chain, open_case(case.order).chain[-2])
    with pytest.raises(ValueError, match=words):
        envelope.open_decision(json.dumps(made.to_dict()).encode(), envelope.registered_keys(people.approvers))


def test_attack_a_decision_names_a_person_without_a_key_and_another_signs_it(desk: Desk) -> None:
    case = desk.submitted()
    desk.forged(case, by="mallory", signer="bea")
    with pytest.raises(NotApproved, match="by 'mallory', whose key is not registered"):
        approval_of(open_case(case.order), BUNDLE)


def test_attack_a_question_is_taken_for_one_about_another_bundle_of_the_same_work(desk: Desk) -> None:
    case = desk.submitted()
    times = [one.verdict for one in case.chain if one.step == Step.AWAITING]
    record.ask(open_case(case.order), "e" * 64, "d" * 64)
    asked = [one for one in open_case(case.order).chain if one.step == Step.AWAITING]
    assert (len(times), [one.inputs["bundle"] for one in asked]) == (1, [BUNDLE, "e" * 64])


def test_attack_a_floor_of_another_request_asks_for_this_one(desk: Desk) -> None:
    """What a floor asked of one policy binds no other, to which no floor ever applied that asks."""
    desk.submitted()
    desk.floor("silent", {})
    free = handed_in(policy_file(desk.folder, DIGEST, "second", "umbrella"), desk.home)
    assert record.deciders_for(open_case(free)) is None


def test_attack_the_audit_finds_an_approval_that_nobody_asked_for_or_another_one(desk: Desk) -> None:
    case = desk.submitted()
    desk.approve()
    desk.publish(open_case(case.order), approval="e" * 64)
    assert any("it does not name the approval that was given" in problem for problem in desk.audited(case))
    desk.floor("silent", {})
    free = handed_in(policy_file(desk.folder, DIGEST, "second", "umbrella"), desk.home)
    inputs = {"policy": free.policy, "state": free.state, "floor": free.floor, "approval": "e" * 64}
    note(free, Step.PUBLISHED, inputs, {"bundle": "c" * 64})
    assert any("it names an approval, and no floor on record asked" in problem for problem in desk.audited(case))


def test_the_audit_allows_ten_minutes_between_the_last_look_and_the_receipt(desk: Desk) -> None:
    case = desk.submitted()
    desk.approve()
    desk.publish(open_case(case.order))
    assert (desk.audited(case, hours=2), len(desk.audited(case, hours=3))) == ([], 1)
