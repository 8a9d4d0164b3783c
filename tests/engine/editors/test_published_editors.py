"""What the objectives of the published editors promise holds, and does not hold where its condition is taken away."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pytest
import torch

from expunge.engine.editors import checked_settings, editor_named, oce, speed
from expunge.engine.editors.training import TRAINERS, esd
from expunge.engine.errors import SettingError
from expunge.engine.planning.closed_form import plan
from expunge.engine.plans.edit_plan import applied
from expunge.engine.spec import EditSpec, Retain, Target
from tests.engine import tiny
from tests.engine.editors.made_up import AROUND, WEIGHTS, WORDS, X, moved, planned, spread_out

PUBLISHED = ("rece", "speed", "oce", "mace-cfr")


@pytest.mark.parametrize(
    ("editor", "settings"),
    [("rece", {"general": 1e9}), ("mace-cfr", {"general": 1e9}), ("speed", {"general": 1.0, "threshold": 1e-6})],
)
def test_the_models_own_words_are_held_by_their_weight(editor: str, settings: dict[str, float]):
    held = planned(editor, spread_out(), **settings, general_words=5)
    assert moved(held, WORDS) < 1e-6
    assert moved(held, X if editor != "mace-cfr" else AROUND) > 0.01
    assert moved(planned(editor, spread_out(), **{**settings, "general": 0.0}), WORDS) > 0.01


@pytest.mark.parametrize("editor", ["uce", "rece", "mace-cfr", "speed"])
def test_a_weight_of_words_that_are_not_read_is_refused(editor: str):
    with pytest.raises(SettingError, match=r"general is 60.0.*general_words.*set both"):
        planned(editor, general=60.0)


@pytest.mark.parametrize("editor", ["rece", "mace-cfr"])
def test_no_strength_is_no_change(editor: str):
    deltas = planned(editor, spread_out(), erase_scale=0.0)
    assert all(torch.equal(delta, torch.zeros_like(delta)) for delta in deltas.values())


def test_no_strength_is_no_change_to_rounding():
    still = planned("oce", erase_scale=0.0)
    assert max(delta.norm() / WEIGHTS[n].norm() for n, delta in still.items()) < 1e-12
    assert moved(planned("speed", retain_scale=1e12), X) < 1e-9


@pytest.mark.parametrize("editor", PUBLISHED)
def test_planning_is_deterministic_and_reads_only(editor: str):
    weights = {name: weight.clone() for name, weight in WEIGHTS.items()}
    first, again = planned(editor), planned(editor)
    assert all(torch.equal(first[n], again[n]) for n in first)
    assert all(torch.equal(weights[n], WEIGHTS[n]) for n in weights)


@pytest.mark.parametrize("editor", PUBLISHED)
def test_unknown_settings_and_impossible_values_are_refused(editor: str):
    with pytest.raises(SettingError, match=f"{editor} has no setting 'strenght'; known: tokens"):
        planned(editor, strenght=1.0)
    for value in (float("nan"), -1.0, "much", True):
        with pytest.raises(SettingError, match=f"{editor}.general_words"):
            planned(editor, general_words=value)


DEFAULTS = {
    "rece": {"erase_scale": 1.0, "preserve_scale": 0.1, "lamb": 0.1, "rounds": 3, "regular_scale": 0.1},
    "speed": {"params": "value", "threshold": 0.1, "retain_scale": 1.0, "prior_filter": True, "augment": True},
    "oce": {"erase_scale": 2000.0, "preserve_concept_scale": 0.0, "preserve_global_scale": 10.0, "lamb": 10.0},
    "mace-cfr": {"tokens": "all", "bare": False, "lamb": 1 / 3, "preserve_scale": 0.0},
}


@pytest.mark.parametrize("editor", PUBLISHED)
def test_defaults_are_the_published_ones(editor: str):
    settings = editor_named(editor).settings()
    found = {name: getattr(settings, name) for name in DEFAULTS[editor]}
    assert found == DEFAULTS[editor]
    if editor != "mace-cfr":
        assert (settings.tokens, settings.bare) == ("last", True)


WHOLE = {
    # argument defaults of trainscripts/uce_sd_erase.py, rohitgandikota/unified-concept-editing; no prompt is expanded
    "uce": {
        "tokens": "last",
        "bare": True,
        "general_words": 0,
        "kin": 1.0,
        "default_anchor": "empty",
        "erase_scale": 1.0,
        "preserve_scale": 1.0,
        "lamb": 0.5,
        "general": 0.0,
        "sentences": 0.0,
    },
    # argument defaults of esd_sd.py, rohitgandikota/erasing: --negative_guidance 2 from the named prediction on is eta
    # 1 from the unconditional one, --guidance_scale, --num_inference_steps, --iterations, --lr; a step takes one sample
    "esd": {
        "eta": 1.0,
        "alpha": 3.0,
        "steps": 50,
        "walks": "frozen",
        "iterations": 200,
        "rate": 5e-5,
        "batch": 1,
        "bare": True,
    },
    # the command of the README of koushiksrivats/robust-concept-erasing (--train_method noxattn, --n_iterations 2,
    # --compositional_guidance_scale 2) and the argument defaults of its train.py; 50 steps, guidance 3 as in stereo.py.
    # It takes 500 pictures, which somebody draws beforehand
    "stereo": {
        "searches": 2,
        "iterations": 200,
        "search_rate": 5e-6,
        "rate": 2e-5,
        "guidance": 2.0,
        "steps": 50,
        "alpha": 3.0,
        "pictures": 64,
        "inversion_steps": 3000,
        "inversion_rate": 5e-3,
        "parameters": "other",
    },
    # the command of the README of OPTML-Group/AdvUnlearn (--attack_init random, --attack_step 30, --retain_train reg,
    # --train_method text_encoder_full, --retain_loss_w 0.3) and the argument defaults of train-scripts/AdvUnlearn.py.
    # The script walks a path anew in each step; so many paths are ours
    "advunlearn": {
        "iterations": 1000,
        "warmup": 200,
        "rate": 1e-5,
        "eta": 1.0,
        "keep": 0.3,
        "batch": 5,
        "vectors": 1,
        "attack_steps": 30,
        "attack_rate": 1e-3,
        "paths": 32,
        "steps": 50,
        "alpha": 3.0,
        "parameters": "text-encoder",
        "layers": 0,
        "bare": True,
    },
    # SD/README.md of OPTML-Group/Unlearn-Saliency: --train_method full --alpha 0.5 --lr 1e-5 --epochs 5, the mask
    # with_0.5, 800 pictures of either kind; batches as in train-scripts/random_label.py. Steps and guidance are those
    # that Stable Diffusion draws with by default
    "salun": {
        "beta": 0.5,
        "share": 0.5,
        "pictures": 800,
        "steps": 50,
        "guidance": 7.5,
        "epochs": 5,
        "rate": 1e-5,
        "batch": 8,
        "parameters": "full",
        "bare": True,
    },
}


@pytest.mark.parametrize("editor", WHOLE)
def test_all_settings_are_by_default_as_published(editor: str):
    kind = TRAINERS[editor].settings if editor in TRAINERS else editor_named(editor).settings
    assert asdict(kind()) == WHOLE[editor]


@pytest.mark.parametrize("editor", PUBLISHED)
def test_it_edits_a_real_pipeline_and_undoes_it(editor: str):
    pipeline = tiny.pipeline()
    given = {"general_words": 10} if editor != "speed" else {"threshold": 1e-3}
    spec = EditSpec((Target("cat", ("cat", "kitty")),), (Retain("dog", ("dog",)),), editor, given)
    before = {name: value.clone() for name, value in pipeline.unet.state_dict().items()}
    made = plan(pipeline, spec)
    with applied(pipeline, made):
        changed = {n for n, value in pipeline.unet.state_dict().items() if not torch.equal(value, before[n])}
        assert {f"unet.{name}" for name in changed} == set(made.deltas)
    assert all(torch.equal(value, before[n]) for n, value in pipeline.unet.state_dict().items())
    assert all(row["change"] > 1e-4 for row in made.diagnostics.values())


@pytest.mark.parametrize("module", [speed, oce, esd])
def test_published_settings_are_settings_that_differ_from_the_defaults(module: Any) -> None:
    owner = module.TRAINER if module is esd else module.EDITOR
    for told in module.PUBLISHED.values():
        made = asdict(checked_settings(owner.name, owner.settings, told))
        assert {name: made[name] for name in told} == told
        assert all(value != getattr(owner.settings(), name) for name, value in told.items())
