"""Decisions of people: which approval counts, and how it could be got around."""

from __future__ import annotations

import base64
import json
import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from expunge.canonical_json import sha256
from expunge.engine.emoji import MODEL
from expunge.engine.files.digests import folder_digest
from expunge.flows.casework.approval import approve, refuse, waiting
from expunge.flows.casework.notices import list_due, take_in
from expunge.policies import PolicyErrors
from expunge.tasks.audit.approvals import unapproved
from expunge.tasks.audit.record import audit
from expunge.tasks.core.errors import IntegrityError, NothingOnRecord, UsageError
from expunge.tasks.ledger.case import Case, open_case
from expunge.tasks.ledger.decisions import envelope
from expunge.tasks.ledger.decisions.record import NotApproved, approval_of, ask
from expunge.tasks.ledger.floor_store import BUILT_IN, accepted_floors, floor_in_force
from expunge.tasks.ledger.queries import states
from expunge.tasks.ledger.receipt import Receipt, Step
from expunge.tasks.ledger.recorder import journal, note
from expunge.tasks.ledger.signatures.keys import private_key
from tests.flows.conftest import policy_file, run_cli, withdrawal
from tests.tasks.handed_in import handed_in
from tests.tasks.ledger.signatures.keys import write_key

DIGEST = folder_digest(MODEL)
BUNDLE = "b" * 64
TESTS = Path(__file__).parents[2]


def in_base64(public: Path) -> str:
    return "".join(line for line in public.read_text().splitlines() if not line.startswith("-"))


def floor_for(folder: Path, name: str, kinds: dict[str, list[str]], **terms: Any) -> Path:
    """Write a floor that lets these people decide, by kind; each has a key in the folder."""
    file = folder / f"{name}.yaml"
    approval = {
        kind: {"approvers": {one: in_base64(folder / f"{one}.pub") for one in people}, **terms}
        for kind, people in kinds.items()
    }
    file.write_text((TESTS / "floor.yaml").read_text() + (f"approval: {json.dumps(approval)}\n" if kinds else ""))
    return file


def moved(at: str, by: timedelta) -> str:
    return f"{datetime.fromisoformat(at) + by:%Y-%m-%dT%H:%M:%SZ}"


@dataclass
class Desk:
    """A home with one request that waits, and the people's keys."""

    folder: Path
    patch: pytest.MonkeyPatch

    @property
    def home(self) -> Path:
        return self.folder / "home"

    def key(self, name: str) -> Path:
        return self.folder / f"{name}.pem"

    def floor(self, name: str, kinds: dict[str, list[str]], **terms: Any) -> None:
        self.patch.setenv("EXPUNGE_FLOOR", str(floor_for(self.folder, name, kinds, **terms)))

    def submitted(self, request_id: str = "first", bundle: str = BUNDLE, path: Path | None = None) -> Case:
        """What a takedown leaves that ended in a bundle, and the question that it asks."""
        path = path or policy_file(self.folder, DIGEST, request_id)
        order = handed_in(path, self.home)
        note(order, Step.BUNDLED, {"candidate": "c" * 64, "verdict": "d" * 64}, {"bundle": bundle})
        case = open_case(order)
        ask(case, bundle, "d" * 64)
        return open_case(order)

    def approve(self, name: str = "bea", request_id: str = "first") -> dict[str, Any]:
        return approve(self.home, request_id, self.key(name))

    def publish(self, case: Case, bundle: str = BUNDLE, **more: str) -> Receipt:
        """What `publish_task` notes, once it has looked at the approval."""
        inputs = {"policy": case.order.policy, "state": case.order.state, "floor": case.order.floor}
        return case.note(Step.PUBLISHED, inputs | approval_of(case, bundle) | more, {"bundle": bundle})

    def forged(self, case: Case, **changed: Any) -> None:
        """Put an approval on record as somebody does who can write here and has one registered key, or none."""
        asked = next(one for one in reversed(case.chain) if one.step == Step.AWAITING)
        signer = changed.pop("signer", "bea")
        said: dict[str, Any] = {
            "outcome": "approved",
            "by": "bea",
            "line": asked.line,
            "request_id": asked.request_id,
            "policy": asked.inputs["policy"],
            "bundle": asked.inputs["bundle"],
            "nonce": asked.digest,
            "expires": datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1),
        }
        signed = envelope.sign_decision(
            envelope.Decision.model_validate(said | changed), private_key(self.key(signer or "bea"))
        )
        if signer is None:
            signed = json.dumps(json.loads(signed) | {"signatures": []}).encode()
        digest = envelope.keep_decision(self.home, signed)
        inputs = {"policy": case.order.policy, "bundle": asked.inputs["bundle"], "approval": digest}
        case.note(Step.APPROVED, inputs, {}, {"outcome": "approved", "by": "bea", "reasons": []})

    def audited(self, case: Case, hours: int = 0) -> list[str]:
        """What the audit says of the publications, were they so many hours later."""
        chain = journal(self.home, case.order.line).receipts()
        later = timedelta(hours=hours)
        return [
            problem
            for place, receipt in enumerate(chain)
            if receipt.step == Step.PUBLISHED
            for problem in unapproved(
                self.home, receipt.model_copy(update={"at": moved(receipt.at, later)}), chain[:place]
            )
        ]


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    for name in ("ada", "bea", "eve"):
        write_key(tmp_path, name)
    monkeypatch.setenv("EXPUNGE_ACTOR", "ada")
    made = Desk(tmp_path, monkeypatch)
    made.floor("asks", {"trademark": ["ada", "bea"]}, hours=2)
    return made


