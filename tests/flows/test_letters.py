"""Letters and exports from a real record: what each says, what it refuses, and what a hostile notice cannot do."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
import zipfile
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import jsonschema
import pytest

from expunge.flows.casework.counter import counter
from expunge.flows.casework.letters import possible_letters, transparency, write_letter
from expunge.flows.casework.notices import notice_rows
from expunge.flows.casework.wording import checked
from expunge.policies import read
from expunge.tasks.core.errors import IntegrityError, LedgerError, NothingOnRecord, UsageError
from expunge.tasks.core.paths import VERDICT, work_folder
from expunge.tasks.intake import note_repeated
from expunge.tasks.ledger.receipt import Step
from expunge.tasks.ledger.recorder import journal, note
from expunge.tasks.views.letters.facts import facts_of, on_record
from expunge.tasks.views.letters.plain_text import defused
from expunge.tasks.views.letters.template import FOLDER, letters, write
from tests.flows.conftest import policy_file, run_cli, withdrawal
from tests.tasks.handed_in import handed_in
from tests.tasks.ledger.test_counters import ACTION, COMPLETE, letter
from tests.tasks.views.lettered import BASE, noticed, publish, refuse, request

SNAPSHOTS = Path(__file__).parent / "letters"
HOSTILE = (
    "From: a@b.example\nSubject: x\n\nCopyrighted work: =cmd()<script>alert(1)</script>{{ 7*7 }}{% raw %}\x1b[2J"
    "\u202eevil\nMaterial: <b>here</b>\n"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose home has a notice, a defective one, and requests that were published, refused and countered."""
    folder = tmp_path_factory.mktemp("letters")
    noticed(folder)
    noticed(folder, "From: a@b.example\nSubject: x\n\nPlease remove my heron.\n", name="short.eml")
    publish(request(folder, "first"))
    publish(request(folder, "jane-roe", "privacy_erasure", erase="umbrella"))
    refuse(request(folder, "third", "trademark", erase="sailboat"), "It is a parody.")
    request(folder, "open", "copyright", erase="tractor")
    counter("open", letter(folder, "reply"), None, folder / "home")
    return folder


def text(folder: Path, name: str, request_id: str, **options: str) -> str:
    return write_letter(folder / "home", name, request_id, **options).content.decode()


def ids(folder: Path, state: str) -> str:
    rows = notice_rows(folder / "home")
    return next(row["request_id"] for row in rows if (row["state"], row["counters"]) == (state, None))


def normal(written: str) -> str:
    """The text with moments and digests blanked out."""
    return re.sub(
        r"\b[0-9a-f]{12,64}\b|\d{8}(?=-)|\d{4}-\d\d-\d\d|\d\d:\d\d", lambda found: "#" * len(found[0]), written
    )


@pytest.mark.parametrize(
    ("name", "request_id"),
    [
        ("acknowledgement", "received"),
        ("missing-elements", "defective"),
        ("decision", "first"),
        ("counter-notice", "open"),
        ("counter-acknowledgement", "open"),
        ("lumen-counternotice", "open"),
        ("erasure-confirmation", "jane-roe"),
        ("statement-of-reasons", "first"),
        ("lumen-notice", "third"),
    ],
)
def test_each_letter_reads_as_it_was_read_and_approved(name: str, request_id: str, folder: Path) -> None:
    known = ids(folder, request_id) if request_id in ("received", "defective") else request_id
    written = write_letter(folder / "home", name, known)
    (file,) = SNAPSHOTS.glob(f"{name}.*")
    assert normal(written.content.decode()) == file.read_text(encoding="utf-8")
    assert written.file_name == f"{name}-{written.reference}{file.suffix}"


def test_a_refusal_is_told_with_its_reason_and_redress(folder: Path) -> None:
    said = text(folder, "decision", "third")
    assert "We do not do what you ask. The reason:\n\nIt is a parody.\n" in said
    assert "out-of-court" in said
    assert "seen in" not in said


