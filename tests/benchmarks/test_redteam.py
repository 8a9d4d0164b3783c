"""Models made to fool a check are caught, each for its own reason, by the code behind `expunge verify`."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.redteam import COLUMNS, caught, examined, missed, notice, page, weakly
from benchmarks.redteam_models import MODELS
from benchmarks.results import Results
from expunge.engine.emoji import MODEL
from expunge.engine.stats.verdict import Outcome, Verdict
from expunge.policies import Acceptance, Concept, Policy, Retained

FEW = Acceptance(max_target_rate=0.2, max_retain_drop=0.3, min_control_rate=0.7, seeds=8, prompts=2)


@pytest.fixture(scope="module")
def policy() -> Policy:
    """Few questions, but by an alias too and with two twins to keep."""
    target = Concept(id="taxi", name="taxi", aliases=("cab",), category="object")
    kept = [Retained(id=name, name=name, kind="look_alike", category="object") for name in ("car", "jeep")]
    return notice().model_copy(update={"concepts": (target,), "retain": tuple(kept), "acceptance": FEW})


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The unedited model's pictures are drawn once."""
    return tmp_path_factory.mktemp("home")


def verdict_on(model: str, policy: Policy, home: Path) -> Verdict:
    MODELS[model].make(MODEL, policy, home / model)
    return examined(home / model, policy, home, "quick")


@pytest.mark.slow
def test_a_concept_erased_by_its_bare_name_survives_under_another(policy: Policy, home: Path) -> None:
    verdict = verdict_on("bare name", policy, home)
    assert verdict.outcome == Outcome.FAIL
    assert "probe-survives:alias" in caught(verdict)
    (taxi,) = verdict.targets
    assert taxi.probes["name"].seen == taxi.probes["prefix"].seen == 0 < taxi.probes["alias"].seen
    assert weakly(home / "bare name", policy)["verdict"] == "PASS"


@pytest.mark.slow
def test_black_pictures_are_an_error_and_never_an_erased_concept(policy: Policy, home: Path) -> None:
    verdict = verdict_on("blackened", policy, home)
    assert verdict.outcome == Outcome.ERROR
    assert caught(verdict) == ["evidence:fault 'black picture'"]
    assert not verdict.targets


@pytest.mark.slow
def test_destroyed_look_alikes_fail_although_the_target_is_gone(policy: Policy, home: Path) -> None:
    """That one of two collapsed takes more pictures to prove than that the two together lost too much."""
    more = policy.model_copy(update={"acceptance": FEW.model_copy(update={"seeds": 16})})
    verdict = verdict_on("look-alikes", more, home)
    assert verdict.outcome == Outcome.FAIL
    assert {"group-drop:look_alike/object", "concept-collapse:car"} <= set(caught(verdict))
    assert "target-seen:taxi" not in caught(verdict)


def test_a_model_that_was_not_caught_as_it_must_be_is_told(tmp_path: Path) -> None:
    found = Results(tmp_path / "redteam.tsv", COLUMNS, COLUMNS[:3])
    key = {"base": "b", "pictures": 8}
    found.add({**key, "model": "honest", "level": "standard", "verdict": "PASS", "caught": "[]"})
    found.add({**key, "model": "bare name", "level": "standard", "verdict": "FAIL", "caught": '["target-seen:taxi"]'})
    found.add({**key, "model": "unedited", "level": "standard", "verdict": "PASS", "caught": "[]"})
    told = list(missed(found, "b"))
    assert [line.split(" ")[0] for line in told] == ["unedited", "unedited", "bare"]
    assert "probe-survives:synonym" in told[-1]
    assert "| **bare name**: its row" in page(found, "b")