def test_a_person_approves_and_the_publication_names_the_approval(desk: Desk) -> None:
    case = desk.submitted()
    (row,) = waiting(desk.home)
    assert (row["request_id"], row["state"], row["approvers"]) == ("first", "awaiting_approval", ["ada", "bea"])
    assert [one["state"] for one in states(desk.home)] == ["awaiting_approval"]
    with pytest.raises(NotApproved, match=r"nobody has approved it.*expunge approve first --key FILE"):
        approval_of(case, BUNDLE)
    assert desk.approve()["by"] == "bea"
    (row,) = waiting(desk.home)
    assert (row["state"], row["approved_by"]) == ("approved", "bea")
    case = open_case(case.order)
    published = desk.publish(case)
    assert (desk.home / "decisions" / f"{published.inputs['approval']}.json").is_file()
    assert (waiting(desk.home), desk.audited(case)) == ([], [])
    assert [one["state"] for one in states(desk.home)] == ["published"]


def test_a_floor_that_asks_for_nothing_lets_a_proven_bundle_through(desk: Desk) -> None:
    desk.floor("silent", {})
    case = desk.submitted()
    assert (approval_of(case, BUNDLE), waiting(desk.home)) == ({}, [])
    desk.publish(case)
    assert desk.audited(case) == []


def test_an_open_question_is_not_asked_twice_and_a_refused_one_is_asked_anew(desk: Desk) -> None:
    case = desk.submitted()
    before = len(case.chain)
    assert len(desk.submitted().chain) == before
    said = refuse(desk.home, "first", "The mark was never registered.", desk.key("bea"))
    assert (said["state"], said["reason"], waiting(desk.home)) == ("rejected", "The mark was never registered.", [])
    (row,) = states(desk.home)
    assert (row["state"], row["reasons"]) == ("rejected", ["The mark was never registered."])
    with pytest.raises(NotApproved, match="waits for no decision"):
        approval_of(open_case(case.order), BUNDLE)
    again = desk.submitted()
    assert [one.step for one in again.chain].count(Step.AWAITING) == 2


def test_attack_an_approval_goes_on_counting_after_a_refusal(desk: Desk) -> None:
    case = desk.submitted()
    desk.approve()
    refuse(desk.home, "first", "It is a parody.", desk.key("bea"))
    desk.submitted()
    with pytest.raises(NotApproved, match="nobody has approved it"):
        approval_of(open_case(case.order), BUNDLE)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"bundle": "e" * 64}, "is for the bundle e"),
        ({"policy": "e" * 64}, "is for the policy e"),
        ({"line": "other-line"}, "is for the line other-line"),
        ({"request_id": "second"}, "is for the request_id second"),
        ({"nonce": "e" * 64}, "is for the nonce e"),
        ({"expires": datetime(2026, 1, 1, tzinfo=UTC)}, "expired at 2026-01-01"),
        ({"expires": datetime(2999, 1, 1, tzinfo=UTC)}, "longer than the 2 hours"),
        ({"outcome": "refused"}, "is no approval"),
        ({"signer": "eve"}, "is not signed by the registered key of bea"),
        ({"signer": "eve", "by": "eve"}, "by 'eve', whose key is not registered"),
        ({"signer": None}, "is not signed by the registered key of bea"),
        ({"signer": "ada", "by": "ada"}, "ada handed in the request"),
    ],
    ids=[
        *("another_bundle", "another_policy", "another_line", "another_request", "a_forged_nonce", "expired"),
        *("holds_for_ever", "a_refusal", "signed_by_another", "an_unregistered_key", "unsigned", "the_submitters_own"),
    ],
)
def test_attack_an_approval_on_record_that_is_not_one(desk: Desk, changed: dict[str, Any], words: str) -> None:
    case = desk.submitted()
    desk.forged(case, **changed)
    with pytest.raises(NotApproved, match=words):
        approval_of(open_case(case.order), BUNDLE)
    digest = open_case(case.order).chain[-1].inputs["approval"]
    inputs = {"policy": case.order.policy, "state": case.order.state, "floor": case.order.floor, "approval": digest}
    case.note(Step.PUBLISHED, inputs, {"bundle": BUNDLE})
    assert any(words in problem for problem in desk.audited(case)), desk.audited(case)


