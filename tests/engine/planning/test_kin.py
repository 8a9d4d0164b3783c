"""A kept concept whose name holds an erased one's, or is held by one, is kept in its own wordings."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from expunge.engine.editors import editor_named, settings_for
from expunge.engine.emoji import MODEL
from expunge.engine.errors import ConceptError
from expunge.engine.families import projections
from expunge.engine.models.load import open_model
from expunge.engine.planning.adaptive_strength import Metrics, remaining_energy
from expunge.engine.planning.closed_form import plan
from expunge.engine.planning.concept_embeddings import Reader, gather
from expunge.engine.spec import EditSpec, Retain, Target
from expunge.engine.text.encoded import partners
from expunge.engine.text.encoding import encode
from expunge.engine.text.templates import fill, kinship_of

ASKED = ("{}", "a photo of a {}", "an icon of the {}", "a big {}")


@pytest.fixture(scope="module")
def model():
    return open_model(MODEL)


def spec(erased: str, kept: tuple[str, ...] = (), **settings) -> EditSpec:
    retain = tuple(Retain(name.replace(" ", "-"), (name,)) for name in kept)
    return EditSpec((Target("erased", (erased,)),), retain, settings={"general_words": 50, **settings})


def planned(model, *asked, **settings) -> dict[str, torch.Tensor]:
    return {name: delta.double() for name, delta in plan(model, spec(*asked, **settings)).deltas.items()}


def gone(model, deltas: dict[str, torch.Tensor], erased: str) -> float:
    """The share of the erased concept's energy over its anchors that is no longer there."""
    weights = {p.name: p.weight.detach().double() for p in projections(model)}
    reader = Reader.of(model, settings_for(editor_named("scapre"), {}), 0)
    return 1 - remaining_energy([reader], spec(erased), Metrics.of(weights, deltas)).item()


def lost(model, deltas: dict[str, torch.Tensor], name: str) -> float:
    """The energy by which a concept's tokens moved, of that by which they differ from the same words without it."""
    texts = encode(model, [fill(line, name) for line in ASKED])
    without = encode(model, [fill(line, "", article_for=name) for line in ASKED])
    met = without.embeddings.take_along_dim(partners(texts, without)[..., None], 1)
    x, apart = texts.embeddings.double(), (texts.embeddings - met).double()
    weights = {p.name: p.weight.detach().double() for p in projections(model)}
    moved = sum((x @ deltas[n].T).square().sum() for n in deltas)
    return float(moved / sum((apart @ weights[n].T).square().sum() for n in deltas))


@pytest.mark.parametrize(("erased", "kept"), [("car", "police car"), ("police car", "car")])
def test_kin_are_kept_while_the_target_goes(model, erased: str, kept: str):
    """Parent or child: not named it is lost with the target, named as any look-alike it is held less."""
    held = planned(model, erased, (kept,))
    plain = planned(model, erased, (kept,), kin=1.0)
    unnamed = planned(model, erased, ())
    assert lost(model, held, kept) < 0.5 * lost(model, plain, kept)
    assert lost(model, held, kept) < 0.05 * lost(model, unnamed, kept)
    assert gone(model, held, erased) > 0.75 * gone(model, unnamed, erased) > 0.6


def test_only_kin_weigh_more(model):
    """And for editors as published nobody does."""
    for editor, kept, more in (("scapre", "bus", 1), ("scapre", "police car", 10), ("uce", "police car", 1)):
        asked = EditSpec((Target("erased", ("car",)),), (Retain("kept", (kept,)),))
        settings = settings_for(editor_named(editor), {"general_words": 0})
        weighed, alone = gather(model, asked, settings), gather(model, asked, replace(settings, kin=1.0))
        assert torch.allclose(weighed.retain.gram, more * alone.retain.gram)


@pytest.mark.parametrize(("erased", "kept"), [("car", "taxi"), ("taxi", "car")])
def test_kin_that_no_word_tells_are_kept_where_they_are_named(model, erased: str, kept: str):
    """Which way round the one is a kind of the other makes no difference to how it is said."""
    asked = spec(erased, (kept,))
    named = replace(asked, retain=(replace(asked.retain[0], kin=(erased,)),))
    plain, held = ({name: delta.double() for name, delta in plan(model, one).deltas.items()} for one in (asked, named))
    assert lost(model, held, kept) < 0.5 * lost(model, plain, kept)
    assert gone(model, held, erased) > 0.5
    assert named.digest != asked.digest
    with pytest.raises(ConceptError, match="kin 'bus' is no target"):
        replace(asked, retain=(replace(asked.retain[0], kin=("bus",)),))


def test_who_is_kin():
    is_kin = kinship_of(["Car", "hot dog"])
    assert all(is_kin([name]) for name in ("police car", "car-park", "dog", "a big hot dog"))
    assert not any(is_kin([name]) for name in ("carpet", "dog hot", "scar"))
    assert is_kin(["taxi", "race car"])
