"""Whatever works on a model works where the model lies, and brings what it needs there; no accelerator is needed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from expunge.engine import linalg
from expunge.engine.editors import EDITORS, editor_named, settings_for
from expunge.engine.editors.training import TRAINERS, train
from expunge.engine.families import projections
from expunge.engine.models.sampling import Sampler, Shot, generate
from expunge.engine.planning.closed_form import plan
from expunge.engine.planning.concept_embeddings import gather
from expunge.engine.probes.attacks import Attack, Kept
from expunge.engine.spec import EditSpec, Retain, Target
from tests.engine.editors.training.trainees import HARDENED
from tests.engine.elsewhere import PLACE, Mixed, nowhere_mixed
from tests.engine.probes.attacks.tiny_attacks import CAT, FAMILIES, SMALL

SPEC = EditSpec((Target("cat", ("cat", "kitty")),), (Retain("dog", ("dog",)), Retain("blob", ("blob",), "style")))
SHORT = {
    "esd": {"iterations": 2, "steps": 2},
    "salun": {"pictures": 2, "steps": 2, "epochs": 1, "batch": 2},
    "stereo": {"searches": 1, "iterations": 1, "steps": 3, "pictures": 2, "inversion_steps": 1},
    "advunlearn": {"iterations": 2, "warmup": 1, "attack_steps": 1, "paths": 2, "steps": 2, "rate": 1e-3},
    "hardened": {**HARDENED.settings, "rounds": 1, "iterations": 1, "fresh": 1, "precision": "float32"},
}
PARTS = {"informax": 1.0, "spectral": 1.0, "geometry": 0.5, "default_anchor": "empty"}
SOLVED = [
    *((editor, {}) for editor in EDITORS),
    ("scapre", PARTS),
    ("scapre", {"strength": "auto", "default_anchor": "empty"}),
    ("scapre-released", {"script": "erase", "residual": True}),
]
PICTURES = np.zeros((2, 16, 16, 3), np.uint8)


@pytest.fixture(scope="module")
def model() -> Any:
    return FAMILIES["sd"]().to(PLACE)


@pytest.mark.parametrize(
    "mixing",
    [
        lambda here, there: here + there,
        lambda here, there: torch.cat([here, there]),
        lambda here, there: here[there.long()],
        lambda here, there: torch.where(there > 0, here, here),
    ],
)
def test_the_stand_in_refuses_what_a_gpu_would(mixing: Callable[..., Any]) -> None:
    with nowhere_mixed(), pytest.raises(Mixed):
        mixing(torch.ones(3), torch.ones(3, device=PLACE))


def test_the_stand_in_allows_what_a_gpu_would() -> None:
    here, there = torch.ones(3), torch.ones(3, device=PLACE)
    with nowhere_mixed():
        assert (here.to(PLACE) + there + torch.tensor(2.0)).device.type == PLACE
        assert there[here.long()].device.type == PLACE
        assert (here + there.cpu()).device.type == "cpu"


@pytest.mark.parametrize("family", [name for name in FAMILIES if name != "aura-flow"])  # it makes a tensor of one there
def test_pictures_are_drawn_there_and_fetched(family: str) -> None:
    pipeline = FAMILIES[family]().to(PLACE)
    with nowhere_mixed():
        drawn = [picture for _, picture in generate(pipeline, [Shot("a cat", 1), Shot("a dog", 2)], Sampler(steps=2))]
    assert [picture.dtype for picture in drawn] == [np.uint8] * 2


@pytest.mark.parametrize("attack", SMALL, ids=lambda attack: attack.name)
def test_attacks_run_there(attack: Attack, model: Any) -> None:
    kept = [Kept("a dog", PICTURES[0]), Kept("a tree", PICTURES[1])]
    with nowhere_mixed():
        assert len(attack.attempts(model, CAT, PICTURES, kept, 0)) == attack.cost


@pytest.mark.parametrize("editor", EDITORS)
def test_concepts_are_gathered_there(editor: str, model: Any) -> None:
    with nowhere_mixed():
        concepts = gather(model, SPEC, settings_for(editor_named(editor), {}))
    assert {m.gram.device.type for m in (concepts.targets, concepts.retain, concepts.general)} == {PLACE}


@pytest.mark.parametrize(("editor", "settings"), SOLVED)
def test_editors_solve_there(
    editor: str, settings: dict[str, Any], model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(linalg, "_check_condition", lambda *_: None)  # of made-up numbers it is none
    spec = EditSpec(SPEC.targets, SPEC.retain, editor, settings)
    with nowhere_mixed():
        made = plan(model, spec)
    assert made.deltas.keys() <= {p.name for p in projections(model)}


@pytest.mark.parametrize("editor", TRAINERS)
def test_editors_that_train_do_so_there(editor: str, model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linalg, "_check_condition", lambda *_: None)  # as above
    with nowhere_mixed():
        made = train(model, EditSpec(SPEC.targets, SPEC.retain, editor, SHORT[editor]), closed_form=plan)
    assert made.editor == editor