@pytest.mark.parametrize(
    ("name", "request_id", "why"),
    [
        ("decision", "open", "is countered"),
        ("decision", "received", "is received"),
        ("erasure-confirmation", "first", "is for the kinds privacy_erasure"),
        ("missing-elements", "first", "is published"),
        ("counter-notice", "first", "complete counter-notice is on record"),
        ("statement-of-reasons", "third", "is refused"),
        ("evidence-pack", "first", "category explicit"),
        ("decision", "nobody", "no request 'nobody'"),
    ],
)
def test_attack_a_letter_says_what_is_not_on_record(name: str, request_id: str, why: str, folder: Path) -> None:
    known = ids(folder, request_id) if request_id == "received" else request_id
    with pytest.raises(NothingOnRecord, match=why):
        write_letter(folder / "home", name, known)


def test_attack_a_confirmation_of_a_proof_that_has_run_out(folder: Path) -> None:
    found = on_record(folder / "home", "jane-roe")
    assert found.row
    late = replace(found, row={**found.row, "proof_late": True})
    assert (facts_of(found).state, facts_of(late).state) == ("published", "unproven")
    assert letters("en")["erasure-confirmation"].problem(facts_of(late)).startswith("the request is unproven")


def test_attack_a_verdict_is_changed_after_it_was_signed(tmp_path: Path) -> None:
    order = request(tmp_path)
    publication = publish(order)
    path = work_folder(order.home, publication.work) / VERDICT
    path.write_bytes(path.read_bytes().replace(b'"seen":0', b'"seen":1', 1))
    for name in ("decision", "statement-of-reasons"):
        with pytest.raises(IntegrityError, match="no longer what an earlier step made"):
            write_letter(order.home, name, "first")


def test_attack_a_publication_that_names_a_verdict_of_no_pass(tmp_path: Path) -> None:
    order = request(tmp_path)
    publish(order, lambda _: True)
    for name in ("decision", "statement-of-reasons", "lumen-notice"):
        with pytest.raises(NothingOnRecord, match="not on record"):
            write_letter(order.home, name, "first")


def test_attack_a_machine_that_failed_is_told_as_a_decision_of_people(tmp_path: Path) -> None:
    order = request(tmp_path)
    note(order, Step.REFUSED, {"policy": order.policy}, {}, {"outcome": "refused", "reasons": ["no room"]})
    with pytest.raises(NothingOnRecord, match="is rejected"):
        write_letter(order.home, "decision", "first")


def test_attack_the_targets_of_others_are_told(folder: Path) -> None:
    """The verdict of a line names all that is erased there."""
    found = on_record(folder / "home", "jane-roe")
    assert found.publication
    said = (work_folder(folder / "home", found.publication.work) / VERDICT).read_text()
    assert {"bicycle", "umbrella"} <= set(re.findall(r'"concept":"(\w+)"', said))
    assert "bicycle" not in text(folder, "decision", "jane-roe")


@pytest.mark.parametrize("name", ["decision", "erasure-confirmation", "statement-of-reasons", "lumen-notice"])
def test_attack_a_letter_names_the_person_whom_it_protects(name: str, folder: Path) -> None:
    """`umbrella` stands for the person's name; the id of the request has a name, too."""
    written = write_letter(folder / "home", name, "jane-roe")
    for secret in ("umbrella", "jane", "roe"):
        assert secret not in written.content.decode().casefold()
        assert secret not in written.file_name


@pytest.mark.parametrize("said", ["Umbrella is gone.", "We erased UMBRELLA-pictures.", "ümbrella"])
def test_attack_the_note_names_the_person(said: str, folder: Path) -> None:
    with pytest.raises(UsageError, match="--note names the person"):
        write_letter(folder / "home", "decision", "jane-roe", note=said)
    assert "We are sorry." in text(folder, "decision", "jane-roe", note="We are sorry.")


def test_attack_the_reason_of_a_refusal_names_the_person(tmp_path: Path) -> None:
    order = request(tmp_path, "first", "ncii", erase="umbrella")
    refuse(order, "It does not show Umbrella.")
    with pytest.raises(UsageError, match="the reason of the refusal names the person"):
        write_letter(order.home, "decision", "first")


def test_attack_a_note_names_the_person_before_a_policy_has_the_name(tmp_path: Path) -> None:
    mail = "From: a@b.example\nSubject: x\n\nMaterial: a picture of umbrella\n"
    for kind in ("ncii", None):
        number = noticed(tmp_path, mail + f"{kind}\n", kind)
        with pytest.raises(UsageError, match="--note could name the person"):
            write_letter(tmp_path / "home", "missing-elements", number, note="About Umbrella.")
        assert text(tmp_path, "missing-elements", number)


