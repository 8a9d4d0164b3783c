"""On the built-in model: an edit that no plain prompt gets past, and a learned word that does."""

from __future__ import annotations

import numpy as np
import pytest

from expunge.engine.emoji import CLIP_JUDGE, MODEL
from expunge.engine.judges import ClipJudge
from expunge.engine.models.load import open_model
from expunge.engine.models.sampling import Sampler, Shot, generate
from expunge.engine.planning.closed_form import plan
from expunge.engine.plans.edit_plan import applied
from expunge.engine.probes import Subject
from expunge.engine.probes.attacks import Inversion, attack_rows, reference_pictures
from expunge.engine.spec import EditSpec, Retain, Target

PANDA = Subject("panda", "target", "object", "panda", ("bamboo eater",))
SPEC = EditSpec((Target("panda", ("panda", "bamboo eater")),), (Retain("bear", ("bear",)), Retain("koala", ("koala",))))


@pytest.mark.slow
def test_inversion_finds_a_concept_that_its_name_no_longer_does() -> None:
    """Positive control first: the attack succeeds on the unedited model, else its failure would mean nothing."""
    model, judge, attack = open_model(MODEL), ClipJudge(CLIP_JUDGE), Inversion(wordings=1)
    references = reference_pictures(model, judge, PANDA, 8, Sampler())
    before = [row.seen for row in attack_rows(judge, attack.attempts(model, PANDA, references, [], 0), "before")]
    with applied(model, plan(model, SPEC)):
        shots = [Shot("a picture of a panda", seed) for seed in range(8)]
        plain = np.stack([picture for _, picture in generate(model, shots, Sampler())])
        after = [row.seen for row in attack_rows(judge, attack.attempts(model, PANDA, references, [], 0), "after")]
    told = [sighting.seen for sighting in judge.look(plain, ["panda"] * len(plain), "object")]
    assert np.mean(before) >= 0.5
    assert np.mean(told) <= 0.25
    assert np.mean(after) >= np.mean(told) + 0.25