def test_attack_the_same_approval_is_used_twice(desk: Desk) -> None:
    case = desk.submitted()
    desk.approve()
    published = desk.publish(open_case(case.order))
    case = desk.submitted()
    case.note(
        Step.APPROVED, {"policy": case.order.policy, "bundle": BUNDLE, "approval": published.inputs["approval"]}, {}
    )
    with pytest.raises(NotApproved, match="was used for an earlier publication"):
        approval_of(open_case(case.order), BUNDLE)


def test_attack_whoever_handed_it_in_approves_it(desk: Desk) -> None:
    desk.submitted()
    with pytest.raises(NotApproved, match="ada handed in the request"):
        desk.approve("ada")
    with pytest.raises(NotApproved, match="the key is of nobody who may decide: that may ada or bea"):
        desk.approve("eve")
    assert [row["state"] for row in states(desk.home)] == ["awaiting_approval"]


def test_attack_whoever_handed_it_in_under_another_name_approves_by_the_key_that_signed(desk: Desk) -> None:
    desk.patch.setenv("EXPUNGE_ACTOR", "somebody else")
    desk.patch.setenv("EXPUNGE_SIGNING_KEY", str(desk.key("bea")))
    desk.submitted()
    with pytest.raises(NotApproved, match="bea handed in the request"):
        desk.approve("bea")


def test_attack_a_floor_without_approval_is_swapped_in_before_the_publication(desk: Desk) -> None:
    case = desk.submitted()
    desk.floor("silent", {})
    with pytest.raises(NotApproved, match="nobody has approved it"):
        approval_of(case, BUNDLE)
    again = desk.submitted()  # by the floor that asks for nothing
    with pytest.raises(NotApproved, match="nobody has approved it"):
        approval_of(again, BUNDLE)
    desk.approve()
    assert approval_of(open_case(again.order), BUNDLE)


def test_attack_a_floor_with_another_approver_is_swapped_in_before_the_approval(desk: Desk) -> None:
    case = desk.submitted()
    desk.floor("others", {"trademark": ["eve"]})
    with pytest.raises(NotApproved, match="nobody whom first waits for is named by today's floor"):
        desk.approve("eve")
    assert "submit it again" in waiting(desk.home)[0]["problem"]
    desk.submitted()
    desk.approve("eve")
    assert approval_of(open_case(case.order), BUNDLE)


def test_attack_a_person_who_was_taken_off_the_floor_approves(desk: Desk) -> None:
    desk.patch.setenv("EXPUNGE_ACTOR", "x")
    desk.submitted()
    desk.approve("bea")
    desk.floor("fewer", {"trademark": ["ada"]})
    with pytest.raises(NotApproved, match="the key is of nobody"):
        desk.approve("bea")


def test_attack_a_kind_that_nobody_decides_on_withdraws_what_people_decide_on(desk: Desk) -> None:
    case = desk.submitted()
    desk.approve()
    desk.publish(open_case(case.order))
    back = withdrawal(desk.folder / "first.yaml", "back", "first")
    back.write_text(back.read_text().replace('"trademark"', '"voluntary"'))
    case = desk.submitted("back", path=back)
    with pytest.raises(NotApproved, match="nobody has approved it"):
        approval_of(case, BUNDLE)


def test_attack_a_notice_of_a_kind_that_people_decide_on_is_submitted_as_another(desk: Desk) -> None:
    (mail := desk.folder / "notice.eml").write_text("From: a@b.example\nSubject: x\n\nOur mark: Velo\n")
    number = take_in(mail, "trademark", None, None, desk.home)["request_id"]
    case = desk.submitted(path=as_voluntary(desk, number))
    with pytest.raises(NotApproved, match="nobody has approved it"):
        approval_of(case, BUNDLE)
    inputs = {"policy": case.order.policy, "floor": case.order.floor}
    case.note(Step.PUBLISHED, inputs, {"bundle": BUNDLE})
    assert desk.audited(case, hours=1) != []


