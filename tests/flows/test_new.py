"""`expunge new`: questions, answers by options, and a policy of every kind that can be submitted."""

from __future__ import annotations

import json
import os
import pty
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

from expunge.flows.casework.questions import ask_elements
from expunge.flows.cli import app
from expunge.policies.kinds import KINDS, REQUESTS, Kind
from expunge.policies.model.lasting import PERMANENT
from expunge.tasks.audit.record import audit
from expunge.tasks.ledger.floor_store import read_to_submit
from tests.flows.conftest import run_cli

MOMENT = "2027-01-31T17:00:00+01:00"
ANSWERED = ("--target", "panda; panda bear", "--keep", "koala; bear")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EXPUNGE_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def typed(said: str, *words: str) -> Result:
    return CliRunner().invoke(app, ["new", *words], input=said)


def elements_of(kind: Kind) -> list[str]:
    """What a person answers for each element of a kind, in the order of the table."""
    found = KINDS[kind].elements
    return ["yes" if one.statement else MOMENT if one.name == "due_at" else f"the {one.name}" for one in found]


def written(home: Path) -> Path:
    (path,) = (home / "drafts").iterdir()
    return path


@pytest.mark.parametrize("kind", REQUESTS)
def test_answers_from_a_pipe_become_a_policy_that_can_be_submitted(kind: Kind, home: Path) -> None:
    rest = ["panda; panda bear", "object", "koala; bear", "dog", "castle", "builtin:emoji", "2027-01-31T17:00:00Z"]
    rest = rest[:-1] if kind in PERMANENT else rest
    done = typed("\n".join([*elements_of(kind), *rest]) + "\n", kind)
    assert done.exit_code == 0, done.output
    policy = read_to_submit(written(home), home)
    assert (policy.expires_at is None) == (kind in PERMANENT)
    assert (policy.kind, policy.concepts[0].aliases, policy.concepts[0].anchor) == (kind, ("panda bear",), "castle")
    assert [(one.name, one.kind) for one in policy.retain] == [
        ("koala", "look_alike"),
        ("bear", "look_alike"),
        ("dog", "general"),
    ]
    status = run_cli("status", "--json").data["notices"]
    assert [(row["request_id"], row["state"], row["missing"]) for row in status] == [
        (policy.request_id, "received", [])
    ]
    assert audit(home).problems == ()


@pytest.mark.parametrize("kind", ["copyright", "ncii"])
def test_answers_by_options_need_no_terminal_and_say_what_is_missing(kind: Kind, home: Path) -> None:
    done = typed("", kind, *ANSWERED, "--json")
    assert done.exit_code == 0, done.output
    assert read_to_submit(written(home), home).kind == kind
    missing = [one["element"] for one in json.loads(done.stdout)["missing"]]
    assert missing == [one.name for one in KINDS[kind].elements]


@pytest.mark.parametrize("kind", ["court_order", "voluntary"])
def test_answers_from_a_terminal_are_read_from_it(kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = pty.openpty()
    os.write(ours, ("\n".join(elements_of(kind)) + "\n").encode())
    with os.fdopen(theirs, encoding="utf-8") as terminal:
        monkeypatch.setattr("sys.stdin", terminal)
        found = ask_elements(kind, {})
    os.close(ours)
    assert found.keys() == {one.name for one in KINDS[kind].elements}


def test_a_bad_answer_is_asked_for_again_with_its_cure(home: Path) -> None:
    bad = ["", "pan/da", "panda", "thing", "object", "", "panda", "", "", "builtin:none", "", "soon", ""]
    again = ["panda", "object", "koala", "", "", "", ""]  # the target is not what stays
    done = typed("\n".join(["", "", *bad, *again]) + "\n", "voluntary")
    assert done.exit_code == 0, done.output
    for said in (
        "target: is empty",
        "holds '/'",
        "'thing' is none of them",
        "keep: is empty",
        "is no model here",
        "is no moment",
    ):
        assert said in done.stderr
    assert "is to be kept, but" in done.stderr
    assert read_to_submit(written(home), home).retain[0].name == "koala"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("copyrite", *ANSWERED), 2, "none of the kinds"),
        (("copyright", "--target", "panda"), 2, "give it by --keep"),
        (("copyright", "--target", "pan/da", "--keep", "koala"), 3, "target: 'pan/da' holds '/'"),
        (("copyright", "--target", "panda", "--keep", "panda"), 3, "is to be kept, but"),
        (("copyright", *ANSWERED, "--category", "thing"), 3, "use one of object"),
        (("copyright", *ANSWERED, "--anchor", "panda"), 3, "anchor"),
        (("copyright", *ANSWERED, "--model", "builtin:none"), 3, "model: 'builtin:none' is no model here"),
        (("copyright", *ANSWERED, "--element", "mark=x"), 3, "a request of the kind copyright has signature"),
        (("copyright", *ANSWERED, "--element", "work=[name of the work]"), 3, "is a blank of a form"),
        (("copyright", *ANSWERED, "--element", "accuracy=perhaps"), 3, "neither yes nor no"),
        (("voluntary", *ANSWERED, "--expires", "tomorrow"), 3, "expires_at: is no moment"),
        (("ncii", *ANSWERED, "--expires", MOMENT), 3, "which knows no end"),
        (("court_order", *ANSWERED, "--element", "due_at=tomorrow"), 3, "element due_at: is no moment"),
        (("copyright", *ANSWERED, "--element", "work"), 2, "NAME=TEXT"),
        (("copyright", *ANSWERED, "--received", "2999-01-01T00:00:00Z"), 3, "lies in the future"),
    ],
)
def test_a_bad_option_is_refused_with_its_field_and_nothing_is_on_record(
    words: tuple[str, ...], code: int, said: str, home: Path
) -> None:
    done = typed("", *words)
    assert (done.exit_code, done.stdout) == (code, "")
    assert said in done.stderr
    assert not (home / "receipts").exists()


