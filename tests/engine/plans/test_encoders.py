"""An edit is of states that one text encoder makes: it is not put where another reads the prompts."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from diffusers.hooks import apply_group_offloading
from torch import Tensor, nn
from torch.testing._internal.two_tensor import TwoTensor

from expunge.engine.errors import DigestMismatch, EditError
from expunge.engine.planning.closed_form import plan
from expunge.engine.plans import edit_plan as deltas
from expunge.engine.plans.edit_plan import EditPlan, applied, apply, planned_on
from expunge.engine.plans.export import apply_to_folder
from expunge.engine.spec import EditSpec, Target
from expunge.engine.text.encoder_digest import check_encoders, encoder_digests
from tests.engine import tiny
from tests.engine.families import tiny_families

SPEC = EditSpec((Target("cat", ("cat",), anchor="dog"),), editor="uce")
OF_BEFORE = EditPlan(
    {"unet.value.weight": torch.zeros(1, 1)},
    spec="a",
    templates="b",
    base="c",
    editor="uce",
    settings={},
    diagnostics={},
)


@pytest.fixture(scope="module")
def made() -> EditPlan:
    return plan(tiny.pipeline(), SPEC)


@pytest.fixture
def pipeline() -> Any:
    return tiny.pipeline()


@torch.no_grad()
def turn(encoder: nn.Module) -> None:
    """Another encoder: its first words are told by other states."""
    next(encoder.parameters())[0] += 1.0


def values(pipeline: Any) -> list[Tensor]:
    return [weight.clone() for weight in pipeline.unet.parameters()]


def test_it_is_not_applied_where_another_encoder_reads_the_prompts(made: EditPlan, pipeline: Any) -> None:
    before = values(pipeline)
    turn(pipeline.text_encoder)
    with pytest.raises(DigestMismatch, match=r"text_encoder: .*apply the plan to the base with its own"):
        apply(pipeline, made)
    assert all(torch.equal(was, now) for was, now in zip(before, pipeline.unet.parameters(), strict=True))


def test_nor_where_a_word_was_added_that_could_bring_the_concept_back(made: EditPlan, pipeline: Any) -> None:
    pipeline.tokenizer.add_tokens("<cat-again>")
    with pytest.raises(DigestMismatch, match=r"tokenizer: .*before an embedding is loaded"):
        apply(pipeline, made)


def test_nor_to_a_folder_with_another_encoder(made: EditPlan, pipeline: Any, tmp_path: Path) -> None:
    pipeline.save_pretrained(tmp_path / "base")
    turn(pipeline.text_encoder)
    pipeline.save_pretrained(tmp_path / "other")
    with pytest.raises(DigestMismatch, match="text_encoder"):
        apply_to_folder(made, tmp_path / "other", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert apply_to_folder(made, tmp_path / "base", tmp_path / "out").keys() == made.deltas.keys()


def test_a_search_reads_them_once_for_all_that_it_plans(pipeline: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Any] = []
    monkeypatch.setattr(deltas, "encoder_digests", lambda one: read.append(one) or encoder_digests(one))
    searched = EditSpec(SPEC.targets, editor="auto", settings={"editor": "uce", "max_residual": 1.0})
    assert plan(pipeline, searched).encoders == encoder_digests(pipeline)
    assert read == [pipeline]


@pytest.mark.parametrize("build", [tiny.pipeline, *tiny_families.BUILDERS.values()])
def test_prompts_may_have_been_read_and_the_encoders_left_out(build: Callable[[], Any]) -> None:
    pipeline = build()
    made = plan(pipeline, SPEC)
    for name in [name for name in pipeline.components if name.startswith("text_encoder")]:
        setattr(pipeline, name, None)
    before = {name: weight.clone() for name, weight in planned_on(pipeline, made).items()}
    with applied(pipeline, made) as state:
        assert state.rounding.keys() == made.deltas.keys()
        assert not any(before[name].equal(state.parameters[name]) for name in made.deltas)
    assert all(before[name].equal(weight) for name, weight in planned_on(pipeline, made).items())


class StableDiffusionPipeline(SimpleNamespace):
    """One of which there is nothing but its parts."""


def test_an_encoder_is_the_same_under_other_names_and_not_in_another_type() -> None:
    encoder = nn.Linear(3, 2)
    named = [nn.ModuleDict({"text_model": encoder}), nn.Sequential(nn.ModuleDict({"encoder": encoder}))]
    one, other = (encoder_digests(StableDiffusionPipeline(components={"text_encoder": part})) for part in named)
    assert one == other
    assert encoder_digests(StableDiffusionPipeline(components={"text_encoder": encoder.half()})) != one


def test_the_order_of_layers_is_no_other_encoder() -> None:
    layers = [nn.Linear(3, 2), nn.Linear(2, 3)]
    parts = [nn.ModuleList(layers), nn.ModuleList(layers[::-1])]
    one, other = (encoder_digests(StableDiffusionPipeline(components={"text_encoder": part})) for part in parts)
    assert one == other


def test_of_a_tensor_of_another_kind_each_part_counts() -> None:
    def digest(*parts: float) -> str:
        whole = nn.Parameter(TwoTensor(*(torch.full((2,), part) for part in parts)))
        holder = StableDiffusionPipeline(components={"text_encoder": nn.ParameterList([whole])})
        return encoder_digests(holder)["text_encoder"]

    assert digest(1.0, 2.0) == digest(1.0, 2.0)
    assert len({digest(1.0, 2.0), digest(1.0, 3.0), digest(3.0, 2.0)}) == 3


def test_where_none_is_expected_none_is_read(pipeline: Any) -> None:
    pipeline.text_encoder.to("meta")
    check_encoders(pipeline, {})


def test_an_encoder_that_is_not_in_memory_is_named(made: EditPlan, pipeline: Any) -> None:
    pipeline.text_encoder.to("meta")
    with pytest.raises(EditError, match="text_encoder: is not in memory"):
        apply(pipeline, made)


def test_nor_is_one_whose_weights_lie_on_a_disk(made: EditPlan, pipeline: Any, tmp_path: Path) -> None:
    """Where they were is memory of no meaning."""
    cpu = torch.device("cpu")
    apply_group_offloading(
        pipeline.text_encoder, cpu, cpu, offload_type="leaf_level", offload_to_disk_path=str(tmp_path)
    )
    with pytest.raises(EditError, match="text_encoder: is not in memory"):
        apply(pipeline, made)


def test_nor_where_the_same_words_are_padded_otherwise(made: EditPlan, pipeline: Any) -> None:
    assert pipeline.tokenizer.pad_token != "!"
    pipeline.tokenizer.pad_token = "!"
    with pytest.raises(DigestMismatch, match=r"tokenizer\.config"):
        apply(pipeline, made)


def test_nor_where_the_same_weights_are_read_otherwise(made: EditPlan, pipeline: Any, tmp_path: Path) -> None:
    pipeline.save_pretrained(tmp_path / "base")
    config = tmp_path / "base" / "text_encoder" / "config.json"
    told = json.loads(config.read_text())
    config.write_text(json.dumps(told | {"hidden_act": "relu"}))
    with pytest.raises(DigestMismatch, match=r"text_encoder\.config"):
        apply_to_folder(made, tmp_path / "base", tmp_path / "out")


def test_a_plan_that_says_nothing_of_their_settings_asks_for_none(made: EditPlan, pipeline: Any) -> None:
    """As version 0.12 made them."""
    names = {name: digest for name, digest in made.encoders.items() if not name.endswith(".config")}
    pipeline.tokenizer.pad_token = "!"
    assert apply(pipeline, replace(made, encoders=names)).rounding.keys() == made.deltas.keys()


def test_a_plan_of_before_keeps_its_digest_and_asks_for_no_encoder(
    made: EditPlan, pipeline: Any, tmp_path: Path
) -> None:
    assert OF_BEFORE.digest == "f32dda5a15694940ccde5907b90c413b75be1b8361842e2f13119284e3ce513e"
    replace(made, encoders={}).save(tmp_path / "plan.safetensors")
    old = EditPlan.load(tmp_path / "plan.safetensors")
    assert old.digest != made.digest
    turn(pipeline.text_encoder)
    assert apply(pipeline, old).rounding.keys() == made.deltas.keys()
