"""Every further family, on its real classes: it embeds what its pipeline feeds, and edits text projections alone."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from engine.bundle import write_edited
from engine.deltas import applied, apply, plan, undo
from engine.digests import tensor_digest
from engine.errors import UnknownArchitecture
from engine.families import FAMILIES, family_of, projections
from engine.model import open_model
from engine.sampling import Sampler, Shot, generate
from engine.spec import EditSpec, Retain, Target
from engine.text import encode
from tests.engine import tiny_families

BUILDERS = {
    "sdxl": tiny_families.sdxl,
    "sd3": tiny_families.sd3,
    "flux": tiny_families.flux,
    "unet3d": tiny_families.unet3d,
    "animatediff": tiny_families.animatediff,
}
OWN = {  # what the pipeline makes of prompts by itself: the states of their tokens, and of them as a whole
    "sdxl": lambda pipeline, prompts: pipeline.encode_prompt(prompts, do_classifier_free_guidance=False)[::2],
    "sd3": lambda pipeline, prompts: pipeline.encode_prompt(prompts, None, None, do_classifier_free_guidance=False)[
        ::2
    ],
    "flux": lambda pipeline, prompts: pipeline.encode_prompt(prompts)[:2],
    "unet3d": lambda pipeline, prompts: pipeline.encode_prompt(prompts, "cpu", 1, False)[:1],
    "animatediff": lambda pipeline, prompts: pipeline.encode_prompt(prompts, "cpu", 1, False)[:1],
}
PROMPTS = ["a picture of a cat", "", "a dog in the garden!", "cat"]
CONCEPTS = {
    "targets": (Target("cat", ("cat",)), Target("noto", ("noto",), "style", anchor="picture")),
    "retain": (Retain("dog", ("dog",)), Retain("tree", ("tree",), kind="general")),
}
SPECS = [EditSpec(**CONCEPTS, editor="uce"), EditSpec(**CONCEPTS, editor="scapre", settings={"general_words": 10})]
SHOTS = [Shot("a cat", 0), Shot("a dog", 1)]
SAMPLER = Sampler(steps=2, batch=2)


@pytest.fixture(scope="module", params=BUILDERS)
def family(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def built(family: str) -> Any:
    return BUILDERS[family]()


@pytest.fixture
def pipeline(built: Any) -> Any:
    """A test that leaves the pipeline other than it was would spoil the next, so it fails itself."""
    before = weights(built)
    yield built
    assert weights(built) == before


def weights(pipeline: Any) -> dict[str, str]:
    parts = {name: part for name, part in pipeline.components.items() if isinstance(part, nn.Module)}
    return {
        f"{name}.{key}": tensor_digest({key: w}) for name, part in parts.items() for key, w in part.state_dict().items()
    }


def drawn(pipeline: Any) -> np.ndarray:
    return np.stack([picture for _, picture in generate(pipeline, SHOTS, SAMPLER)])


@torch.no_grad()
def test_the_states_are_what_the_pipeline_itself_feeds(family: str, pipeline: Any) -> None:
    kind = family_of(pipeline)
    states = [encode(pipeline, PROMPTS, stream).embeddings for stream in range(kind.streams)]
    found, own = kind.arguments(pipeline, states), OWN[family](pipeline, PROMPTS)
    assert list(found) == ["prompt_embeds", "pooled_prompt_embeds"][: len(own)]
    for fed, expected in zip(found.values(), own, strict=True):
        assert fed.shape == expected.shape
        assert (fed - expected).abs().max() <= 1e-6 * expected.abs().max()


def test_each_projection_is_fed_by_its_streams_and_by_nothing_else(pipeline: Any) -> None:
    """Hooked while the pipeline draws by itself: all that reaches a projection is a text state or nothing."""
    seen, hooks = {}, []
    for projection in projections(pipeline):
        component, _, name = projection.name.removesuffix(".weight").partition(".")
        module = pipeline.components[component].get_submodule(name)
        assert module.weight is projection.weight
        hooks.append(module.register_forward_pre_hook(lambda m, x, p=projection: seen.update({p.name: x[0]})))
    pipeline(prompt="a cat", num_inference_steps=1, guidance_scale=2.0, output_type="latent")
    for hook in hooks:
        hook.remove()
    for projection in projections(pipeline):
        said = [encode(pipeline, ["a cat", ""], stream).embeddings.flatten(0, 1) for stream in projection.streams]
        known = torch.cat([*said, torch.zeros_like(said[0][:1])])
        text = slice(tiny_families.POOLED if "add_embedding" in projection.name else None)
        rows = seen[projection.name].reshape(-1, known.shape[1])
        distance = torch.cdist(rows[:, text], known[:, text], compute_mode="donot_use_mm_for_euclid_dist")
        assert distance.amin(1).max() < 1e-4


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.editor)
def test_plan_apply_undo(family: str, pipeline: Any, spec: EditSpec) -> None:
    before, names = weights(pipeline), {p.name for p in projections(pipeline)}
    made = plan(pipeline, spec)
    assert weights(pipeline) == before
    assert set(made.deltas) == names
    state = apply(pipeline, made)
    after = weights(pipeline)
    assert {name for name in before if after[name] != before[name]} == names
    assert all(error < 1e-7 for error in state.rounding.values())
    assert all(kept["residual"] < 0.9 for kept in made.diagnostics.values())
    undo(pipeline, state)
    assert weights(pipeline) == before


def test_pictures_before_and_after(pipeline: Any) -> None:
    before = drawn(pipeline)
    assert before.dtype == np.uint8
    assert before.shape[0] == 2
    assert before.shape[-1] == 3
    with applied(pipeline, plan(pipeline, SPECS[0])):
        assert (drawn(pipeline)[0] != before[0]).any()
    assert (drawn(pipeline) == before).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_solved_wide_and_written_in_its_own_type(built: Any, dtype: torch.dtype) -> None:
    half = copy.deepcopy(built).to(dtype)
    before = weights(half)
    made = plan(half, SPECS[0])
    assert all(delta.dtype == torch.float32 for delta in made.deltas.values())
    state = apply(half, made)
    assert {p.weight.dtype for p in projections(half)} == {dtype}
    assert all(0 < error < torch.finfo(dtype).eps for error in state.rounding.values())
    undo(half, state)
    assert weights(half) == before


def test_a_folder_is_opened_edited_and_opened_again(pipeline: Any, tmp_path: Path) -> None:
    pipeline.save_pretrained(tmp_path / "base")
    made = plan(open_model(tmp_path / "base"), SPECS[0])
    assert made.base == plan(pipeline, SPECS[0]).base
    write_edited(tmp_path / "base", made, tmp_path / "edited")
    with applied(pipeline, made):
        assert weights(open_model(tmp_path / "edited")) == weights(pipeline)


def test_the_known_are_listed(pipeline: Any) -> None:
    with pytest.raises(UnknownArchitecture, match=type(pipeline).__name__):
        projections(object())
    assert type(pipeline).__name__ in {name for kind in FAMILIES for name in kind.pipelines}


def test_sizes_keep_their_columns_in_stable_diffusion_xl() -> None:
    pipeline = tiny_families.sdxl()
    entrance = pipeline.unet.add_embedding.linear_1.weight
    before = entrance.detach().clone()
    for spec in SPECS:
        with applied(pipeline, plan(pipeline, spec)):
            assert torch.equal(entrance[:, tiny_families.POOLED :], before[:, tiny_families.POOLED :])
            assert not torch.equal(entrance[:, : tiny_families.POOLED], before[:, : tiny_families.POOLED])


def test_encoders_that_do_not_read_side_by_side_are_refused() -> None:
    pipeline = tiny_families.sdxl()
    pipeline.tokenizer_2.add_tokens(["<mark>"])
    with pytest.raises(UnknownArchitecture, match="tokenizers differ"):
        projections(pipeline)
    pipeline = tiny_families.sdxl()
    pipeline.text_encoder = None
    with pytest.raises(UnknownArchitecture, match="encoder is missing"):
        projections(pipeline)
