"""Planning reads, applying writes only text projections, undoing restores the bits, and a plan is a pure function."""

from __future__ import annotations

import copy
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, inject_adapter_in_model

from expunge.engine.editors import EDITORS
from expunge.engine.errors import ConceptError, DigestMismatch, EditError, ModelFormatError, UnknownArchitecture
from expunge.engine.planning.closed_form import plan
from expunge.engine.plans.edit_plan import EditPlan, applied, apply, base_digest, planned_on, relative_changes, undo
from expunge.engine.spec import EditSpec, Retain, Target
from expunge.engine.text.encoding import encode
from tests.engine import tiny
from tests.engine.digests import digests
from tests.engine.families import tiny_families
from tests.engine.plans.rounding import of_weights

SPEC = EditSpec(
    targets=(Target("cat", ("cat", "kitty")), Target("noto", ("noto",), "style", anchor="picture")),
    retain=(Retain("dog", ("dog",)), Retain("blob", ("blob",), "style"), Retain("tree", ("tree",), kind="general")),
    settings={"general_words": 20},
)
PROGRAM = f"""
from expunge.engine.planning.closed_form import plan
from expunge.engine.spec import EditSpec, Retain, Target
from tests.engine import tiny
print(plan(tiny.pipeline(), {SPEC!r}).digest)
"""


@pytest.fixture
def pipeline():
    return tiny.pipeline()


@pytest.fixture(scope="module")
def made() -> EditPlan:
    return plan(tiny.pipeline(), SPEC)


def test_planning_leaves_the_model_as_it_was(pipeline):
    before = digests(pipeline)
    made = plan(pipeline, SPEC)
    assert digests(pipeline) == before
    assert all(delta.abs().max() > 0 for delta in made.deltas.values())


def test_only_text_projections_change_and_undo_restores_every_bit(pipeline, made: EditPlan):
    before = digests(pipeline)
    state = apply(pipeline, made)
    after = digests(pipeline)
    changed = {name for name in before if before[name] != after[name]}
    assert changed == set(made.deltas)
    assert all("attn2.to_k" in name or "attn2.to_v" in name for name in changed)
    undo(pipeline, state)
    assert digests(pipeline) == before


def test_the_context_undoes_even_after_an_error(pipeline, made: EditPlan):
    before = digests(pipeline)

    def fail() -> None:
        assert digests(pipeline) != before
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"), applied(pipeline, made):
        fail()
    assert digests(pipeline) == before


def load_a_lora(pipeline: Any) -> None:
    inject_adapter_in_model(LoraConfig(r=2, target_modules=["attn2.to_k"]), pipeline.unet)


def fuse_a_lora_of_the_blocks(pipeline: Any) -> None:
    inject_adapter_in_model(LoraConfig(r=2, target_modules=["attn.to_q"]), pipeline.transformer)
    next(layer for layer in pipeline.transformer.modules() if hasattr(layer, "base_layer")).merge()


def learn_a_word(pipeline: Any) -> None:
    pipeline.tokenizer.add_tokens(["<mark>"])


def free(name: str) -> Callable[[Any], None]:
    return lambda pipeline: setattr(pipeline, name, None)


@pytest.mark.parametrize(
    ("build", "happens"),
    [
        (tiny.pipeline, load_a_lora),
        (tiny.pipeline, free("unet")),
        (tiny_families.sdxl, learn_a_word),
        (tiny_families.sdxl, free("text_encoder")),
        (tiny_families.sd3, free("text_encoder_3")),
        (tiny_families.flux, free("text_encoder_2")),
        (tiny_families.flux, fuse_a_lora_of_the_blocks),
    ],
)
def test_the_context_undoes_whatever_happens_to_the_pipeline(
    build: Callable[[], Any], happens: Callable[[Any], None]
) -> None:
    """Of some of these no edit could be planned any more."""
    made = plan(pipeline := build(), SPEC)
    before = {name: weight.clone() for name, weight in planned_on(pipeline, made).items()}
    with applied(pipeline, made) as state:
        happens(pipeline)
    assert all(weight.equal(state.parameters[name]) for name, weight in before.items())