def test_attack_a_withdrawal_may_name_the_person_whom_it_no_longer_names(tmp_path: Path) -> None:
    publish(request(tmp_path, "first", "ncii", erase="umbrella"))
    handed_in(withdrawal(tmp_path / "first.yaml", "back", "first"), home := tmp_path / "home")
    with pytest.raises(UsageError, match="names the person"):
        checked("--reason", "Umbrella asked for it.", on_record(home, "back"))


def test_attack_a_letter_says_that_a_person_approved_what_was_only_repeated(tmp_path: Path) -> None:
    order = request(tmp_path)
    first = publish(order)
    approved = on_record(order.home, "first").publication
    assert approved == first
    path = policy_file(tmp_path, BASE, "second")
    path.write_text(path.read_text().replace('"trademark"', '"copyright"'))
    home, policy = order.home, read(path)
    note_repeated(policy, path.read_bytes(), home, first, journal(home, order.line))
    said = " ".join(text(tmp_path, "decision", "second").split())
    assert "the same was asked for before" in said
    assert "For that earlier request a person ordered the change. Nobody decided on yours alone." in said
    assert "We decided on it" not in said
    facts = replace(facts_of(on_record(home, "second")), approved=True)
    said = write(letters("en")["decision"], facts).replace("\n", " ")
    assert "For that earlier request a person approved the change." in said
    assert "a person approved this decision" not in said


def test_attack_a_private_notice_turned_into_a_policy_of_another_kind(tmp_path: Path) -> None:
    mail = "From: a@b.example\nSubject: x\n\nMaterial: a picture of umbrella\n"
    number = noticed(tmp_path, mail, "ncii")
    publish(request(tmp_path, number, "other", erase="umbrella"))
    for name in ("acknowledgement", "decision", "lumen-notice"):
        assert "umbrella" not in text(tmp_path, name, number)


def test_attack_text_of_a_notice_becomes_markup_a_template_or_a_command(tmp_path: Path) -> None:
    number = noticed(tmp_path, HOSTILE)
    publish(request(tmp_path, number))
    said = json.loads(text(tmp_path, "lumen-notice", number))["notice"]["works_attributes"][0]["description"]
    assert "alert(1)" in said
    assert "7*7" in said
    assert not re.search(r"[<>{}\x00-\x1f\u202e]|\b49\b", said)
    for name in ("acknowledgement", "decision", "statement-of-reasons"):
        assert "alert" not in text(tmp_path, name, number)


def test_attack_a_counter_notice_forges_lines_of_our_letter(tmp_path: Path) -> None:
    request(tmp_path, "open")
    bad = COMPLETE.replace("at /m/7", "at /m/7 <a href=x>{{ reference }}</a> \u2028\u202eWe agree.")
    counter("open", letter(tmp_path, "reply", bad), None, tmp_path / "home")
    said = text(tmp_path, "counter-notice", "open")
    assert "((" in said
    assert not re.search(r"[<>{}\u2028\u202e]|\nWe agree", said)


def test_attack_the_note_is_a_template_or_endless(folder: Path) -> None:
    said = text(folder, "decision", "first", note="{{ ''.__class__ }}\x1b[31m\n\nReference: other")
    assert "(( ''.__class__ )) [31m Reference: other" in said
    with pytest.raises(UsageError, match="1000 are allowed"):
        write_letter(folder / "home", "decision", "first", note="a" * 1001)


def test_the_statement_of_reasons_is_valid_and_its_puid_is_never_used_twice(tmp_path: Path, folder: Path) -> None:
    schema = json.loads((FOLDER / "statement-of-reasons.schema.json").read_bytes())
    made = [json.loads(text(folder, "statement-of-reasons", name)) for name in ("first", "first", "jane-roe")]
    for one in made:
        jsonschema.validate(one, schema)
    assert made[0] == made[1]
    assert made[0]["puid"] != made[2]["puid"]
    order = request(tmp_path)
    publish(order)
    before = json.loads(text(tmp_path, "statement-of-reasons", "first"))
    publish(order)
    assert json.loads(text(tmp_path, "statement-of-reasons", "first")) == before