def test_the_clock_of_a_court_order_runs_to_the_date_in_it() -> None:
    assert typed("", "court_order", *ANSWERED, "--element", f"due_at={MOMENT}").exit_code == 0
    assert [row["due"] for row in run_cli("due", "--json").data["due"]] == [MOMENT]


def test_attack_the_new_policy_is_below_the_floor_of_its_kind(home: Path, tmp_path: Path) -> None:
    strict = yaml.safe_load((Path(__file__).parents[2] / "policies" / "floor.yaml").read_text())
    strict["default"] |= {"confidence": 0.99, "seeds": 40, "level": "standard", "max_target_rate": 0.05}
    (floor := tmp_path / "floor.yaml").write_text(yaml.safe_dump(strict))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EXPUNGE_FLOOR", str(floor))
        assert typed("", "trademark", *ANSWERED).exit_code == 0
        wanted = read_to_submit(written(home), home).acceptance
    assert (wanted.confidence, wanted.seeds, wanted.level, wanted.max_target_rate) == (0.99, 40, "standard", 0.05)


def test_attack_a_private_notice_leaves_no_name_in_the_record(home: Path) -> None:
    assert typed("", "ncii", "--target", "Eva Moss", "--keep", "bear", "--element", "material=Eva Moss").exit_code == 0
    kept = b"".join(path.read_bytes() for path in home.rglob("*.json"))
    assert b"Moss" not in kept
    assert b"Moss" in written(home).read_bytes()


def test_attack_a_draft_that_a_person_changed_is_written_over(home: Path, tmp_path: Path) -> None:
    at = ("--received", "2026-01-31T09:30:00+01:00")
    assert typed("", "trademark", *ANSWERED, *at).exit_code == 0
    path = written(home)
    path.write_text(path.read_text().replace("koala", "dog"))
    done = typed("", "trademark", *ANSWERED, *at)
    assert (done.exit_code, "name a new file by --out" in done.stderr) == (2, True)
    assert "dog" in path.read_text()
    (file := tmp_path / "p.yaml").write_text("mine")
    assert typed("", "trademark", *ANSWERED, "--out", str(file)).exit_code == 2
    assert file.read_text() == "mine"


def test_two_requests_with_the_same_answers_are_two(home: Path) -> None:
    for hour in ("09", "10"):
        assert typed("", "ncii", *ANSWERED, "--received", f"2026-01-31T{hour}:30:00+01:00").exit_code == 0
    assert len(list((home / "drafts").iterdir())) == 2


@pytest.mark.slow
def test_a_dry_run_takes_the_new_policy(home: Path) -> None:
    assert typed("", "copyright", *ANSWERED).exit_code == 0
    done = run_cli("plan", str(written(home)), "--json")
    assert (done.code, done.data["unprovable"], done.data["unknown"]) == (0, [], []), done.err