def test_what_the_pipeline_multiplies_by_instead_is_told_when_it_is_undone(pipeline: Any, made: EditPlan) -> None:
    state, own = apply(pipeline, made), digests(tiny.pipeline())
    pipeline.unet.fuse_qkv_projections()
    with pytest.raises(UnknownArchitecture, match=r"are fused; call unfuse_qkv_projections\(\) first"):
        undo(pipeline, state)
    pipeline.unet.unfuse_qkv_projections()
    undo(pipeline, state)
    assert {name: digests(pipeline)[name] for name in made.deltas} == {name: own[name] for name in made.deltas}
    state = apply(pipeline, made)
    load_a_lora(pipeline)
    layer = next(layer for layer in pipeline.unet.modules() if hasattr(layer, "base_layer"))
    layer.merge()
    with pytest.raises(EditError, match=r"unet\..*attn2\.to_k: had a LoRA fused into it"):
        undo(pipeline, state)
    layer.unmerge()
    pipeline.unet = copy.deepcopy(pipeline.unet)
    with pytest.raises(EditError, match="is another parameter by now, which was not restored"):
        undo(pipeline, state)


def test_a_plan_is_refused_by_another_base_and_by_its_own_result(pipeline, made: EditPlan):
    with pytest.raises(DigestMismatch, match="untouched base"):
        apply(tiny.pipeline(seed=1), made)
    apply(pipeline, made)
    with pytest.raises(DigestMismatch, match="untouched base"):
        apply(pipeline, made)


def test_half_precision_is_planned_wide_and_its_rounding_reported(made: EditPlan):
    half = tiny.pipeline().to(torch.bfloat16)
    before = digests(half)
    narrow = plan(half, SPEC)
    assert all(delta.dtype == torch.float32 for delta in narrow.deltas.values())
    state = apply(half, narrow)
    assert all(1e-4 < error < 4e-3 for error in of_weights(state.rounding, narrow, state.originals))
    whole = apply(tiny.pipeline(), made)
    assert all(error < 1e-7 for error in of_weights(whole.rounding, made, whole.originals))
    undo(half, state)
    assert digests(half) == before


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_solved_as_in_float64(dtype: torch.dtype):
    """UCE's formula on the half model's own weights and embeddings, which float64 holds exactly."""
    half = tiny.pipeline().to(dtype)
    spec = EditSpec(
        (Target("cat", ("cat",), anchor="horse"), Target("car", ("car",), anchor="boat")),
        (Retain("dog", ("dog",)), Retain("tree", ("tree",), kind="general")),
        "uce",
    )
    x, y, k = (encode(half, names).last().double() for names in (["cat", "car"], ["horse", "boat"], ["dog", "tree"]))
    left = 0.5 * torch.eye(tiny.WIDTH, dtype=torch.float64) + x.T @ x + k.T @ k
    made = plan(half, spec)
    assert len(made.deltas) > 3
    for name, delta in made.deltas.items():
        w0 = half.unet.get_parameter(name.removeprefix("unet.")).detach().double()
        right = 0.5 * w0 + w0 @ y.T @ x + w0 @ k.T @ k
        wanted = torch.linalg.solve(left, right.T).T - w0
        assert (delta - wanted).norm() < 1e-6 * wanted.norm()


def test_no_strength_is_the_identity(pipeline):
    before = digests(pipeline)
    idle = plan(pipeline, replace(SPEC, settings={"strength": 0.0, "general_words": 0}))
    apply(pipeline, idle)
    assert digests(pipeline) == before


def test_the_same_inputs_give_the_same_digest_here_and_in_another_process(made: EditPlan):
    assert plan(tiny.pipeline(), SPEC).digest == made.digest
    root = Path(__file__).parents[3]
    run = subprocess.run([sys.executable, "-c", PROGRAM], cwd=root, capture_output=True, text=True, check=True)
    assert run.stdout.split()[-1] == made.digest


def test_the_order_of_requests_does_not_matter_and_the_seed_does(made: EditPlan):
    turned = EditSpec(SPEC.targets[::-1], SPEC.retain[::-1], settings=SPEC.settings)
    assert turned.digest == SPEC.digest
    assert plan(tiny.pipeline(), turned).digest == made.digest
    assert plan(tiny.pipeline(), replace(SPEC, seed=1)).digest != made.digest


def test_diagnostics_tell_what_was_erased_and_what_moved(made: EditPlan):
    assert set(made.diagnostics) == set(made.deltas)
    unheld = plan(tiny.pipeline(), replace(SPEC, settings={"retain": 0.0, "general": 0.0, "general_words": 20}))
    for name, told in made.diagnostics.items():
        assert told["change"] > 0
        assert 0 < told["residual"] < 1
        assert told["drift"] < unheld.diagnostics[name]["drift"]


def test_relative_changes_come_from_deltas_and_weights_not_from_what_a_plan_says(pipeline, made: EditPlan):
    told = {name: told["change"] for name, told in made.diagnostics.items()}
    assert relative_changes(pipeline, made) == pytest.approx(told, rel=1e-5)
    belittled = {name: {**values, "change": 0.0} for name, values in made.diagnostics.items()}
    assert relative_changes(pipeline, replace(made, diagnostics=belittled)) == relative_changes(pipeline, made)