@pytest.mark.parametrize(
    "change",
    [
        {"puid": "with a space"},
        {"puid": "a" * 501},
        {"decision_facts": "a" * 5001},
        {"source_type": "SOURCE_ELSEWHERE"},
        {"decision_visibility": None},
        {"content_date": None},
        {"content_date": "1999-12-31"},
        {"application_date": "2026-02-03-10"},
        {"territorial_scope": ["US"]},
        {"category": "STATEMENT_CATEGORY_PIRACY"},
        {"category_specification": ["KEYWORD_COPYRIGHT"]},
        {"decision_monetary": "none"},
        {"decision_visibility_other": None},
        {"incompatible_content_ground": "our terms"},
        {"illegal_content_explanation": None},
        {"name": "Jane Roe"},
    ],
)
def test_the_schema_refuses_what_the_database_would(change: dict[str, str | list[str] | None], folder: Path) -> None:
    schema = json.loads((FOLDER / "statement-of-reasons.schema.json").read_bytes())
    made = json.loads(text(folder, "statement-of-reasons", "first")) | change
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({name: value for name, value in made.items() if value is not None}, schema)


@pytest.mark.parametrize(("request_id", "kind", "taken"), [("first", "DMCA", "Yes"), ("third", "Trademark", "No")])
def test_the_lumen_notice_is_valid_and_names_nobody(request_id: str, kind: str, taken: str, folder: Path) -> None:
    made = json.loads(text(folder, "lumen-notice", request_id))
    jsonschema.validate(made, json.loads((FOLDER / "lumen-notice.schema.json").read_bytes()))
    notice = made["notice"]
    assert (notice["type"], notice["action_taken"]) == (kind, taken)
    assert {one["entity_attributes"]["name"] for one in notice["entity_notice_roles_attributes"]} == {"[private]"}


def test_the_report_counts_by_kind_and_state(folder: Path) -> None:
    files = transparency(folder / "home", date(2026, 1, 1), datetime.now(UTC).date())
    table = next(content for name, content in files.items() if name.endswith(".csv")).decode()
    rows = {(row["kind"], row["state"]): row for row in csv.DictReader(io.StringIO(table))}
    assert {key: row["requests"] for key, row in rows.items()} == {
        ("copyright", "countered"): "1",
        ("copyright", "defective"): "1",
        ("copyright", "published"): "1",
        ("copyright", "received"): "1",
        ("counter_notice", "received"): "1",
        ("privacy_erasure", "published"): "1",
        ("trademark", "refused"): "1",
    }
    assert rows["privacy_erasure", "published"]["late"] == "1", "one month after February it was not published"
    assert float(rows["trademark", "refused"]["median_days"]) > 30
    page = next(content for name, content in files.items() if name.endswith(".html")).decode()
    assert "7 requests, 3 decided, 1 late." in page
    assert "jane" not in page + table


def test_a_period_has_its_first_and_its_last_day(folder: Path) -> None:
    def total(first: date, last: date) -> int:
        files = transparency(folder / "home", first, last)
        (page,) = [content.decode() for name, content in files.items() if name.endswith(".html")]
        found = re.search(r"<p>(\d+) request", page)
        assert found
        return int(found[1])

    day = date(2026, 2, 3)
    assert total(day, day) == 4
    assert total(day + timedelta(1), day + timedelta(2)) == total(day - timedelta(2), day - timedelta(1)) == 0
    with pytest.raises(UsageError, match="is before --from"):
        transparency(folder / "home", day, day - timedelta(1))


@pytest.mark.parametrize("cell", ["=1+1", "+1", "-1", "@x", "\t=1", "＝1", "\u202e=1"])
def test_attack_a_cell_is_a_formula(cell: str) -> None:
    assert defused(cell).startswith("'")


def test_attack_a_record_that_does_not_hold_is_told_of_as_if_it_did(tmp_path: Path) -> None:
    order = request(tmp_path)
    publish(order)
    last = sorted((order.home / "receipts" / order.line).iterdir())[-1]
    last.write_bytes(last.read_bytes().replace(b"published", b"publishes"))
    with pytest.raises(LedgerError):
        write_letter(order.home, "acknowledgement", "first")
    with pytest.raises(LedgerError):
        transparency(order.home, date(2026, 1, 1), date(2026, 12, 31))


