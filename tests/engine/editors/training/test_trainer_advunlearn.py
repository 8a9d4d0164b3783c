"""AdvUnlearn trains the text encoder, or the denoiser, against vectors that bring a concept back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from expunge.engine.editors.declared import undeclared
from expunge.engine.editors.training import TRAINERS, advunlearn, train
from expunge.engine.editors.training.advunlearn import AdvUnlearnSettings, Spoken
from expunge.engine.editors.training.base import Run
from expunge.engine.errors import EditError, SettingError
from expunge.engine.models.load import open_model
from expunge.engine.plans.edit_plan import EditPlan, applied
from expunge.engine.plans.export import apply_to_folder
from expunge.engine.plans.lora import lora_of
from expunge.engine.spec import EditSpec, Target
from tests.engine.digests import at_rest, digests
from tests.engine.editors.training.trainees import RETAIN, TARGETS, answer, listening
from tests.engine.families import tiny_families

QUICK: dict[str, Any] = {"iterations": 3, "warmup": 1, "attack_steps": 2, "paths": 4, "steps": 3, "rate": 1e-3}
SPEC = EditSpec(TARGETS, RETAIN, "advunlearn", QUICK)


def with_settings(**settings: Any) -> EditSpec:
    return EditSpec(TARGETS, RETAIN, "advunlearn", {**QUICK, **settings})


def erased(pipeline: Any, settings: AdvUnlearnSettings) -> Spoken:
    draws = torch.Generator().manual_seed(0)
    return advunlearn._walked(pipeline, ["cat", "car"], settings, draws, "pictures", Run())


def test_it_changes_the_text_encoder_and_nothing_else_and_the_same_input_gives_the_same_weights() -> None:
    pipeline = listening()
    before = digests(pipeline)
    made, again = train(pipeline, SPEC), train(pipeline, SPEC)
    assert made.digest == again.digest
    assert digests(pipeline) == before
    names = {f"text_encoder.{name}" for name, _ in pipeline.text_encoder.named_parameters() if "embedding" not in name}
    assert set(made.deltas) <= names
    assert {name for name in made.deltas if "final_layer_norm" in name}
    assert len(made.deltas) > 0.7 * len(names)
    with applied(pipeline, made):
        assert digests(pipeline) != before
    assert digests(pipeline) == before


@pytest.mark.parametrize(
    ("settings", "reached"),
    [
        ({"layers": 1}, lambda name: name.startswith("text_encoder.encoder.layers.0.")),
        ({"parameters": "cross-attention"}, lambda name: name.startswith("unet.") and ".attn2." in name),
        ({"parameters": "other"}, lambda name: name.startswith("unet.") and ".attn2." not in name),
    ],
)
def test_what_may_change_is_a_setting_and_is_declared(settings: dict[str, Any], reached: Any) -> None:
    made = train(listening(), with_settings(**settings))
    assert made.deltas
    assert all(map(reached, made.deltas))
    declared = TRAINERS["advunlearn"].declared(AdvUnlearnSettings(**{**QUICK, **settings}))
    assert all(map(declared, made.deltas))
    assert not declared("text_encoder.embeddings.token_embedding.weight")
    assert not declared("vae.decoder.conv_in.weight")


def test_attack_a_plan_of_the_text_encoder_changes_the_denoiser_or_a_word_too(tmp_path: Path) -> None:
    pipeline = listening()
    pipeline.save_pretrained(base := tmp_path / "base")
    made = train(pipeline, SPEC)
    assert list(undeclared(made, base)) == []
    for name, weight in (
        ("unet.conv_in.weight", pipeline.unet.conv_in.weight),
        ("text_encoder.embeddings.token_embedding.weight", pipeline.text_encoder.get_input_embeddings().weight),
    ):
        more = EditPlan({**made.deltas, name: torch.ones_like(weight)}, *_rest(made))
        (found,) = undeclared(more, base)
        assert name in found.problem


def _rest(plan: EditPlan) -> tuple[Any, ...]:
    return plan.spec, plan.templates, plan.base, plan.editor, plan.settings, plan.diagnostics, plan.encoders


def test_an_edit_of_the_text_encoder_is_saved_written_and_opened_like_any(tmp_path: Path) -> None:
    pipeline = listening()
    pipeline.save_pretrained(base := tmp_path / "base")
    made = train(pipeline, SPEC)
    made.save(tmp_path / "plan.safetensors")
    apply_to_folder(EditPlan.load(tmp_path / "plan.safetensors"), base, tmp_path / "edited")
    opened = open_model(tmp_path / "edited")
    with applied(pipeline, made):
        for name, weight in pipeline.text_encoder.named_parameters():
            assert torch.equal(opened.text_encoder.get_parameter(name), weight), name
    with pytest.raises(EditError, match="fills unet or transformer only"):
        lora_of(made)


def test_the_name_is_denoised_away_from_the_target() -> None:
    """Distance to the aim e*(x) - eta (e*(x, c) - e*(x)), on noise that was not trained on."""
    pipeline = listening()
    noisy, time = torch.randn(8, 4, 8, 8, generator=torch.Generator().manual_seed(5)), torch.tensor(500)
    named, without = answer(pipeline, noisy, time, "cat"), answer(pipeline, noisy, time, "")
    aim = without - (named - without)
    settings = {"iterations": 40, "warmup": 40, "rate": 3e-3, "keep": 0.0, "batch": 1}
    plan = train(pipeline, EditSpec((Target("cat", ("cat",)),), RETAIN, "advunlearn", {**QUICK, **settings}))
    with applied(pipeline, plan):
        after = answer(pipeline, noisy, time, "cat")
    assert (after - aim).square().mean() < 0.7 * (named - aim).square().mean()


def test_a_search_finds_vectors_under_which_the_student_says_what_was_said_of_the_target() -> None:
    """On a student that has lost the name, and on states that the search did not draw."""
    pipeline, student = listening(), listening()
    with torch.no_grad():
        table = student.text_encoder.get_input_embeddings().weight
        one, other = (student.tokenizer(name, add_special_tokens=False)["input_ids"][0] for name in ("cat", "lamp"))
        table[one] = table[other]
    student.unet.requires_grad_(False)
    student.text_encoder.requires_grad_(False)
    spoken = erased(pipeline, AdvUnlearnSettings(steps=6, paths=2))

    def left(steps: int) -> float:
        settings = AdvUnlearnSettings(attack_steps=steps, attack_rate=0.3)
        draws = torch.Generator().manual_seed(3)
        vectors = advunlearn._searched(student, ["dog"], spoken, 0, settings, draws)
        told = advunlearn._asked(student, ["dog"], vectors, "cat")
        noisy, times, said, _ = spoken.drawn([0] * 16, torch.Generator().manual_seed(4))
        told = {name: rows.expand(16, *rows.shape[1:]) for name, rows in told.items()}
        with torch.no_grad():
            return (advunlearn.predicted(student, noisy, times, told) - said).square().mean().item()

    with torch.enable_grad():
        assert left(60) < 0.9 * left(0)


def test_every_target_and_every_retained_concept_is_drawn_as_often() -> None:
    targets = (Target("cat", ("cat", "kitty")), Target("cup", ("cup",)))
    gone, stay = advunlearn._texts(EditSpec(targets, RETAIN, "advunlearn"), AdvUnlearnSettings(paths=8))
    assert gone == ["cat", "cup", "kitty", "cup", "cat", "cup", "kitty", "cup"]
    assert sorted(stay) == ["dog"] * 4 + ["tree"] * 4
    assert advunlearn._texts(EditSpec(targets, (), "advunlearn"), AdvUnlearnSettings(paths=1)) == (["cat", "cup"], [""])


def test_both_encoders_of_stable_diffusion_xl_are_trained() -> None:
    pipeline = tiny_families.sdxl()
    before = at_rest(pipeline)
    made = train(pipeline, with_settings(iterations=2, attack_steps=1))
    assert {name.partition(".")[0] for name in made.deltas} == {"text_encoder", "text_encoder_2"}
    assert at_rest(pipeline) == before


def test_settings_that_cannot_be_trained_with_are_refused() -> None:
    for name in ("batch", "vectors", "paths", "steps"):
        with pytest.raises(SettingError, match=f"advunlearn.{name} is 0"):
            train(listening(), with_settings(**{name: 0}))