def test_attack_a_request_comes_again_under_its_id_as_of_a_kind_that_nobody_decides_on(desk: Desk) -> None:
    desk.submitted()
    refuse(desk.home, "first", "The mark was never registered.", desk.key("bea"))
    case = desk.submitted(path=as_voluntary(desk, "first"))
    with pytest.raises(NotApproved, match="nobody has approved it"):
        approval_of(case, BUNDLE)


def test_attack_a_kind_is_laundered_by_a_replacement_between(desk: Desk) -> None:
    case = desk.submitted()
    desk.approve()
    desk.publish(open_case(case.order))
    between = replacing(as_voluntary(desk, "between"), "first", seeds=5)
    case = desk.submitted("between", path=between)
    desk.approve(request_id="between")
    desk.publish(open_case(case.order))
    back = withdrawal(between, "back", "between")
    case = desk.submitted("back", path=back)
    with pytest.raises(NotApproved, match="nobody has approved it"):
        approval_of(case, BUNDLE)


def test_attack_a_policy_of_a_laxer_kind_than_its_notice_is_held_to_the_laxer_floor(desk: Desk) -> None:
    (mail := desk.folder / "notice.eml").write_text("From: a@b.example\nSubject: x\n\nOur mark: Velo\n")
    number = take_in(mail, "trademark", None, None, desk.home)["request_id"]
    path, floor = as_voluntary(desk, number), Path(os.environ["EXPUNGE_FLOOR"])
    stricter = yaml.safe_load(floor.read_text())
    stricter["kinds"] = {"trademark": stricter["default"] | {"seeds": 9_000}}
    floor.write_text(json.dumps(stricter))
    with pytest.raises(PolicyErrors, match=r"requests of the kind trademark"):
        desk.submitted(path=path)


def as_voluntary(desk: Desk, request_id: str) -> Path:
    path = policy_file(desk.folder, DIGEST, request_id)
    path.write_text(path.read_text().replace('"trademark"', '"voluntary"'))
    return path


def replacing(path: Path, *ids: str, seeds: int) -> Path:
    policy = json.loads(path.read_text()) | {"replaces": list(ids)}
    policy["acceptance"] |= {"seeds": seeds}
    path.write_text(json.dumps(policy))
    return path


def test_attack_whoever_sets_the_floor_names_the_approvers(desk: Desk) -> None:
    accepted = floor_in_force().digest
    desk.floor("own", {"trademark": ["eve"]})
    case = desk.submitted()
    desk.approve("eve")
    desk.publish(open_case(case.order))
    said = [one for one in audit(desk.home, floors=[accepted]).problems if "none of those accepted" in one]
    assert [named in one for one, named in zip(said, ("awaiting-approval", "published"), strict=True)] == [True, True]
    ours = str(desk.folder / "own.yaml")
    assert not [one for one in audit(desk.home, floors=accepted_floors([ours])).problems if "accepted" in one]
    assert any(floor_in_force().digest in one and "--floor" in one for one in audit(desk.home).unchecked)
    with pytest.raises(UsageError, match="--floor takes the file"):
        accepted_floors(["ab12"])


@pytest.mark.parametrize("version", ["0.20.0", "no version"])
def test_attack_a_receipt_of_today_names_no_floor(desk: Desk, version: str) -> None:
    case = desk.submitted()
    receipt = case.note(Step.PUBLISHED, {"policy": case.order.policy}, {"bundle": BUNDLE})
    changed = receipt.model_copy(update={"versions": {"expunge": version}})
    assert any("names no floor" in one for one in unapproved(desk.home, changed, ()))
    old = receipt.model_copy(update={"versions": {"expunge": "0.19.0"}})
    assert list(unapproved(desk.home, old, ())) == []
    assert any("names no floor" in one for one in unapproved(desk.home, old, case.chain)), "there were floors by then"
    assert any("names no floor" in one for one in audit(desk.home, floors=["a" * 64]).problems)


@pytest.mark.parametrize("said", ["It is Bicycle herself.", "BI-CYCLE agreed.", "Ask ada@b.example."])
def test_attack_the_reason_of_a_refusal_tells_what_no_record_may_hold(desk: Desk, said: str) -> None:
    desk.floor("private", {"ncii": ["bea"]})
    path = policy_file(desk.folder, DIGEST, "first")
    path.write_text(path.read_text().replace('"trademark"', '"ncii"'))
    before = desk.submitted(path=path).chain
    with pytest.raises(UsageError, match="--reason"):
        refuse(desk.home, "first", said, desk.key("bea"))
    assert not (desk.home / "decisions").exists(), "nothing was signed"
    assert len(journal(desk.home, before[0].line).receipts()) == len(before)