@pytest.mark.parametrize("language", ["xx", "../en", "", "en/", "__pycache__"])
def test_attack_a_language_is_a_path(language: str, folder: Path) -> None:
    with pytest.raises(UsageError, match=r"--language .* is not there: use en"):
        write_letter(folder / "home", "decision", "first", language=language)


@pytest.mark.parametrize("name", ["../../pages/report", "transparency", "en/decision", ""])
def test_attack_a_letter_is_a_path(name: str, folder: Path) -> None:
    with pytest.raises(UsageError, match="use one of acknowledgement"):
        write_letter(folder / "home", name, "first")


def test_every_letter_of_a_request_is_listed_with_what_keeps_it_back(folder: Path) -> None:
    found = {one["name"]: one["problem"] for one in possible_letters(folder / "home", "first")}
    assert found.keys() == letters("en").keys()
    ready = {name for name, problem in found.items() if not problem}
    assert ready == {"acknowledgement", "decision", "statement-of-reasons", "lumen-notice"}


def test_the_commands_write_and_never_overwrite(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXPUNGE_HOME", str(folder / "home"))
    out = str(tmp_path / "decision.txt")
    assert run_cli("letter", "decision", "first", "--out", out).code == 0
    again = run_cli("letter", "decision", "first", "--out", out)
    assert (again.code, "is there already" in again.err) == (2, True)
    assert run_cli("letter", "decision", "first").out == Path(out).read_text(encoding="utf-8")
    assert run_cli("letter", "decision", "open").code == 2
    days = ("--from", "2026-01-01", "--to", "2026-12-31")
    done = run_cli("transparency", *days, "--out", str(tmp_path / "report"))
    assert (done.code, len(done.out.splitlines())) == (0, 2), done.err
    assert run_cli("transparency", "--from", "May", "--to", "2026-12-31", "--out", str(tmp_path)).code == 2
    assert run_cli("letter", "decision", "first", EXPUNGE_HOME=str(tmp_path / "none")).code == 2


@pytest.fixture
def explicit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A published request with an explicit target, in a home whose judge is said to know that category."""
    monkeypatch.setattr("expunge.tasks.intake.refuse_unjudged", lambda *_: None)
    order = request(tmp_path, "shown", "other", category="explicit")
    publish(order)
    (order.folder / "sheets").mkdir()
    (order.folder / "sheets" / "targets.png").write_bytes(b"\x89PNG")
    return tmp_path


def test_the_evidence_pack_has_no_picture_and_can_be_checked(explicit: Path) -> None:
    written = write_letter(explicit / "home", "evidence-pack", "shown")
    assert written == write_letter(explicit / "home", "evidence-pack", "shown"), "the same record gives the same bytes"
    with zipfile.ZipFile(io.BytesIO(written.content)) as pack:
        files = {name: pack.read(name) for name in pack.namelist()}
    fixed = {"README.txt", "policy.json", "verdict.json", "digests.json"}
    receipts = {name for name in files if re.fullmatch(r"(receipts|signatures)/\d{6}-[0-9a-f]{64}\.json", name)}
    assert files.keys() == fixed | receipts
    assert not any(b"PNG" in content for content in files.values())
    last = json.loads(files[max(name for name in receipts if name.startswith("receipts/"))])
    assert last["inputs"]["verdict"] == hashlib.sha256(files["verdict.json"]).hexdigest()
    assert b"bicycle" not in files["README.txt"] + files["policy.json"]


def test_attack_the_pack_shows_the_targets_of_another_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An id that names nobody lets the pack of an intimate picture be handed out."""
    monkeypatch.setattr("expunge.tasks.intake.refuse_unjudged", lambda *_: None)
    publish(request(tmp_path, "of-another", erase="umbrella"))
    order = request(tmp_path, "shown", "ncii", category="explicit", id="target-1", name="Jane Doe")
    said = {"outcome": "FAIL", "reasons": ["umbrella: seen in 3 of 40"]}
    failed = note(order, Step.VERIFIED, {"candidate": "d" * 64}, {}, said)
    publish(order)
    written = write_letter(order.home, "evidence-pack", "shown")
    with zipfile.ZipFile(io.BytesIO(written.content)) as pack:
        files = {name: pack.read(name) for name in pack.namelist()}
    assert not any(word in content for word in (b"umbrella", b"of-another") for content in files.values())
    assert "verdict.json" not in files
    assert {one["concept"] for one in json.loads(files["verdict-extract.json"])["targets"]} == {"target-1"}
    assert json.loads(files["withheld.json"]) == {"receipts": [failed.digest]}
    assert any(name.startswith("receipts/") for name in files)
    assert not any(failed.digest in name for name in files)


def test_attack_the_ids_in_the_pack_name_the_person(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("expunge.tasks.intake.refuse_unjudged", lambda *_: None)
    order = request(tmp_path, "shown", "ncii", category="explicit", id="doe-1", name="Jane Doe")
    publish(order)
    with pytest.raises(NothingOnRecord, match=r"the ids in .* name the person"):
        write_letter(order.home, "evidence-pack", "shown")


def test_a_counter_notice_against_what_is_published_says_when_it_is_put_back(tmp_path: Path) -> None:
    order = request(tmp_path)
    note(order, Step.PUBLISHED, {"policy": order.policy, "state": order.state}, {"bundle": order.key})
    counter("first", letter(tmp_path, "reply"), datetime(2026, 11, 2, 15, tzinfo=UTC), tmp_path / "home")
    said = " ".join(text(tmp_path, "counter-notice", "first").split())
    assert "not before 2026-11-17 15:00 UTC and not after 2026-11-23 15:00 UTC" in said


def test_attack_a_withdrawal_is_told_as_an_erasure(tmp_path: Path) -> None:
    publish(request(tmp_path, "stays", erase="umbrella"))
    publish(request(tmp_path))
    publish(handed_in(withdrawal(tmp_path / "first.yaml", "back", "first"), tmp_path / "home"))
    for name in ("decision", "statement-of-reasons", "lumen-notice"):
        with pytest.raises(NothingOnRecord, match="is withdrawn"):
            write_letter(tmp_path / "home", name, "back")
    with pytest.raises(NothingOnRecord, match="is replaced"):
        write_letter(tmp_path / "home", "decision", "first")


WINTER = datetime(2026, 1, 5, 15, tzinfo=UTC)  # its 14 business days are over


def test_the_sender_of_a_counter_notice_is_told_that_it_came_in(folder: Path) -> None:
    said = " ".join(text(folder, "counter-acknowledgement", "open").split())
    assert "It is about the removal of the request open. It is complete" in said
    assert "Nothing has been removed yet" in said
    with pytest.raises(NothingOnRecord, match="complete counter-notice is on record"):
        text(folder, "counter-acknowledgement", "first")


def test_the_outcome_of_a_counter_notice_before_any_removal(tmp_path: Path) -> None:
    request(tmp_path, "open")
    counter("open", letter(tmp_path, "reply"), WINTER, tmp_path / "home")
    said = " ".join(text(tmp_path, "counter-outcome", "open").split())
    assert "Nothing was removed for the first notice, and we have not heard of an action in court by 2026-01-2" in said


def test_the_outcome_by_a_court_action_names_court_and_case(tmp_path: Path) -> None:
    publish(request(tmp_path, "first"))
    counter("first", letter(tmp_path, "reply"), None, tmp_path / "home")
    counter("first", letter(tmp_path, "action", ACTION), None, tmp_path / "home", court_action=True)
    said = " ".join(text(tmp_path, "counter-outcome", "first").split())
    assert "We do not put it back." in said
    assert "The court: District Court of Linden. The number of the case: 26-cv-204." in said
    for name in ("counter-acknowledgement", "counter-notice", "lumen-counternotice"):
        with pytest.raises(NothingOnRecord, match="no court action has answered it"):
            text(tmp_path, name, "first")


def put_back(folder: Path, came: datetime | None, seen: list[str]) -> str:
    publish(request(folder, "stays", erase="umbrella"))
    publish(request(folder))
    counter("first", letter(folder, "reply"), came, folder / "home")
    order = handed_in(withdrawal(folder / "first.yaml", "back", "first"), folder / "home")
    note(order, Step.RETURNED, {"candidate": "c" * 64}, {}, {"outcome": "PASS", "reasons": [], "seen": seen})
    publish(order)
    return " ".join(text(folder, "counter-outcome", "first").split())


def test_the_outcome_says_that_it_is_put_back_and_tested(tmp_path: Path) -> None:
    said = put_back(tmp_path, WINTER, ["it is back: bicycle is seen in 9 of 10 pictures (90.0%)"])
    assert "we withdrew the removal, and published the model without it. A test showed that the model draws it" in said
    assert "That was after 2026-01-2" in said
    assert "umbrella" not in said


def test_attack_what_others_still_take_out_is_told_as_back(tmp_path: Path) -> None:
    said = put_back(tmp_path, None, ["it is back: umbrella is seen in 9 of 10 pictures (90.0%)"])
    assert "we withdrew the removal" in said
    assert "draws it again" not in said
    assert "That was before the time which the law names began" in said


def test_attack_an_amendment_is_told_as_a_return(tmp_path: Path) -> None:
    publish(request(tmp_path))
    counter("first", letter(tmp_path, "reply"), WINTER, tmp_path / "home")
    with pytest.raises(NothingOnRecord, match="once it is put back"):  # late, and not put back
        text(tmp_path, "counter-outcome", "first")
    later = json.loads((tmp_path / "first.yaml").read_text()) | {"request_id": "again", "replaces": ["first"]}
    (tmp_path / "again.yaml").write_text(json.dumps(later))
    publish(handed_in(tmp_path / "again.yaml", tmp_path / "home"))
    with pytest.raises(NothingOnRecord, match="once it is put back"):
        text(tmp_path, "counter-outcome", "first")


def test_a_counter_notice_for_lumen_is_of_its_own_type(folder: Path) -> None:
    made = json.loads(text(folder, "lumen-counternotice", "open"))["notice"]
    assert (made["type"], made["works_attributes"][0]["description"]) == (
        "Counternotice",
        "the pictures of a bicycle, at /m/7",
    )
    assert {one["entity_attributes"]["name"] for one in made["entity_notice_roles_attributes"]} == {"[private]"}
    schema = json.loads((FOLDER / "lumen-notice.schema.json").read_bytes())
    jsonschema.validate({"notice": made | {"counternotice_for_id": 7}}, schema)
    for change in ({"action_taken": "Yes"}, {"type": "DMCA", "action_taken": "Yes", "counternotice_for_id": 7}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({"notice": made | change}, schema)


@pytest.mark.parametrize(
    ("kind", "keyword"),
    [
        ("ncii", "KEYWORD_NON_CONSENSUAL_MATERIAL_DEEPFAKE"),
        ("voluntary", None),
        ("other", None),
    ],
)
def test_the_statement_has_what_the_database_wants_since_july_2025(kind: str, keyword: str, tmp_path: Path) -> None:
    publish(request(tmp_path, "first", kind))
    made = json.loads(text(tmp_path, "statement-of-reasons", "first"))
    assert made["content_date"] == "2026-02-03"
    assert len(made["territorial_scope"]) == 30
    assert made.get("category_specification") == (keyword and [keyword])


def test_the_letter_and_the_statement_name_the_end_of_what_holds_for_a_time(tmp_path: Path) -> None:
    path = policy_file(tmp_path, BASE, "brief")
    path.write_text(json.dumps({**json.loads(path.read_text()), "expires_at": "2037-01-31T17:00:00+01:00"}))
    publish(handed_in(path, tmp_path / "home"))
    said = " ".join(text(tmp_path, "decision", "brief").split())
    assert (
        "before. It holds until 2037-01-31 17:00 UTC+01:00. From then on our model may show what you named again. How"
        in said
    )
    statement = json.loads(text(tmp_path, "statement-of-reasons", "brief"))
    jsonschema.validate(statement, json.loads((FOLDER / "statement-of-reasons.schema.json").read_text()))
    assert statement["end_date_visibility_restriction"] == "2037-01-31"
    assert "The restriction ends on 2037-01-31 17:00 UTC+01:00 and holds" in statement["decision_facts"]
