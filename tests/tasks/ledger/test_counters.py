"""Counter-notices: when one counts, what it stops, and for how long."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from expunge.engine.emoji import MODEL
from expunge.engine.files.digests import folder_digest
from expunge.flows.casework.counter import counter, rescind
from expunge.flows.casework.notices import list_due, take_in
from expunge.flows.history import states
from expunge.policies import read
from expunge.tasks.audit.approvals import GRACE, countered
from expunge.tasks.audit.record import audit
from expunge.tasks.core.errors import NothingOnRecord, UsageError
from expunge.tasks.ledger.case import open_case
from expunge.tasks.ledger.decisions.counters import Countered
from expunge.tasks.ledger.decisions.record import notices_of
from expunge.tasks.ledger.decisions.stopping import refuse_countered
from expunge.tasks.ledger.decisions.window import business_days_after, restore_window
from expunge.tasks.ledger.receipt import Receipt, Step
from expunge.tasks.ledger.recorder import note
from tests.flows.conftest import policy_file, run_cli, withdrawal
from tests.tasks.handed_in import handed_in

DIGEST = folder_digest(MODEL)
COMPLETE = """\
Removed material: the pictures of a bicycle, at /m/7
Name: Lena Vogel
Address: 1 Mill Lane

I state under penalty of perjury that I have a good-faith belief that it was removed by mistake.
I consent to the jurisdiction of the federal district court for my address.
I will accept service of process from the sender of the notice.

