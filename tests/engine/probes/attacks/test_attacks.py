"""Attacks: they leave the model bit for bit, pair up by prompt and seed, and their budgets are told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
import torch

from expunge.engine.errors import ConceptError, SettingError, UnknownArchitecture
from expunge.engine.judges import Sighting
from expunge.engine.models.denoising import noised
from expunge.engine.models.sampling import Sampler
from expunge.engine.planning.closed_form import plan
from expunge.engine.plans.edit_plan import applied
from expunge.engine.probes.attacks import (
    ATTACKS,
    Attack,
    Kept,
    StartPicture,
    attack_rows,
    reference_pictures,
    run_attacks,
    success_rate,
)
from expunge.engine.spec import EditSpec, Target
from expunge.engine.stats.evidence import table as evidence
from tests.engine import tiny
from tests.engine.digests import at_rest
from tests.engine.families import tiny_families
from tests.engine.probes.attacks.tiny_attacks import CAT, SAMPLER, SMALL, BrightJudge, pictures

BY_DRAWING = {"concept_vector", "other_settings"}
"""What needs to know nothing of how a denoiser predicts."""


@pytest.mark.parametrize("attack", SMALL, ids=lambda attack: attack.name)
def test_an_attack_leaves_no_trace_repeats_itself_and_pairs_up(
    pipeline: Any, attack: Attack, references: np.ndarray, kept: list[Kept]
) -> None:
    """The fixture compares every weight; the edited arm asks the same (prompt, seed) pairs."""
    before = attack.attempts(pipeline, CAT, references, kept, 5)
    again = attack.attempts(pipeline, CAT, references, kept, 5)
    assert len(before) == attack.cost
    assert all((one.picture == other.picture).all() for one, other in zip(before, again, strict=True))
    assert [one.found for one in before] == [other.found for other in again]
    with applied(pipeline, plan(pipeline, EditSpec((Target("cat", ("cat",)),), editor="uce"))):
        after = attack.attempts(pipeline, CAT, references, kept, 5)
    pairs = [(attempt.prompt, attempt.seed) for attempt in before]
    assert len(set(pairs)) == len(pairs)
    assert [(attempt.prompt, attempt.seed) for attempt in after] == pairs
    assert any((one.picture != other.picture).any() for one, other in zip(before, after, strict=True))


def test_all_attacks_make_one_fit_table(pipeline: Any, references: np.ndarray, kept: list[Kept]) -> None:
    attempts = run_attacks(pipeline, SMALL, CAT, references, kept, 5)
    rows = [row for arm in evidence.ARMS for row in attack_rows(BrightJudge(), attempts, arm)]
    frame = evidence.table(rows)
    assert set(frame["probe"]) == set(ATTACKS) == {attack.name for attack in SMALL}
    assert set(frame["role"]) == {"target"}
    assert evidence.check(frame, 2 * sum(attack.cost for attack in SMALL)) == []
    assert sum(frame["seen"]) == 2 * sum(attempt.picture.mean() > 127 for attempt in attempts)


def test_a_black_picture_is_a_fault_of_the_row(pipeline: Any, references: np.ndarray) -> None:
    attempt = SMALL[3].attempts(pipeline, CAT, references, [], 5)[0]
    black = type(attempt)(CAT, attempt.attack, "black", 0, np.zeros_like(attempt.picture))
    faults = [row.fault for row in attack_rows(BrightJudge(), [attempt, black], "after")]
    assert faults == ["", "black picture"]


def test_a_family_with_two_encoders_is_attacked_and_left_as_it_was() -> None:
    pipeline = tiny_families.sdxl()
    before = at_rest(pipeline)
    references = np.stack(pictures(pipeline, ["a cat", "a cat"]))
    attempts = run_attacks(pipeline, SMALL, CAT, references, [Kept("a dog", references[0])], 5)
    assert len(attempts) == sum(attack.cost for attack in SMALL)
    assert at_rest(pipeline) == before


def test_an_unknown_prediction_and_family_are_refused(references: np.ndarray) -> None:
    pipeline = tiny.pipeline()
    pipeline.scheduler.register_to_config(prediction_type="score")
    with pytest.raises(UnknownArchitecture, match="v_prediction"):
        noised(pipeline, torch.zeros(1, 4, 8, 8), torch.Generator().manual_seed(0))
    wan = tiny_families.wan()
    for attack in (SMALL[0], SMALL[1], SMALL[4]):
        with pytest.raises(UnknownArchitecture, match="concept_vector"):
            attack.attempts(wan, CAT, references, [Kept("a dog", references[0])], 0)
    with pytest.raises(UnknownArchitecture, match="start_picture"):
        SMALL[3].attempts(wan, CAT, references, [], 0)


def test_what_cannot_be_attacked_is_known_beforehand() -> None:
    """By family, and by what the scheduler predicts."""
    odd = tiny.pipeline()
    odd.scheduler.register_to_config(prediction_type="score")

    def refused(pipeline: Any) -> set[str]:
        found = set()
        for attack in SMALL:
            try:
                attack.check(pipeline)
            except UnknownArchitecture:
                found.add(attack.name)
        return found

    assert refused(tiny.pipeline()) == set()
    assert refused(tiny_families.unet3d()) == {"start_picture"}
    assert refused(tiny_families.wan()) == set(ATTACKS) - BY_DRAWING
    for build in (tiny_families.flux2_klein, tiny_families.cogvideox):
        assert refused(build()) == set(ATTACKS) - BY_DRAWING
    for build in (tiny_families.cogview3, tiny_families.aura_flow):
        assert refused(build()) == {"start_picture"}
    for build in (tiny_families.z_image, tiny_families.qwen_image):
        assert refused(build()) == set(ATTACKS) - BY_DRAWING - {"start_picture"}
    assert refused(odd) == {"inversion", "prompt_search", "word_sweep", "relearn"}


def test_what_cannot_be_attacked_soundly_is_refused(pipeline: Any, references: np.ndarray) -> None:
    relearn = SMALL[4]
    for lessons in ([], [Kept("a black Kitty", references[0]), Kept("cats", references[0])]):
        with pytest.raises(ConceptError, match="none is without the target's name"):
            relearn.attempts(pipeline, CAT, references, lessons, 0)
    with pytest.raises(ConceptError, match="reference pictures"):
        run_attacks(pipeline, SMALL, CAT, references[:0], [], 0)
    with pytest.raises(SettingError, match=r"strength 0\.01"):
        StartPicture(strengths=(0.01,))


def test_references_are_what_the_judge_sees(pipeline: Any) -> None:
    class Never(BrightJudge):
        def look(self, pictures: np.ndarray, concepts: Sequence[str], category: str) -> list[Sighting]:
            return [Sighting(False, 0.0)] * len(pictures)

    class Always(BrightJudge):
        def look(self, pictures: np.ndarray, concepts: Sequence[str], category: str) -> list[Sighting]:
            return [Sighting(True, 1.0)] * len(pictures)

    assert len(reference_pictures(pipeline, Always(), CAT, 2, SAMPLER)) == 2
    with pytest.raises(ConceptError, match="0 of 8 pictures"):
        reference_pictures(pipeline, Never(), CAT, 2, SAMPLER)


@pytest.mark.parametrize("name", ATTACKS)
def test_a_digest_is_the_whole_budget(name: str) -> None:
    attack: Any = ATTACKS[name]()
    for setting in fields(attack):
        other = replace(attack, **{setting.name: another(getattr(attack, setting.name))})
        assert other.digest != attack.digest, setting.name
    assert attack.drawn_by(replace(attack.sampler, batch=1)).digest == attack.digest, "it draws the same"
    assert len({attack().digest for attack in ATTACKS.values()}) == len(ATTACKS)


def another(setting: Any) -> Any:
    if isinstance(setting, bool):
        return not setting
    return replace(setting, steps=setting.steps + 1) if isinstance(setting, Sampler) else 2 * setting


def test_success_counts_what_came_without_the_attack() -> None:
    assert success_rate([True, False, False, True], [False, False, True, True]) == 0.75
    assert success_rate([False], [False]) == 0.0
    for attacked, plain in (([], []), ([True], [])):
        with pytest.raises(ValueError, match="pair up"):
            success_rate(attacked, plain)
