"""The benchmark's model has the sizes it says, its transcription is the editor it is timed against, parts add up."""

from __future__ import annotations

import time

import pytest
import torch

from benchmarks import speed
from benchmarks.timing import floor, grid, layers, masks, scapre_parts
from benchmarks.timing import plans as timing
from benchmarks.timing.fullsize import MOST_NAMES, Size, pipeline, spec
from benchmarks.timing.transcription import transcribed
from expunge.engine.editors.scapre import ScapreSettings
from expunge.engine.editors.scapre_released import ReleasedSettings
from expunge.engine.families import projections
from expunge.engine.planning.closed_form import plan
from expunge.engine.text.vocabulary import general_words

SMALL = Size(width=32, layers=2, heads=2, channels=(16, 32, 32, 32), tokens=24, vocabulary=1544)


@pytest.fixture(scope="module")
def model():
    return pipeline(SMALL)


def test_the_full_size_is_that_of_stable_diffusion():
    found = projections(pipeline(Size(layers=1, vocabulary=1544)))
    assert len(found) == 32
    assert sum(len(p.weight) for p in found) == 24_960
    assert {p.weight.shape[1] for p in found} == {768}
    assert all(p.weight.device.type == "cpu" for p in found)


def test_it_is_seeded_and_names_are_the_same_first_ones(model):
    first, again, other = (projections(pipeline(SMALL, seed=seed)) for seed in (0, 0, 1))
    assert all(torch.equal(one.weight, two.weight) for one, two in zip(first, again, strict=True))
    assert not torch.equal(first[0].weight, other[0].weight)
    few, many = spec(3, "uce", {}), spec(9, "uce", {})
    assert many.targets[:3] == few.targets
    assert len({target.names for target in many.targets}) == 9


def test_the_transcription_is_the_editor(model):
    """On every row; with another seed of the noise it is not."""
    given = ReleasedSettings(precision="float64")
    told = spec(4, "scapre-released", {"precision": "float64"})
    names = [target.names[0] for target in told.targets]
    made = plan(model, told)
    for p in projections(model)[:4]:
        weight = p.weight.detach().double()
        edited = transcribed(model, names, weight, given).rows - weight
        error = (edited - made.deltas[p.name].double()).norm() / edited.norm()
        assert error < 1e-5
        assert edited.norm() > 0.01 * weight.norm()
    other = transcribed(model, names, weight, ReleasedSettings(precision="float64", seed=1)).rows - weight
    assert (other - made.deltas[p.name].double()).norm() > 1e-4 * other.norm()


def test_layers_have_the_sizes_of_the_real_models():
    found = {one.model: (len(one.shapes), one.rows, one.width, one.tokens) for one in layers.models()}
    assert found["SD 1.5"] == (32, 24_960, 768, 77)
    assert found["SDXL"] == (140, 166_400, 2048, 77)
    assert found["FLUX.1"] == (1, 3072, 4096, 512)


def test_every_editor_that_needs_no_single_tokens_is_timed_on_layers(monkeypatch):
    small = layers.Layers("small", {"a.attn2.to_k": (6, 8), "a.attn2.to_v": (6, 8), "embedder": (4, 8)}, 5)
    monkeypatch.setattr(layers, "models", lambda: [small])
    told = layers.report(speed.CLOSED_FORM, 3, "cpu").splitlines()
    header = "| layers of | matrices | rows x width | tokens |"
    assert told[2] == header + " scapre, s | uce, s | rece, s | speed, s | oce, s | mace-cfr, s |"
    assert told[4].startswith("| small | 3 | 16 x 8 | 5 | 0.")


def test_the_parts_of_a_plan_add_up_and_encoding_is_told_apart(model):
    start = time.perf_counter()
    parts = timing.timed(model, "scapre", 6, "cpu")
    whole = time.perf_counter() - start
    assert min(parts.encoding, parts.moments, parts.editor) > 0
    assert parts.closed_form + parts.encoding <= whole
    original = timing.gathering.encode
    with pytest.raises(ZeroDivisionError), timing.encodings():
        _ = 1 / 0
    assert timing.gathering.encode is original


def test_the_floor_is_part_of_what_the_editor_does():
    rows = [16, 32]
    scapre = list(floor.products("scapre", rows, 8, concepts=5, tokens=100))
    assert sum(p.operations for p in scapre) == 2 * (8 * (100 + 2 * 20) * 8 + 8 * 8 * sum(rows))
    released = list(floor.products("scapre-released", rows, 8, concepts=5, tokens=100))
    assert sum(p.operations for p in released) > sum(p.operations for p in scapre)
    assert floor.seconds(scapre, repeats=1) > 0
    with pytest.raises(KeyError):
        list(floor.products("uce", rows, 8, 5, 100))


def test_each_of_scapres_own_parts_needs_products_of_its_own():
    rows, d, concepts = [16, 32], 8, 5
    base = sum(p.operations for p in floor.products("scapre", rows, d, concepts, 100))
    needed = {
        name: sum(p.operations for p in floor.scapre(rows, d, concepts, 100, ScapreSettings(**part))) - base
        for name, part in scapre_parts.PARTS.items()
    }
    square, tall = 2 * d * d * d, 2 * d * d * sum(rows)
    assert needed["spectral part"] == 2 * d * d * concepts
    assert needed["Informax mask"] == 2 * 2 * d * concepts * sum(rows) + tall
    assert needed["geometry alignment"] == 3 * (4 * tall + square * len(rows))
    alone = needed["spectral part"] + needed["Informax mask"] + needed["geometry alignment"]
    assert needed["these three"] == alone - tall  # the way back from the basis is the same one


def test_the_parts_print_what_they_measured(model):
    table = speed.headline(SMALL, 3, "cpu", 1, 4)
    assert "| scapre-released |" in table
    assert "rows of 4 matrices took" in table
    assert "ratio" in speed.encoding(SMALL, 6, "cpu")
    assert "| scapre-released |" in speed.bare(SMALL, [1, 2], "cpu")
    own = scapre_parts.report(SMALL, 3, "cpu", 1)
    assert all(f"| {name} | 0." in own for name in ["none, the default", *scapre_parts.PARTS])
    told = speed.default(SMALL, 3, "cpu", 4)
    first, later = (int(told.split(f"{mark} ")[1].split()[0]) for mark in ("defaults:", "encodes"))
    assert (f"3 concepts by `scapre` with its defaults: {first} prompts" in told, 0 < later < first / 2) == (True, True)


def test_the_sums_that_are_timed_are_the_same(model, monkeypatch: pytest.MonkeyPatch):
    count, alike, ours, plain, _, apart = masks.report(SMALL, 3, "cpu", 1).splitlines()[-1].strip("| ").split(" | ")
    assert (count, 0 < float(alike) <= 100) == ("3", True)
    assert min(float(ours), float(plain)) >= 0
    assert float(apart) < 1e-6
    monkeypatch.setattr(masks, "add_all", lambda values, *case: masks.add_masked(values.fill_(1), *case))
    assert float(masks.report(SMALL, 3, "cpu", 1).split(" | ")[-1].strip(" |")) > 1e-3


def test_at_most_names_there_are_words_that_no_target_has(model):
    names = " ".join(target.names[0] for target in spec(MOST_NAMES, "scapre", {}).targets)
    assert len(general_words(model.tokenizer, [names], 16, 0)) == 16


@pytest.mark.parametrize("editor", speed.CLOSED_FORM)
def test_a_cell_is_a_measurement(editor: str):
    found = grid.cell(editor, 3, "cpu", SMALL)
    assert found["closed_form"] > 0
    assert 0.1 < found["peak_gb"] < 50