/s/ Lena Vogel
"""
ACTION = "Court: District Court of Linden\nCase number: 26-cv-204\n"
HEAD = "From: lena@vogel.example\nSubject: reply\n\n"


def letter(folder: Path, name: str, text: str = COMPLETE) -> Path:
    (file := folder / f"{name}.eml").write_text(HEAD + text)
    return file


def asked(folder: Path, request_id: str = "first", erase: str = "bicycle", kind: str = "copyright") -> Path:
    path = policy_file(folder, DIGEST, request_id, erase)
    path.write_text(path.read_text().replace('"trademark"', f'"{kind}"'))
    return path


def taken_in(path: Path, home: Path, publish: bool = False) -> list[Receipt]:
    order = handed_in(path, home)
    if publish:
        note(order, Step.PUBLISHED, {"policy": order.policy, "floor": order.floor}, {"bundle": order.key})
    return list(open_case(order).chain)


def wait_past(receipt: Receipt) -> None:
    """Wait until a receipt has another time than this one: they have whole seconds."""
    later = datetime.fromisoformat(receipt.at) + timedelta(seconds=1)
    time.sleep(max(0.0, (later - datetime.now(UTC)).total_seconds()))


def state_of(home: Path, request_id: str = "first") -> str:
    return next(row["state"] for row in states(home, None)["requests"] if row["request_id"] == request_id)


def stop(home: Path, path: Path, chain: list[Receipt]) -> None:
    refuse_countered(home, read(path), chain, notices_of(home))


@pytest.mark.parametrize(
    ("came", "opens", "closes"),
    [
        ("2026-12-01T15:00:00+00:00", "2026-12-15T15:00:00+00:00", "2026-12-21T15:00:00+00:00"),
        ("2026-12-18T15:00:00+00:00", "2027-01-05T15:00:00+00:00", "2027-01-11T15:00:00+00:00"),  # two holidays
        ("2026-07-03T09:00:00+00:00", "2026-07-17T23:59:59+00:00", "2026-07-23T23:59:59+00:00"),  # itself a holiday
        ("2026-12-19T09:00:00-05:00", "2027-01-05T23:59:59-05:00", "2027-01-11T23:59:59-05:00"),  # a Saturday
    ],
)
def test_the_window_is_10_to_14_business_days(came: str, opens: str, closes: str) -> None:
    window = restore_window(datetime.fromisoformat(came))
    assert tuple(moment.isoformat() for moment in window) == (opens, closes)


def test_weekends_and_federal_holidays_are_no_business_days() -> None:
    friday = datetime(2026, 1, 16, 12, tzinfo=UTC)  # the Monday after is the day of Martin Luther King
    assert business_days_after(friday, 1) == datetime(2026, 1, 20, 12, tzinfo=UTC)


def test_a_counter_notice_during_a_run_prevents_the_publication(tmp_path: Path) -> None:
    home, path = tmp_path / "home", asked(tmp_path)
    chain = taken_in(path, home)
    stop(home, path, chain)
    said = counter("first", letter(tmp_path, "reply"), None, home)
    assert (said["state"], said["missing"], said["counters"]) == ("received", [], "first")
    with pytest.raises(Countered, match=f"put back from {said['opens'][:10]}.* until {said['closes'][:10]}"):
        stop(home, path, chain)
    assert state_of(home) == "countered"
    assert list_due(home)["due"] == [], "nothing is published, so nothing is put back"
    assert audit(home).problems == ()


def test_what_was_published_is_to_be_put_back_by_the_end_of_the_window(tmp_path: Path) -> None:
    home, path = tmp_path / "home", asked(tmp_path)
    taken_in(path, home, publish=True)
    said = counter("first", letter(tmp_path, "reply"), None, home)
    (row,) = list_due(home)["due"]
    assert (row["request_id"], row["state"], row["due"]) == ("first", "countered", said["closes"])
    late = datetime.fromisoformat(said["closes"]) + timedelta(hours=1)
    assert list_due(home, late)["exit_code"] == 4
    chain = taken_in(back := withdrawal(path, "back", "first"), home, publish=True)
    stop(home, back, chain)
    assert (state_of(home), list_due(home)["due"]) == ("replaced", [])


def test_the_draft_of_a_counter_notice_puts_back_what_was_published(tmp_path: Path) -> None:
    home, path = tmp_path / "home", asked(tmp_path)
    taken_in(path, home, publish=True)
    assert counter("first", letter(tmp_path, "short", "I disagree.\n"), None, home)["draft"] == ""
    said = counter("first", letter(tmp_path, "reply"), None, home)
    drafted, asked_for = read(Path(said["draft"])), read(path)
    assert (drafted.replaces, drafted.concepts, drafted.request_id) == (("first",), (), said["request_id"])
    assert (drafted.base, drafted.kind) == (asked_for.base, asked_for.kind)
    assert said["opens"] in Path(said["draft"]).read_text()
    chain = taken_in(Path(said["draft"]), home, publish=True)
    stop(home, Path(said["draft"]), chain)
    assert state_of(home) == "replaced"
    assert [row["state"] for row in list_due(home)["due"]] == ["defective"], "the first letter alone waits"


def test_nothing_is_drafted_where_nothing_was_published(tmp_path: Path) -> None:
    home, path = tmp_path / "home", asked(tmp_path)
    taken_in(path, home)
    assert counter("first", letter(tmp_path, "reply"), None, home)["draft"] == ""


def test_attack_a_defective_counter_notice_stops_nothing(tmp_path: Path) -> None:
    """Else anybody could keep a takedown from being published by one line of text."""
    home, path = tmp_path / "home", asked(tmp_path)
    chain = taken_in(path, home)
    said = counter("first", letter(tmp_path, "reply", "I disagree.\n"), None, home)
    assert said["state"] == "defective"
    assert {"mistake", "jurisdiction", "signature"} <= {one["element"] for one in said["missing"]}
    assert (said["opens"], said["closes"]) == (None, None)
    stop(home, path, chain)
    assert state_of(home) == "accepted"
    assert said["request_id"] in {row["request_id"] for row in list_due(home)["due"]}, "somebody has to write back"


def test_attack_a_denied_statement_counts_as_made(tmp_path: Path) -> None:
    home = tmp_path / "home"
    taken_in(asked(tmp_path), home)
    denied = COMPLETE.replace("I consent to", "I do not consent to")
    assert counter("first", letter(tmp_path, "reply", denied), None, home)["state"] == "defective"


def test_attack_a_countered_request_is_published_under_another_id(tmp_path: Path) -> None:
    home, path = tmp_path / "home", asked(tmp_path)
    chain = taken_in(path, home)
    counter("first", letter(tmp_path, "reply"), None, home)
    again = asked(tmp_path, "again")
    again.write_text(json.dumps(json.loads(again.read_text()) | {"replaces": ["first"]}))
    with pytest.raises(Countered):
        stop(home, again, chain)
    other = asked(tmp_path, "other", "umbrella")
    other.write_text(json.dumps(json.loads(other.read_text()) | {"replaces": ["first"]}))
    stop(home, other, chain)


def test_a_court_action_ends_it_for_good(tmp_path: Path) -> None:
    home, path = tmp_path / "home", asked(tmp_path)
    chain = taken_in(path, home)
    counter("first", letter(tmp_path, "reply"), None, home)
    vague = counter("first", letter(tmp_path, "vague", "We sued.\n"), None, home, court_action=True)
    assert vague["state"] == "defective"
    with pytest.raises(Countered):
        stop(home, path, chain)
    counter("first", letter(tmp_path, "action", ACTION), None, home, court_action=True)
    stop(home, path, chain)
    counter("first", letter(tmp_path, "more", COMPLETE + "\nOnce more.\n"), None, home)
    stop(home, path, chain)
    assert state_of(home) == "accepted"


def test_the_same_letter_has_one_receipt_and_no_later_window(tmp_path: Path) -> None:
    home = tmp_path / "home"
    taken_in(asked(tmp_path), home)
    first = counter("first", letter(tmp_path, "reply"), datetime.now(UTC) - timedelta(days=3), home)
    again = counter("first", letter(tmp_path, "reply"), None, home)
    assert (again["receipt"], again["closes"]) == (first["receipt"], first["closes"])


def test_attack_one_letter_is_turned_against_another_request(tmp_path: Path) -> None:
    """It is on record for each, and not set aside as known."""
    home = tmp_path / "home"
    for name, erase in (("first", "bicycle"), ("second", "umbrella")):
        taken_in(asked(tmp_path, name, erase), home)
        counter(name, letter(tmp_path, "reply"), None, home)
    assert (state_of(home, "first"), state_of(home, "second")) == ("countered", "countered")


def test_attack_a_publication_in_spite_of_it(tmp_path: Path) -> None:
    home, path = tmp_path / "home", asked(tmp_path)
    taken_in(path, home)
    counter("first", letter(tmp_path, "reply"), None, home)
    chain = taken_in(path, home, publish=True)
    late = datetime.fromisoformat(chain[-1].at) + GRACE + timedelta(hours=1)
    published = chain[-1].model_copy(update={"at": late.strftime("%Y-%m-%dT%H:%M:%SZ")})
    assert any("should have been published" in problem for problem in countered(home, published, chain[:-1]))
    assert list(countered(home, chain[0], [])) == []


def test_a_notice_that_no_policy_has_come_of_can_be_countered_too(tmp_path: Path) -> None:
    home = tmp_path / "home"
    mail = letter(tmp_path, "notice", "Copyrighted work: The Blue Heron\n")
    notice = take_in(mail, "copyright", None, None, home)["request_id"]
    counter(notice, letter(tmp_path, "reply"), None, home)
    assert list_due(home)["due"] == []


def test_only_a_copyright_request_on_record_has_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    taken_in(asked(tmp_path, kind="ncii"), home)
    with pytest.raises(UsageError, match="of the kind ncii, and counter-notices answer copyright notices only"):
        counter("first", letter(tmp_path, "reply"), None, home)
    with pytest.raises(NothingOnRecord, match="no request 'other'"):
        counter("other", letter(tmp_path, "reply"), None, home)
    monkeypatch.setenv("EXPUNGE_HOME", str(home))
    assert run_cli("counter", "other", str(letter(tmp_path, "reply"))).code == 2


def test_the_command_says_what_it_came_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    monkeypatch.setenv("EXPUNGE_HOME", str(home))
    taken_in(asked(tmp_path), home)
    done = run_cli("counter", "first", str(letter(tmp_path, "short", "I disagree.\n")))
    assert (done.code, "missing" in done.out, "512(g)(3)(C)" in done.out) == (0, True, True), done.err
    done = run_cli("counter", "first", str(letter(tmp_path, "reply")))
    assert (done.code, "put back from" in done.out) == (0, True), done.err
    assert "countered" in run_cli("status").out


BACK = "I withdraw the notice.\n\n/s/ Mara Quill\n"


def noticed(folder: Path, home: Path) -> str:
    mail = letter(folder, "notice", "Copyrighted work: The Blue Heron\n")
    return take_in(mail, "copyright", None, None, home)["request_id"]


def test_what_its_sender_takes_back_is_published_no_more(tmp_path: Path) -> None:
    home = tmp_path / "home"
    notice = noticed(tmp_path, home)
    chain = taken_in(path := asked(tmp_path, notice), home)
    said = rescind(notice, letter(tmp_path, "back", BACK), None, home)
    assert (said["state"], said["missing"]) == ("received", [])
    with pytest.raises(Countered, match="took the notice back"):
        stop(home, path, chain)
    assert (state_of(home, notice), list_due(home)["due"]) == ("rescinded", [])
    assert audit(home).problems == ()


def test_attack_somebody_else_takes_a_notice_back(tmp_path: Path) -> None:
    home = tmp_path / "home"
    notice = noticed(tmp_path, home)
    chain = taken_in(path := asked(tmp_path, notice), home)
    (file := tmp_path / "other.eml").write_text(HEAD.replace("lena@vogel", "eve@other") + BACK)
    said = rescind(notice, file, None, home)
    assert (said["state"], [one["element"] for one in said["missing"]]) == ("defective", ["sender"])
    stop(home, path, chain)
    taken_in(asked(tmp_path), home)
    with pytest.raises(UsageError, match="nobody can tell who may take it back"):
        rescind("first", letter(tmp_path, "back", BACK), None, home)


def test_what_was_published_and_taken_back_is_to_be_withdrawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    notice = noticed(tmp_path, home)
    taken_in(asked(tmp_path, notice), home, publish=True)
    monkeypatch.setenv("EXPUNGE_HOME", str(home))
    done = run_cli("rescind", notice, str(letter(tmp_path, "back", BACK)))
    assert (done.code, "rescission is on record: received" in done.out) == (0, True), done.err
    (row,) = list_due(home)["due"]
    assert (row["state"], row["due"], row["late"]) == ("rescinded", None, False)


def test_attack_a_court_action_is_told_of_before_there_is_a_counter_notice(tmp_path: Path) -> None:
    """Else one letter would make every later counter-notice void."""
    home, path = tmp_path / "home", asked(tmp_path)
    chain = taken_in(path, home)
    counter("first", letter(tmp_path, "action", ACTION), None, home, court_action=True)
    counter("first", letter(tmp_path, "reply"), None, home)
    with pytest.raises(Countered):
        stop(home, path, chain)


def test_attack_a_notice_is_handed_in_as_its_own_counter_notice(tmp_path: Path) -> None:
    home = tmp_path / "home"
    number = noticed(tmp_path, home)
    own = next(tmp_path.glob("*.eml"))
    with pytest.raises(UsageError, match="is the notice itself"):
        counter(number, own, None, home)


def test_a_damaged_line_of_notices_is_a_problem_of_the_audit_and_does_not_end_it(tmp_path: Path) -> None:
    home, path = tmp_path / "home", asked(tmp_path)
    chain = taken_in(path, home, publish=True)
    counter("first", letter(tmp_path, "reply"), None, home)
    (receipt,) = (home / "receipts" / "notices").glob("*.json")
    receipt.write_text(receipt.read_text().replace('"received"', '"defective"'))
    assert any("nobody can tell whether a counter-notice" in one for one in countered(home, chain[-1], chain[:-1]))
    assert any("notices" in problem for problem in audit(home).problems)


@pytest.mark.parametrize("how", ["named in the notice", "names the sender"])
def test_attack_somebody_whom_a_notice_names_takes_it_back(how: str, tmp_path: Path) -> None:
    """An address in a text is not the sender's: a notice names the infringer, and a letter can name anybody."""
    home = tmp_path / "home"
    mail = letter(tmp_path, "notice", "Copyrighted work: The Blue Heron\nMaterial: sold by eve@other.example\n")
    notice = take_in(mail, "copyright", None, None, home)["request_id"]
    body = BACK if how == "named in the notice" else f"{BACK}\nContact: lena@vogel.example\n"
    (file := tmp_path / "eve.eml").write_text(HEAD.replace("lena@vogel", "eve@other") + body)
    said = rescind(notice, file, None, home)
    assert (said["state"], [one["element"] for one in said["missing"]]) == ("defective", ["sender"])


