"""`strength: auto` leaves as much of every target, and moves what is kept less than one strength for all would."""

from __future__ import annotations

import pytest
import torch

from expunge.engine.editors import editor_named, settings_for
from expunge.engine.editors.scapre import STRENGTH
from expunge.engine.emoji import MODEL
from expunge.engine.emoji.catalogue import twins
from expunge.engine.errors import SettingError
from expunge.engine.families import projections
from expunge.engine.models.load import open_model
from expunge.engine.planning.adaptive_strength import FURTHEST, Metrics, adapted_targets, balanced, remaining_energy
from expunge.engine.planning.closed_form import plan
from expunge.engine.planning.concept_embeddings import Reader, gather
from expunge.engine.spec import EditSpec, Retain, Target
from tests.engine import tiny
from tests.engine.draws import draw

ERASED = ("red apple", "guitar", "christmas tree")
KEPT = sorted({twin for name in ERASED for twin in twins(name)} - set(ERASED))


def spec(**settings) -> EditSpec:
    targets = tuple(Target(name.replace(" ", "-"), (name,)) for name in ERASED)
    kept = tuple(Retain(name.replace(" ", "-"), (name,)) for name in KEPT)
    return EditSpec(targets, kept, settings={"general_words": 50, **settings})


def test_energies_are_those_of_their_definition():
    weights, changes = (
        {"a": draw(5, 4, seed=1), "b": draw(3, 4, seed=2)},
        {"a": draw(5, 4, seed=3), "b": draw(3, 4, seed=4)},
    )
    x, y = draw(6, 4, seed=5), draw(6, 4, seed=6)
    left, before = torch.zeros(2, 6, dtype=torch.float64)
    for name, weight in weights.items():
        left += (x @ (weight + changes[name]).T - y @ weight.T).square().sum(1)
        before += ((x - y) @ weight.T).square().sum(1)
    found = Metrics.of(weights, changes).energies(x, y)
    assert torch.allclose(found, torch.stack([left, before], 1))


def test_strengths_rise_with_what_is_left_and_keep_their_mean():
    strengths = balanced(torch.tensor([0.1, 0.2, 0.1, 0.05], dtype=torch.float64))
    assert strengths[1] > strengths[0] == strengths[2] > strengths[3]
    assert strengths.log().mean().item() == pytest.approx(0, abs=1e-12)
    assert torch.allclose(balanced(torch.full((3,), 0.3, dtype=torch.float64)), torch.ones(3, dtype=torch.float64))
    wild = balanced(torch.tensor([0.0, 1.0, 1.0], dtype=torch.float64))
    assert wild.max() / wild.min() <= FURTHEST**2
    assert wild.log().mean().item() == pytest.approx(0, abs=1e-12)


def test_equal_strengths_give_the_targets_they_were():
    pipeline = tiny.pipeline()
    asked = EditSpec((Target("cat", ("cat",)),), settings={"general_words": 5})
    settings = settings_for(editor_named("scapre"), asked.settings)
    weights = {p.name: p.weight.detach().double() for p in projections(pipeline)}
    changes = {name: 0.1 * weight for name, weight in weights.items()}
    found = adapted_targets(pipeline, asked, settings, (0,), weights, changes)
    assert torch.allclose(found.gram, gather(pipeline, asked, settings).targets.gram)


@torch.no_grad()
def measured(model, **settings) -> tuple[list[float], float]:
    """What a plan leaves of each target, and the mean drift of what is kept."""
    made = plan(model, spec(**settings))
    weights = {p.name: p.weight.detach().double() for p in projections(model)}
    metrics = Metrics.of(weights, {name: delta.double() for name, delta in made.deltas.items()})
    chosen = settings_for(editor_named("scapre"), spec().settings)
    left = remaining_energy([Reader.of(model, chosen, 0)], spec(), metrics)
    drift = sum(row["drift"] for row in made.diagnostics.values()) / len(made.diagnostics)
    return left.tolist(), drift


def test_the_hardest_target_is_erased_further_for_less_than_more_strength_for_all():
    model = open_model(MODEL)
    plain, plain_drift = measured(model)
    auto, auto_drift = measured(model, strength="auto")
    more, more_drift = measured(model, strength=2.5 * STRENGTH)
    assert max(auto) < max(more) < max(plain)
    assert plain_drift < auto_drift < more_drift
    assert max(auto) / min(auto) < 0.7 * max(plain) / min(plain)


def test_other_words_are_no_strength():
    with pytest.raises(SettingError, match=r"scapre\.strength is 'much'; use a value of type float or auto"):
        settings_for(editor_named("scapre"), {"strength": "much"})
    assert settings_for(editor_named("scapre"), {"strength": "auto"}).adaptive
    assert not settings_for(editor_named("scapre"), {}).adaptive
