"""A policy whose own numbers can prove nothing is told so before anything is drawn."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.digests import folder_digest
from engine.emoji import MODEL
from engine.results import Outcome, Verdict
from policies import read
from policies.schema import Level
from tasks.foresight import best_case
from tasks.intake import order_for
from tasks.questions import examination
from tests.flows.conftest import policy_file

EXAMPLES = sorted(Path("policies/examples").glob("*.yaml"))


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


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_examples_can_pass(path: Path, tmp_path: Path) -> None:
    assert foreseen(path, tmp_path).outcome is Outcome.PASS