def test_attack_a_stranger_tells_of_a_court_action(tmp_path: Path) -> None:
    home = tmp_path / "home"
    notice = noticed(tmp_path, home)
    chain = taken_in(path := asked(tmp_path, notice), home)
    counter(notice, letter(tmp_path, "reply"), None, home)
    (file := tmp_path / "eve.eml").write_text(HEAD.replace("lena@vogel", "eve@other") + ACTION)
    assert counter(notice, file, None, home, court_action=True)["state"] == "defective"
    with pytest.raises(Countered):
        stop(home, path, chain)
    assert counter(notice, letter(tmp_path, "action", ACTION), None, home, court_action=True)["state"] == "received"
    stop(home, path, chain)


def mailed(folder: Path, home: Path, address: str, kind: str = "copyright", text: str = "", concept: str = "") -> str:
    """The number of a complete notice from this address."""
    text = text or DMCA
    mail = HEAD.replace("lena@vogel.example", address) + text + (f"Concept: {concept}\n" if concept else "")
    (file := folder / f"{len(list(folder.iterdir()))}.eml").write_text(mail)
    said = take_in(file, kind, None, None, home)  # pyright: ignore[reportArgumentType]
    return said["request_id"]


DMCA = """\
Copyrighted work: The Blue Heron
Removed material: pictures of a bicycle
Material: pictures of a bicycle at /m/7
Name: Mara Quill
Address: 1 Mill Lane

I have a good-faith belief that the use is not authorised by the owner, its agent, or the law.
I state that the information in this notice is accurate.
Under penalty of perjury, I am authorised to act for the owner.

/s/ Mara Quill

"""
ORDER = """\
notice_version: "1"
kind: court_order
concept: bicycle
elements:
  court: Regional Court of Lindenau
  case_number: 15 O 204/26
  material: pictures of a bicycle
  due_at: "2026-12-30T17:00:00+01:00"
"""