def test_any_change_of_weights_that_are_zero_is_infinite(pipeline, made: EditPlan):
    name = next(iter(made.deltas))
    with torch.no_grad():
        pipeline.unet.get_parameter(name.removeprefix("unet.")).zero_()
    with pytest.raises(DigestMismatch, match="untouched base"):
        relative_changes(pipeline, made)
    assert relative_changes(pipeline, replace(made, base=base_digest(pipeline)))[name] == float("inf")


def test_saved_and_loaded_it_is_the_same_plan(made: EditPlan, tmp_path: Path):
    made.save(tmp_path / "a.safetensors")
    made.save(tmp_path / "b.safetensors")
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
    loaded = EditPlan.load(tmp_path / "a.safetensors")
    assert loaded.digest == made.digest
    assert loaded.diagnostics == made.diagnostics
    assert loaded.settings == made.settings
    pipeline, twin = tiny.pipeline(), tiny.pipeline()
    apply(pipeline, made)
    apply(twin, loaded)
    assert digests(pipeline) == digests(twin)


def test_a_flipped_byte_or_another_file_is_not_a_plan(made: EditPlan, tmp_path: Path):
    path = tmp_path / "plan.safetensors"
    made.save(path)
    raw = bytearray(path.read_bytes())
    raw[-1] ^= 1
    path.write_bytes(raw)
    with pytest.raises(DigestMismatch, match="altered"):
        EditPlan.load(path)
    path.write_bytes(b"nothing")
    with pytest.raises(ModelFormatError, match="plan the edit again"):
        EditPlan.load(path)
    assert not list(tmp_path.glob("*.part"))


def test_a_base_with_nan_is_refused_by_its_layer(pipeline):
    name, weight = next((n, w) for n, w in pipeline.unet.named_parameters() if "attn2.to_v" in n)
    with torch.no_grad():
        weight[0, 0] = torch.nan
    with pytest.raises(EditError) as caught:
        plan(pipeline, SPEC)
    assert caught.value.layer == f"unet.{name}"


@pytest.mark.parametrize("editor", EDITORS)
def test_text_that_comes_out_not_finite_is_refused_whatever_edits(editor: str):
    pipeline = tiny.pipeline()
    parameters = dict(pipeline.text_encoder.named_parameters())
    (last,) = (weight for name, weight in parameters.items() if name.endswith("final_layer_norm.weight"))
    last.data[0] = torch.nan
    with pytest.raises(EditError, match=r"text encoder: what it says is not finite.*open it in float32"):
        plan(pipeline, replace(SPEC, editor=editor, settings={}))


def test_an_overflow_is_refused_before_anything_is_written(made: EditPlan):
    half = tiny.pipeline().to(torch.float16)
    narrow = plan(half, SPEC)
    last = list(narrow.deltas)[-1]
    huge = replace(narrow, deltas={**narrow.deltas, last: narrow.deltas[last] + 1e6})
    before = digests(half)
    with pytest.raises(EditError) as caught:
        apply(half, huge)
    assert caught.value.layer == last
    assert digests(half) == before


def test_specifications_that_contradict_themselves_are_refused():
    with pytest.raises(ConceptError, match=r"erased.*kept"):
        EditSpec((Target("cat", ("Cat",)),), (Retain("pet", ("dog", "cat")),))
    with pytest.raises(ConceptError, match=r"erased.*kept"):
        EditSpec((Target("cup", ("caf\u00e9 cup",)),), (Retain("other", ("Cafe\u0301  cup",)),))
    with pytest.raises(ConceptError, match="given twice"):
        EditSpec((Target("cat", ("cat",)), Target("cat", ("kitty",))))
    with pytest.raises(ConceptError, match="at least one name"):
        Target("cat", ("cat", " "))
    with pytest.raises(ConceptError, match="no target"):
        plan(tiny.pipeline(), EditSpec(()))


def test_a_plan_that_is_not_there_is_not_called_a_bad_plan() -> None:
    with pytest.raises(ModelFormatError, match="no-plan is no file; name that of a saved plan"):
        EditPlan.load("no-plan")


def test_a_folder_that_is_given_for_a_plan_is_told_which_file_is_meant(tmp_path: Path) -> None:
    with pytest.raises(
        ModelFormatError, match=r"is no file; name that of a saved plan, of a bundle its `deltas\.safetensors`"
    ):
        EditPlan.load(tmp_path)
