"""An edited model really forgets, on pictures; the same check on the unedited model sees what is there to forget."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest

from expunge.engine.emoji import CLIP_JUDGE, MODEL
from expunge.engine.judges import ClipJudge
from expunge.engine.models.load import open_model
from expunge.engine.models.sampling import Sampler, Shot, generate
from expunge.engine.planning.closed_form import plan
from expunge.engine.plans.edit_plan import applied
from expunge.engine.spec import EditSpec, Retain, Target

PROMPTS = ("an image of one {}", "a photo of the {}", "{}")
TARGETS = {"bicycle": "bike", "lion": "", "police car": "cop car"}
KEPT = ("car", "taxi", "guitar", "tiger", "castle", "cactus")


@pytest.fixture(scope="module")
def judge() -> ClipJudge:
    return ClipJudge(CLIP_JUDGE)


@pytest.fixture(scope="module")
def before(judge: ClipJudge) -> Callable[[str, int], float]:
    """The rate on the unedited model, drawn once a name."""
    model = open_model(MODEL)
    return cache(lambda name, seeds: rate(model, judge, name, seeds))


def drawn(model: object, shots: list[Shot]) -> np.ndarray:
    return np.stack([picture for _, picture in generate(model, shots, Sampler())])


def rate(model: object, judge: ClipJudge, name: str, seeds: int) -> float:
    shots = [Shot(prompt.format(name), seed) for prompt in PROMPTS for seed in range(seeds)]
    return float(np.mean([seen.seen for seen in judge.look(drawn(model, shots), [name] * len(shots), "object")]))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "seeds"), [("police car", 4), ("bicycle", 8), ("lion", 8)])
def test_the_target_is_gone_and_its_twins_are_there(
    judge: ClipJudge, before: Callable[[str, int], float], name: str, seeds: int
) -> None:
    model = open_model(MODEL)
    spec = EditSpec(
        (Target(name.replace(" ", "-"), (name, *filter(None, [TARGETS[name]]))),),
        tuple(Retain(other.replace(" ", "-"), (other,), kind="look_alike") for other in KEPT),
    )
    assert before(name, seeds) >= 0.85, "the positive control: the unedited model draws it and the judge sees it"
    untouched = drawn(model, shots := [Shot(name, 0)])
    with applied(model, plan(model, spec)):
        after = {other: rate(model, judge, other, seeds) for other in (name, *KEPT)}
    assert after[name] <= 0.10
    assert np.mean([before(other, seeds) - after[other] for other in KEPT]) <= 0.05
    assert (drawn(model, shots) == untouched).all(), "undone, it is what it was"