def contested(folder: Path, home: Path) -> str:
    """The number of a notice of mara's, whose policy waits for its publication when a counter-notice comes in."""
    number = mailed(folder, home, "mara@quill.example")
    taken_in(asked(folder, number), home)
    counter(number, letter(folder, "reply"), None, home)
    return number


def test_attack_the_same_requester_submits_the_same_target_under_another_id(tmp_path: Path) -> None:
    home = tmp_path / "home"
    first = contested(tmp_path, home)
    chain = taken_in(other := asked(tmp_path, "other"), home)
    with pytest.raises(Countered, match=f"against {first} is on record, and other has the same target"):
        stop(home, other, chain)
    stop(home, asked(tmp_path, "another-target", "umbrella"), chain)


def test_attack_the_same_requester_sends_the_same_notice_once_more(tmp_path: Path) -> None:
    home = tmp_path / "home"
    contested(tmp_path, home)
    again = mailed(tmp_path, home, "Mara@Quill.example", text=DMCA + "Once more.\n")
    chain = taken_in(path := asked(tmp_path, again), home)
    with pytest.raises(Countered, match=f"{again} has the same target"):
        stop(home, path, chain)


def test_attack_the_same_requester_writes_from_another_address_that_names_the_first(tmp_path: Path) -> None:
    home = tmp_path / "home"
    contested(tmp_path, home)
    again = mailed(tmp_path, home, "agent@law.example", text=DMCA + "Contact: mara@quill.example\n")
    chain = taken_in(path := asked(tmp_path, again), home)
    with pytest.raises(Countered):
        stop(home, path, chain)