def test_attack_a_publication_without_the_approval_that_its_floor_asked_for(desk: Desk) -> None:
    case = desk.submitted()
    case.note(Step.PUBLISHED, {"policy": case.order.policy, "floor": case.order.floor}, {"bundle": BUNDLE})
    assert any("nobody has approved it" in problem for problem in desk.audited(case))


def test_attack_a_publication_of_another_bundle_than_people_were_asked_about(desk: Desk) -> None:
    case = desk.submitted()
    answer = desk.approve()
    inputs = {"policy": case.order.policy, "floor": case.order.floor}
    kept = open_case(case.order).chain[-1].inputs["approval"]
    case.note(Step.PUBLISHED, inputs | {"approval": kept}, {"bundle": "f" * 64})
    assert answer["bundle"] == BUNDLE
    assert any("nobody was asked about this bundle" in problem for problem in desk.audited(case))


def test_attack_a_decision_is_altered_or_removed(desk: Desk) -> None:
    case = desk.submitted()
    desk.approve()
    (file,) = (desk.home / "decisions").iterdir()
    assert file.stem == sha256(file.read_bytes())
    file.write_bytes(file.read_bytes() + b" ")
    with pytest.raises(IntegrityError, match="is not the decision that was signed"):
        approval_of(open_case(case.order), BUNDLE)


def test_bad_input_says_what_is_wrong(desk: Desk) -> None:
    desk.submitted()
    with pytest.raises(NothingOnRecord, match="no request 'other' waits"):
        desk.approve(request_id="other")
    with pytest.raises(UsageError, match="no private key"):
        approve(desk.home, "first", desk.folder / "bea.pub")
    for reason in ("", "  ", "a" * 2001, "bell \a"):
        with pytest.raises(UsageError, match="--reason"):
            refuse(desk.home, "first", reason, desk.key("bea"))
    with pytest.raises(NothingOnRecord, match="no such folder"):
        waiting(desk.folder / "nowhere")


def test_the_commands_tell_what_waits_and_what_was_decided(desk: Desk) -> None:
    desk.submitted()
    desk.submitted("second", "e" * 64)
    desk.patch.setenv("EXPUNGE_HOME", str(desk.home))
    shown = run_cli("waiting")
    assert (shown.code, "ada, bea" in shown.out, "awaiting_approval" in shown.out) == (0, True, True), shown.err
    nobody = run_cli("approve", "first", "--later")
    assert (nobody.code, "EXPUNGE_APPROVAL_KEY" in nobody.err) == (2, True)
    own = run_cli("approve", "first", "--later", "--key", str(desk.key("ada")))
    assert (own.code, "nobody decides on a request of their own" in own.err) == (7, True)
    desk.patch.setenv("EXPUNGE_APPROVAL_KEY", str(desk.key("bea")))
    done = run_cli("approve", "first", "--later")
    assert (done.code, "bea approved first; the approval holds until" in done.out) == (0, True), done.err
    no = run_cli("refuse", "second", "--reason", "It is\nfair use.")
    assert (no.code, "bea refused second, and nothing is published: It is fair use." in no.out) == (0, True), no.err
    assert run_cli("refuse", "second", "--reason", "Again.").code == 2
    rows = run_cli("waiting", "--json").data["waiting"]
    assert [(row["request_id"], row["approved_by"]) for row in rows] == [("first", "bea")]
    status = run_cli("status")
    assert "second: It is fair use." in status.out
    assert [row["request_id"] for row in list_due(desk.home)["due"]] == ["first"], "the refused one is decided"


def test_the_digest_of_a_floor_that_asks_for_nothing_is_what_it_was() -> None:
    from expunge.policies import parse_floor

    was = "bcb58bd7a5c68427fe74b6b2501d779a8ed9039a8c9ae7e39359a8812dee2d2b"
    assert parse_floor(BUILT_IN.read_bytes(), "floor").digest == was
    assert parse_floor(BUILT_IN.read_bytes() + b"approval: {}\n", "floor").digest == was
    key = base64.b64encode(b"key").decode()
    asking = f"approval: {{ncii: {{approvers: {{ada: {key}}}}}}}\n".encode()
    assert parse_floor(BUILT_IN.read_bytes() + asking, "floor").digest != was
