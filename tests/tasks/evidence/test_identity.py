"""The pipeline compares every candidate with its base, and the gate and publication believe nothing else."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from expunge.engine.files.bundle import MODEL
from expunge.engine.files.comparison import Comparison, Difference
from expunge.engine.files.digests import folder_digest
from expunge.engine.models.load import open_model
from expunge.engine.planning.closed_form import plan
from expunge.engine.plans.apply import write_edited
from expunge.engine.spec import EditSpec, Target
from expunge.engine.stats.decide import decide
from expunge.tasks.bundle import check_edited
from expunge.tasks.core.errors import IntegrityError
from expunge.tasks.core.work_order import Order, Weights
from expunge.tasks.evidence.gx.checkpoint import Terms, gate
from expunge.tasks.evidence.identity import compare_with_base
from tests.engine import tiny
from tests.engine.plans.test_diff import swap_meanings
from tests.engine.stats.test_identity import LIMITS, PERFECT


@pytest.fixture(scope="module")
def order(tmp_path_factory: pytest.TempPathFactory) -> Order:
    """A work with a plan and the candidate that it makes."""
    folder = tmp_path_factory.mktemp("order")
    base = tiny.save(folder / "base")
    names = dict.fromkeys(("request_id", "line", "policy", "state", "judge"), "x")
    order = Order(**names, key="k", home=folder, base=folder_digest(base), base_folder=base, judge_folder=base)
    order.folder.mkdir(parents=True)
    made = plan(open_model(base), EditSpec((Target("cat", ("cat",)),), settings={"general_words": 20}))
    made.save(order.folder / "deltas.safetensors")
    write_edited(base, made, order.folder / "candidate")
    return order


def candidate(order: Order) -> Weights:
    return Weights(folder := order.folder / "candidate", folder_digest(folder))


def test_the_candidate_of_a_plan_is_the_base_with_it(order: Order) -> None:
    made = compare_with_base(order, candidate(order), order.folder / "deltas.safetensors")
    assert Comparison.load(made.path) == Comparison(declared=True)
    made = compare_with_base(order, candidate(order), None)
    assert Comparison.load(made.path) == Comparison(declared=False)


def test_attack_the_plan_reaches_further_than_its_editor_declares(order: Order, tmp_path: Path) -> None:
    from expunge.engine.plans.edit_plan import EditPlan

    own = EditPlan.load(order.folder / "deltas.safetensors")
    replace(own, editor="esd", settings={}).save(tmp_path / "esd.safetensors")
    found = Comparison.load(compare_with_base(order, candidate(order), tmp_path / "esd.safetensors").path)
    assert found == Comparison(declared=True), "esd may change cross-attention"
    replace(own, editor="unknown").save(tmp_path / "unknown.safetensors")
    found = Comparison.load(compare_with_base(order, candidate(order), tmp_path / "unknown.safetensors").path)
    assert "which this version does not know" in found.failure


def test_a_plan_that_cannot_be_read_is_no_pass(order: Order, tmp_path: Path) -> None:
    (tmp_path / "cut").write_bytes((order.folder / "deltas.safetensors").read_bytes()[:100])
    for plan_file in (tmp_path / "cut", tmp_path / "none"):
        found = Comparison.load(compare_with_base(order, candidate(order), plan_file).path)
        assert found.failure
        assert decide(PERFECT, len(PERFECT), LIMITS, comparison=found).outcome == "ERROR"


def test_attack_the_candidate_is_exchanged_before_it_is_compared(order: Order, tmp_path: Path) -> None:
    told = candidate(order)
    shutil.copytree(order.folder / "candidate", tmp_path / "candidate")
    swap_meanings(tmp_path / "candidate")
    with pytest.raises(IntegrityError, match="is no longer the model with the digest"):
        compare_with_base(order, replace(told, folder=tmp_path / "candidate"), None)
    with pytest.raises(IntegrityError, match="is no longer the model with the digest"):
        compare_with_base(replace(order, base="ab" * 32), told, None)


def test_attack_the_gate_is_shown_a_verdict_without_the_comparison(tmp_path: Path) -> None:
    bad = Comparison(True, (Difference("vae", "vae/config.json", "is not the base's"),))
    for known, told in ((bad, None), (bad, Comparison(True)), (Comparison(True), None)):
        passing = decide(PERFECT, len(PERFECT), LIMITS, comparison=told)
        assert passing.outcome == "PASS"
        result = gate(PERFECT, Terms(len(PERFECT), LIMITS, comparison=known), passing, tmp_path)
        assert not result.passed
        assert any("compared with its base in another way" in problem for problem in result.failed_expectations)


def test_attack_a_bundle_with_other_words_is_not_published(order: Order, tmp_path: Path) -> None:
    shutil.copytree(order.folder / "candidate", tmp_path / "bundle" / MODEL)
    shutil.copy(order.folder / "deltas.safetensors", tmp_path / "bundle")
    check_edited(tmp_path / "bundle", order.base_folder)
    swap_meanings(tmp_path / "bundle" / MODEL)
    with pytest.raises(IntegrityError, match=r"cannot be published: text_encoder/model\.safetensors holds 1 weights"):
        check_edited(tmp_path / "bundle", order.base_folder)
