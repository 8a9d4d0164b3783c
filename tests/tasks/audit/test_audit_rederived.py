"""What is on record is worked out anew: verdicts from their evidence, states from the policies in force."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

import expunge.engine
from expunge.canonical_json import canonical_json, sha256
from expunge.engine.files.atomic import write_whole
from expunge.engine.files.digests import file_digest
from expunge.engine.probes.levels import level_named
from expunge.engine.stats.decide import decide
from expunge.engine.stats.evidence import table as evidence
from expunge.engine.stats.verdict import Verdict
from expunge.policies import DesiredState, Policy, desired_state, parse
from expunge.tasks.audit.record import audit
from expunge.tasks.audit.replay import _unasked
from expunge.tasks.core.policy_adapter import acceptance
from expunge.tasks.ledger.floor_store import keep_floor
from expunge.tasks.ledger.line.attempts import questions_digest
from expunge.tasks.ledger.policy_store import keep_policy
from expunge.tasks.ledger.recorder import note
from tests.engine.stats.rows import rows
from tests.flows.conftest import policy_file
from tests.tasks.records import FILES, LINE, WORK, Record, Work


@pytest.fixture
def judged(tmp_path: Path) -> Record:
    """A home with a verdict that this version reached on evidence of its own."""
    home, work = tmp_path / "home", tmp_path / "home" / "work" / WORK
    data = policy_file(tmp_path, "cd" * 32, "audited", level="quick", seeds=1000).read_bytes()
    policy = parse(data, "audited")
    keep_policy(home, policy.digest, data)
    state = desired_state([policy])
    write_whole(work / "state.json", canonical_json(state.model_dump(mode="json")))
    kept = (row for item in state.retain for row in rows(item.id, item.kind, 96, 96, 96))
    table = evidence.table([*rows("bicycle", "target", 96, 0, 96), *kept])
    evidence.write(table, work / "evidence.parquet")
    (work / "quality.json").write_bytes(b"{}")
    asked = {"policy": policy.digest, "candidate": "c" * 64, "questions": questions_digest(state)}
    note(Work(home), "attempted", asked, {}, {"attempt": 1})
    verdict = decide(table, len(table), acceptance(state, 1))
    assert verdict.outcome.value == "PASS"
    judge_as(Record(home), verdict)
    return Record(home)


def judge_as(record: Record, verdict: Verdict) -> None:
    """Whoever can sign writes down this verdict."""
    write_whole(record.work / "verdict.json", verdict.to_json().encode())
    outputs = {name: file_digest(record.work / FILES[name]) for name in ("evidence", "verdict", "quality")}
    told = {"outcome": verdict.outcome.value, "reasons": [], "grade": verdict.grade}
    told |= {"attempt": verdict.acceptance.attempt}
    note(Work(record.home), "verified", {"candidate": "c" * 64}, outputs, told)


def test_a_verdict_is_worked_out_anew_from_its_evidence(judged: Record) -> None:
    assert judged.problems() == ()
    (line,) = audit(judged.home).lines
    assert (line.concluded, line.rederived) == (1, 1)


def test_attack_a_verdict_is_made_up_by_whoever_can_sign(judged: Record) -> None:
    table = evidence.read(judged.work / "evidence.parquet")
    table.loc[(table["role"] == "target") & (table["arm"] == "after"), "seen"] = True
    evidence.write(table, judged.work / "evidence.parquet")
    judge_as(judged, Verdict.load(judged.work / "verdict.json"))
    (problem,) = judged.problems()
    assert "verdict.json says PASS and does not follow from its evidence" in problem
    assert "it is FAIL" in problem


def test_attack_a_verdict_is_reached_by_softer_limits_than_the_policys(judged: Record) -> None:
    table = evidence.read(judged.work / "evidence.parquet")
    state = DesiredState.model_validate_json((judged.work / "state.json").read_bytes())
    judge_as(judged, decide(table, len(table), replace(acceptance(state, 1), max_target_rate=0.9)))
    (problem,) = judged.problems()
    assert "does not follow from its evidence" in problem


def test_an_attempt_whose_run_was_killed_and_never_went_on_leaves_a_whole_record(judged: Record) -> None:
    (first,) = [receipt for receipt in judged.chain if receipt.step == "attempted"]
    killed = {**first.inputs, "candidate": "d" * 64}
    note(Work(judged.home, key="d" * 64), "attempted", killed, {}, {"attempt": 2})
    assert judged.problems() == ()


def test_attack_a_third_attempt_is_proven_as_if_it_were_the_first(judged: Record) -> None:
    """The record has two attempts on the target that came before, and the verdict is by the confidence of a first."""
    (first,) = [receipt for receipt in judged.chain if receipt.step == "attempted"]
    for candidate in "de":
        asked = {**first.inputs, "candidate": candidate * 64}
        note(Work(judged.home, key=candidate * 64), "attempted", asked, {}, {"attempt": 1 + "de".index(candidate)})
    assert any("this is attempt 2, on record is 1" in problem for problem in judged.problems())


def test_attack_a_verdict_is_of_another_attempt_than_was_counted(judged: Record) -> None:
    table = evidence.read(judged.work / "evidence.parquet")
    state = DesiredState.model_validate_json((judged.work / "state.json").read_bytes())
    judge_as(judged, decide(table, len(table), acceptance(state)))
    assert any("it is of attempt 0, counted was 1" in problem for problem in judged.problems())


def test_attack_a_verdict_whose_attempt_was_never_counted(judged: Record) -> None:
    judged.rewrite(lambda receipt: None, without="attempted")
    note(Work(judged.home), "verified", {"candidate": "c" * 64}, {}, {"outcome": "PASS", "reasons": [], "attempt": 1})
    assert any("its attempt was never counted" in problem for problem in judged.problems())


def test_attack_a_receipt_has_a_better_grade_than_its_verdict(judged: Record) -> None:
    verdict = Verdict.load(judged.work / "verdict.json")
    outputs = {name: file_digest(judged.work / FILES[name]) for name in ("evidence", "verdict", "quality")}
    told = {"outcome": "PASS", "reasons": [], "attempt": 1, "grade": verdict.grade.replace("words", "weights")}
    note(Work(judged.home), "verified", {"candidate": "c" * 64}, outputs, told)
    (problem,) = judged.problems()
    assert "by weights" in problem
    assert "has changed: it is by words" in problem


def test_attack_a_concept_in_force_is_left_out_of_the_evidence(judged: Record) -> None:
    table = evidence.read(judged.work / "evidence.parquet")
    (gone, *_) = sorted(set(table.query("role != 'target'")["concept"]))
    fewer = table.query("concept != @gone").reset_index(drop=True)
    evidence.write(fewer, judged.work / "evidence.parquet")
    state = DesiredState.model_validate_json((judged.work / "state.json").read_bytes())
    judge_as(judged, decide(fewer, len(fewer), acceptance(state, 1)))
    (problem,) = judged.problems()
    assert f"evidence.parquet has nothing of {gone}, which its state names" in problem


def test_attack_the_tries_that_succeeded_are_left_out_of_the_evidence(judged: Record) -> None:
    state = DesiredState.model_validate_json((judged.work / "state.json").read_bytes())
    asked = state.model_copy(update={"acceptance": state.acceptance.model_copy(update={"level": "standard"})})
    plain = evidence.read(judged.work / "evidence.parquet")

    def problems(lost: int) -> list[str]:
        tries = [
            row
            for attack in level_named("standard").attacks
            for row in rows("bicycle", "target", attack.cost - lost, 0, attack.cost - lost, attack.name)
        ]
        return list(_unasked(asked, 0, pd.concat([plain, evidence.table(tries)], ignore_index=True)))

    assert problems(lost=0) == []
    assert problems(lost=1)[0] == "has 58 tries of concept_vector on bicycle, not 60"


def received(record: Record, folder: Path, erase: str) -> Policy:
    """A policy that the home has, as it came in."""
    data = policy_file(folder, "cd" * 32, f"takes-{erase}", erase).read_bytes()
    policy = parse(data, erase)
    keep_policy(record.home, policy.digest, data)
    return policy


def read_as(record: Record, policy: str, state: str) -> None:
    """Whoever can sign writes down that the policy came to this state, and that it is published."""
    work = Work(record.home, key=sha256(policy.encode()))
    note(work, "read", {"policy": policy, "floor": keep_floor(record.home).digest}, {"state": state})
    write_whole(record.home / "work" / work.key / "state.json", b"{}")
    publish_as(work, policy, state)


def publish_as(work: Work, policy: str, state: str) -> None:
    named = {"policy": policy, "state": state, "floor": keep_floor(work.home).digest}
    note(work, "published", named, {"bundle": "ff" * 32})


def test_a_state_is_worked_out_anew_from_the_policies_in_force(tmp_path: Path) -> None:
    record, policies = Record(tmp_path / "home"), []
    for erase in ("bicycle", "umbrella"):
        policies.append(received(record, tmp_path, erase))
        read_as(record, policies[-1].digest, desired_state(policies).digest)
    assert not any("those in force" in problem for problem in record.problems())


def test_attack_a_later_publication_drops_what_is_in_force(tmp_path: Path) -> None:
    record = Record(tmp_path / "home")
    for erase in ("bicycle", "umbrella"):
        policy = received(record, tmp_path, erase)
        read_as(record, policy.digest, desired_state([policy]).digest)
    read, published = (problem for problem in record.problems() if "those in force" in problem)
    assert read.startswith(f"{LINE}: receipt 3 (read audited): its policy and those in force come to the state ")
    assert published.startswith(f"{LINE}: receipt 4 (published audited): its policy and those in force come to")


def test_attack_what_was_read_before_another_publication_is_published_after_it(tmp_path: Path) -> None:
    record = Record(tmp_path / "home")
    stale, other = (received(record, tmp_path, erase) for erase in ("bicycle", "umbrella"))
    work, state = Work(record.home, key=sha256(b"stale")), desired_state([stale]).digest
    note(work, "read", {"policy": stale.digest}, {"state": state})
    write_whole(record.home / "work" / work.key / "state.json", b"{}")
    read_as(record, other.digest, desired_state([other]).digest)
    assert not any("those in force" in problem for problem in record.problems())
    publish_as(work, stale.digest, state)
    (problem,) = (problem for problem in record.problems() if "those in force" in problem)
    assert problem.startswith(f"{LINE}: receipt 4 (published audited)")


def test_the_last_place_of_a_number_is_no_contradiction_and_the_one_before_is(judged: Record) -> None:
    told = json.loads((judged.work / "verdict.json").read_bytes())
    upper = told["targets"][0]["total"]["upper"]
    for further, problems in ((1e-6, 0), (1e-4, 1)):
        told["targets"][0]["total"]["upper"] = upper + further
        judge_as(judged, Verdict.from_json(json.dumps(told)))
        assert len(judged.problems()) == problems


@pytest.mark.parametrize("content", [b"{}", b"[]", b"null", b"[" * 100_000])
def test_attack_a_verdict_that_cannot_be_read_ends_nothing(judged: Record, content: bytes) -> None:
    (judged.work / "verdict.json").write_bytes(content)
    assert any("cannot be worked out from its evidence" in problem for problem in judged.problems())


def test_a_judges_error_of_another_shape_ends_nothing(judged: Record) -> None:
    told = json.loads((judged.work / "verdict.json").read_bytes())
    (judged.work / "verdict.json").write_text(json.dumps({**told, "judge": []}))
    assert any("cannot be worked out from its evidence" in problem for problem in judged.problems())


def test_a_receipt_that_names_no_policy_ends_nothing(judged: Record) -> None:
    note(Work(judged.home), "read", {}, {"state": "ab" * 32})
    assert any("names no policy" in problem for problem in judged.problems())


def test_a_verdict_of_another_version_is_not_worked_out_and_that_shows(
    judged: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(expunge.engine, "__version__", "99.0")
    assert judged.problems() == ()
    assert (audit(judged.home).lines[0].concluded, audit(judged.home).lines[0].rederived) == (1, 0)
