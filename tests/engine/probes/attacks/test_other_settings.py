"""An edit that holds at the settings of its proof alone is asked under those of everybody else."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from expunge.engine.models.sampling import Sampler, Shot, generate
from expunge.engine.probes.attacks import OtherSettings
from expunge.engine.probes.attacks.other_settings import other_than
from tests.engine import tiny
from tests.engine.probes.attacks.tiny_attacks import CAT


@pytest.mark.parametrize(
    ("own", "second"),
    [
        (Sampler(12, 2.0), (30, 7.5)),
        (Sampler(12, 7.5), (30, 3.0)),
        (Sampler(30, 7.5), (15, 3.0)),
        (Sampler(50, 3.5), (15, 7.5)),
        (Sampler(4, 1.0), (30, 1.0)),
    ],
)
def test_the_second_settings_are_never_those_of_the_proof(own: Sampler, second: tuple[int, float]) -> None:
    other = other_than(own)
    assert (other.steps, other.guidance) == second
    assert other.digest != own.digest
    assert (other.batch, other.apart) == (own.batch, own.apart)


def test_its_pictures_are_drawn_by_the_second_settings_and_cost_as_much() -> None:
    attack = OtherSettings(wordings=1, seeds=2, sampler=Sampler(steps=2, guidance=2.0))
    pipeline: Any = tiny.pipeline()
    made = attack.attempts(pipeline, CAT, np.zeros((0, 64, 64, 3), np.uint8), [], seed=3)
    text = made[0].prompt.split(": ")[1]
    drawn = [picture for _, picture in generate(pipeline, [Shot(text, 3), Shot(text, 4)], other_than(attack.sampler))]
    assert all((one.picture == other).all() for one, other in zip(made, drawn, strict=True))
    assert made[0].prompt.startswith("other_settings, guidance 7.5, 30 steps: ")
    assert attack.effort == 2 * 30 / 2
