"""A policy whose own numbers can prove nothing is told so before anything is drawn."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from expunge.engine.emoji import MODEL
from expunge.engine.files.digests import folder_digest
from expunge.engine.stats.verdict import Outcome, Verdict
from expunge.policies import PolicyError, read
from expunge.policies.model.schema import Level
from expunge.tasks.evidence.examination import examination
from expunge.tasks.evidence.feasibility import best_case, refuse_unprovable, refuse_without_pass, unknown_names
from expunge.tasks.intake import order_for
from tests.flows.conftest import policy_file

EXAMPLES = sorted((Path(__file__).parents[3] / "policies" / "examples").glob("*.yaml"))


def foreseen(path: Path, home: Path, level: Level | None = None) -> Verdict:
    return best_case(examination(order_for("0" * 64, read(path), home, level)))


@pytest.mark.parametrize("level", ["quick", "standard"])
def test_too_few_pictures_cannot_pass_and_more_can(tmp_path: Path, level: Level) -> None:
    few, many = (
        policy_file(tmp_path, folder_digest(MODEL), f"asked-{seeds}", seeds=seeds, prompts=3) for seeds in (1, 40)
    )
    refused = foreseen(few, tmp_path / "few", level)
    assert refused.outcome is Outcome.INCONCLUSIVE
    assert refused.reasons
    assert foreseen(many, tmp_path / "many", level).outcome is Outcome.PASS


@pytest.mark.parametrize("limited", ["alais", "inversion", "alias"])
def test_a_limit_on_what_is_not_asked_is_refused_before_anything_is_drawn(tmp_path: Path, limited: str) -> None:
    """A misspelt probe, an attack of another level, a family that this policy has no prompt in."""
    path = policy_file(tmp_path, folder_digest(MODEL), "limited", probe_limits={limited: 0.2}, seeds=40)
    exam = examination(order_for("0" * 64, read(path), tmp_path / "home"))
    with pytest.raises(PolicyError, match=f"{limited}.*expunge plan"):
        refuse_unprovable(exam)
    few = policy_file(tmp_path, folder_digest(MODEL), "few", seeds=1, prompts=1)
    small = examination(order_for("0" * 64, read(few), tmp_path / "home"))
    refuse_unprovable(small)  # a model from outside may be examined though nothing can be proven of it
    with pytest.raises(PolicyError, match=r"no edit could pass: .* are needed.*acceptance\.seeds"):
        refuse_without_pass(small)


def test_an_attack_that_has_nothing_to_train_on_is_refused_before_anything_is_drawn(tmp_path: Path) -> None:
    """Whatever is kept is asked for in words that name the target as well."""
    exam = examination(
        order_for("0" * 64, read(policy_file(tmp_path, folder_digest(MODEL), "asked")), tmp_path, "standard")
    )
    refuse_unprovable(exam)
    named = tuple(
        replace(question, shot=replace(question.shot, prompt=f"{question.shot.prompt} beside a bicycle"))
        for question in exam.questions
    )
    with pytest.raises(PolicyError, match=r"retain: relearn trains the model on what is kept"):
        refuse_unprovable(replace(exam, questions=named))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_examples_can_pass(path: Path, tmp_path: Path) -> None:
    assert foreseen(path, tmp_path).outcome is Outcome.PASS


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("pandda", "did you mean 'panda'?"),
        ("xyzzy", "is it spelt as people write it?"),
        ("panda", None),
        ("police car", None),
    ],
)
def test_a_target_that_neither_judge_nor_encoder_knows_is_named(tmp_path: Path, written: str, said: str | None) -> None:
    path = policy_file(tmp_path, folder_digest(MODEL), "written", erase=written)
    found = unknown_names(order_for("0" * 64, read(path), tmp_path / "home"))
    assert [str(said) in sentence for sentence in found] == ([True] if said else [])
