"""A notice from its file to the record, by the commands, and what is due."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from expunge.flows.casework.notices import list_due
from expunge.tasks.audit.record import audit
from tests.flows.conftest import run_cli

ROOT = Path(__file__).parents[2]
NOTICES = ROOT / "tests" / "policies" / "notices"
MAIL = NOTICES / "heron.eml"
NCII = 'notice_version: "1"\nkind: ncii\nelements:\n  material: a picture of me, at /m/7\n'


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EXPUNGE_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def hours_ago(hours: float) -> str:
    return (datetime.now(UTC) - timedelta(hours=hours)).isoformat(timespec="seconds")


def test_a_mail_is_on_record_with_a_draft_and_the_record_is_whole(home: Path) -> None:
    done = run_cli("receive", str(MAIL), "--kind", "copyright", "--json")
    assert (done.code, done.data["state"], done.data["missing"]) == (0, "received", []), done.err
    assert "blue heron" in Path(done.data["draft"]).read_text(encoding="utf-8")
    assert audit(home).problems == ()
    status = run_cli("status", "--json").data
    assert (status["home"], status["notices"][0]["request_id"]) == (str(home), done.data["request_id"])
    assert done.data["request_id"] in run_cli("status").out
    assert "copyright" in run_cli("due").out


def test_what_is_missing_comes_with_the_sentence_to_send_back() -> None:
    done = run_cli("receive", str(NOTICES / "lumen.json"))
    assert done.code == 0
    assert "defective" in done.out
    assert "Please sign the notice" in done.out
    assert "512(c)(3)(A)(i)" in done.out


def test_a_mail_of_an_unknown_kind_is_recorded_and_the_kind_is_missing() -> None:
    done = run_cli("receive", str(MAIL), "--json")
    assert (done.data["state"], done.data["missing"][0]["element"]) == ("defective", "kind")
    known = run_cli("receive", str(MAIL), "--kind", "copyright", "--json")
    assert (known.data["state"], known.data["request_id"]) == ("received", done.data["request_id"])
    assert known.data["received_at"] == done.data["received_at"]


def test_attack_the_clock_is_not_reset_by_handing_it_in_again(tmp_path: Path, home: Path) -> None:
    (file := tmp_path / "n.yaml").write_text(NCII)
    first = run_cli("receive", str(file), "--received", hours_ago(40), "--json").data
    again = run_cli("receive", str(file), "--received", hours_ago(1), "--json").data
    assert (again["receipt"], again["due"]) == (first["receipt"], first["due"])
    earlier = run_cli("receive", str(file), "--received", hours_ago(50), "--json").data
    assert earlier["due"] < first["due"]
    late = run_cli("due", "--json")
    assert (late.code, late.data["due"][0]["late"], len(late.data["due"])) == (4, True, 1)
    assert audit(home).problems == ()


def test_the_most_urgent_comes_first_and_nothing_is_late(tmp_path: Path, home: Path) -> None:
    (file := tmp_path / "n.yaml").write_text(NCII)
    for words in ([str(MAIL), "--kind", "copyright"], [str(MAIL), "--kind", "copyright"], [str(file)]):
        assert run_cli("receive", *words).code == 0
    found = list_due(home)
    assert [row["kind"] for row in found["due"]] == ["ncii", "copyright"]
    assert (found["exit_code"], found["due"][0]["days_left"]) == (0, 2.0)


def test_an_order_is_due_when_the_court_says(tmp_path: Path) -> None:
    text = (NOTICES / "order.yaml").read_text(encoding="utf-8")
    (file := tmp_path / "o.yaml").write_text(text)
    assert run_cli("receive", str(file), "--json").data["due"] == "2026-03-01T17:00:00+01:00"
    (vague := tmp_path / "v.yaml").write_text(text.replace("2026-03-01T17:00:00+01:00", "soon"))
    done = run_cli("receive", str(vague), "--json").data
    assert ([one["element"] for one in done["missing"]], done["due"]) == (["due_at"], None)


def test_attack_a_notice_is_altered_or_removed(home: Path) -> None:
    run_cli("receive", str(MAIL), "--kind", "copyright")
    (kept,) = (home / "notices").iterdir()
    kept.write_bytes(kept.read_bytes().replace(b"heron", b"robin"))
    assert any("not the notice that was received" in problem for problem in audit(home).problems)
    kept.unlink()
    assert any("not the notice that was received" in problem for problem in audit(home).problems)


def test_nothing_of_the_sender_is_in_the_home(home: Path) -> None:
    run_cli("receive", str(MAIL), "--kind", "copyright")
    kept = b"".join(path.read_bytes() for path in home.rglob("*") if path.is_file() and path.suffix != ".db")
    assert b"heron" in kept
    assert not [secret for secret in (b"mara@", b"Mara", b"1234567") if secret in kept]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ((str(MAIL), "--kind", "copyrite"), 2, "--kind"),
        ((str(MAIL), "--received", "yesterday"), 2, "--received"),
        ((str(MAIL), "--received", "2999-01-01T00:00:00Z"), 2, "in the past"),
        ((str(MAIL), "--received", "2026-01-01T00:00:00"), 2, "zone"),
        ((str(ROOT / "policies" / "examples" / "demo.yaml"),), 3, "notice_version"),
    ],
)
def test_bad_input_names_the_field_and_the_cure_and_records_nothing(
    words: tuple[str, ...], code: int, said: str, home: Path
) -> None:
    done = run_cli("receive", *words)
    assert (done.code, done.out, said in done.err) == (code, "", True), done.err
    assert not (home / "receipts").exists()


@pytest.mark.parametrize("command", ["status", "due"])
def test_attack_a_home_that_is_not_there_is_no_empty_list(command: str, home: Path) -> None:
    done = run_cli(command, EXPUNGE_HOME=str(home / "elsewhere"))
    assert (done.code, done.out, "EXPUNGE_HOME" in done.err) == (2, "", True)


def test_status_and_due_name_the_home_that_they_read(home: Path, tmp_path: Path) -> None:
    run_cli("receive", str(MAIL), "--kind", "copyright")
    other = tmp_path / "other"
    other.mkdir()
    for command in ("status", "due"):
        for read in (home, other):
            done = run_cli(command, EXPUNGE_HOME=str(read))
            assert (done.code, f"home {read}" in done.out) == (0, True), command
            assert run_cli(command, "--json", EXPUNGE_HOME=str(read)).data["home"] == str(read)


def test_due_is_4_as_soon_as_anything_is_late(tmp_path: Path) -> None:
    for text, hours, code in ((NCII, 47.5, 0), (NCII.replace("/m/7", "/m/8"), 48.5, 4)):
        (letter := tmp_path / "n.yaml").write_text(text)
        run_cli("receive", str(letter), "--received", hours_ago(hours))
        assert run_cli("due").code == code
    done = run_cli("due")
    assert (done.code, " late" in done.out) == (4, True)
    assert run_cli("due", "--json").data["exit_code"] == 4


def test_the_committed_schema_is_current() -> None:
    done = run_cli("schema")
    assert json.loads(done.out)["title"] == "Policy"
    assert (ROOT / "docs" / "policy.schema.json").read_text(encoding="utf-8") == done.out


def test_version_and_short_help() -> None:
    assert run_cli("--version").out.startswith("expunge 0.")
    assert "receive" in run_cli("-h").out