@pytest.mark.parametrize("kind", ["trademark", "voluntary", "other", "court_order"])
def test_attack_the_same_target_comes_as_of_another_kind_by_the_word_of_the_policy_alone(
    kind: str, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    contested(tmp_path, home)
    chain = taken_in(path := asked(tmp_path, "other", kind=kind), home)
    with pytest.raises(Countered):
        stop(home, path, chain)


def test_attack_a_defective_notice_stands_for_another_owner(tmp_path: Path) -> None:
    home = tmp_path / "home"
    contested(tmp_path, home)
    for kind in ("copyright", "court_order"):
        number = mailed(tmp_path, home, f"{kind}@other.example", kind, "Please remove the bicycle.\n")
        chain = taken_in(path := asked(tmp_path, number, kind=kind), home)
        with pytest.raises(Countered):
            stop(home, path, chain)


def test_the_notice_of_another_owner_about_the_same_target_goes_on(tmp_path: Path) -> None:
    home = tmp_path / "home"
    contested(tmp_path, home)
    number = mailed(tmp_path, home, "noor@other.example", text=DMCA.replace("Mara Quill", "Noor Haas"))
    chain = taken_in(path := asked(tmp_path, number), home)
    stop(home, path, chain)


def test_a_court_order_about_the_same_target_goes_on(tmp_path: Path) -> None:
    home = tmp_path / "home"
    contested(tmp_path, home)
    (file := tmp_path / "order.yaml").write_text(ORDER)
    said = take_in(file, None, None, None, home)
    assert said["state"] == "received", said["missing"]
    chain = taken_in(path := asked(tmp_path, said["request_id"], kind="court_order"), home)
    stop(home, path, chain)


def test_attack_nobody_knows_who_sent_the_first_notice(tmp_path: Path) -> None:
    """Whoever cannot be told apart from the first sender is the first sender."""
    home = tmp_path / "home"
    taken_in(asked(tmp_path), home)
    counter("first", letter(tmp_path, "reply"), None, home)
    number = mailed(tmp_path, home, "noor@other.example")
    chain = taken_in(path := asked(tmp_path, number), home)
    with pytest.raises(Countered):
        stop(home, path, chain)


def test_attack_a_notice_is_countered_before_its_policy_and_comes_again(tmp_path: Path) -> None:
    home = tmp_path / "home"
    number = mailed(tmp_path, home, "mara@quill.example", concept="bicycle")
    counter(number, letter(tmp_path, "reply"), None, home)
    chain = taken_in(path := asked(tmp_path, "other"), home)
    with pytest.raises(Countered):
        stop(home, path, chain)
    stop(home, asked(tmp_path, "another-target", "umbrella"), chain)


def test_what_was_in_force_before_the_counter_notice_is_not_stopped_by_one_against_another(tmp_path: Path) -> None:
    home, path = tmp_path / "home", asked(tmp_path, "earlier")
    chain = taken_in(path, home, publish=True)
    taken_in(asked(tmp_path), home)
    wait_past(chain[-1])
    counter("first", letter(tmp_path, "reply"), None, home)
    stop(home, path, chain)
