"""What the gate decided is on record as it decided it, and a refusal has the outcome and the reasons of the verdict."""

from __future__ import annotations

from pathlib import Path

import pytest
from prefect import Task

from expunge.engine.emoji import MODEL
from expunge.engine.files.digests import folder_digest
from expunge.engine.stats.verdict import Verdict
from expunge.tasks import gate
from expunge.tasks.core.errors import VerdictNotPassed
from expunge.tasks.core.work_order import Ref, Weights
from expunge.tasks.evidence.gx.checkpoint import GateResult
from expunge.tasks.gate import Gated, gate_task, refuse
from expunge.tasks.ledger.case import Case, open_case
from expunge.tasks.ledger.receipt import Step
from tests.engine.stats.test_verdict import FOX, PANDA, concept, verdict
from tests.flows.conftest import policy_file
from tests.mutation.frozen import changeable
from tests.tasks.handed_in import handed_in

PASSED = verdict(PANDA, FOX)
FAILED = verdict(concept("panda", "target", after=12), FOX)


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return open_case(handed_in(policy_file(tmp_path, folder_digest(MODEL), "asked"), tmp_path / "home"))


def kept(folder: Path, content: Verdict) -> Ref:
    (path := folder / "verdict.json").write_text(content.to_json())
    return Ref.of(path)


@pytest.mark.parametrize(("failed", "outcome"), [((), "open"), (("panda: upper bound",), "shut")], ids=["open", "shut"])
def test_the_receipt_says_what_the_gate_decided(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failed: tuple[str, ...], outcome: str
) -> None:
    monkeypatch.setattr(gate, "run_gate", lambda *_: GateResult(not failed, failed, tmp_path))
    of = kept(tmp_path, PASSED)
    found = gate_task.fn(case, Weights(MODEL, "0" * 64), of, of, of)
    (receipt,) = (one for one in open_case(case.order).chain if one.step == Step.GATED)
    assert receipt.verdict == {"outcome": outcome, "failed": list(failed)}
    assert receipt.inputs == {"evidence": of.sha256, "verdict": of.sha256}
    assert found == Gated(bool(failed), failed, receipt.digest)


def test_a_refusal_has_the_outcome_and_reasons_of_the_verdict(tmp_path: Path) -> None:
    with pytest.raises(VerdictNotPassed) as found:
        refuse(kept(tmp_path, FAILED), Gated(True, ("a doubt of the gate",), ""))
    assert found.value.outcome == "FAIL"
    assert str(found.value).startswith("FAIL, nothing was published:")
    assert FAILED.reasons[0].message in str(found.value)
    assert "a doubt of the gate" not in str(found.value)


def test_a_refusal_of_a_verdict_without_reasons_is_an_error_with_those_of_the_gate(tmp_path: Path) -> None:
    with pytest.raises(VerdictNotPassed) as found:
        refuse(kept(tmp_path, PASSED), Gated(True, ("panda: upper bound",), ""))
    assert found.value.outcome == "ERROR"
    assert str(found.value).endswith("the gate doubts the verdict: panda: upper bound")


def test_the_gate_is_a_task_of_the_run_and_its_decision_cannot_be_changed() -> None:
    assert isinstance(gate_task, Task)
    assert changeable(gate) == []
    assert Gated(True, (), "x") == Gated(True, (), "x")
