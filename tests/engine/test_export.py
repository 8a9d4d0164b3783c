"""What is exported is the edit: opened again by diffusers it gives the weights and pictures of the applied plan."""

from __future__ import annotations

import json
import re
import shutil
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import (
    DDIMScheduler,
    EDMEulerScheduler,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from diffusers.loaders.single_file_utils import _legacy_load_scheduler, convert_ldm_unet_checkpoint
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from engine.bundle import assemble
from engine.deltas import EditPlan, apply, plan
from engine.digests import files, folder_digest
from engine.errors import DigestMismatch, EditError, ModelFormatError, SettingError, UnknownArchitecture
from engine.export import apply_to_folder, check_base, export
from engine.model import open_model
from engine.rewriting import write_edited
from engine.single_file import unet_name, write_single_file
from engine.spec import EditSpec, Retain, Target
from tests.engine import tiny, tiny_families
from tests.engine.rounding import of_weights

SPEC = EditSpec((Target("cat", ("cat",)),), (Retain("dog", ("dog",)),), editor="uce")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save(tmp_path_factory.mktemp("base") / "model")


@pytest.fixture(scope="module")
def made(base: Path) -> EditPlan:
    return plan(open_model(base), SPEC)


@pytest.fixture
def saved(made: EditPlan, tmp_path: Path) -> Path:
    made.save(tmp_path / "plan.safetensors")
    return tmp_path / "plan.safetensors"


def weights(pipeline: Any) -> dict[str, torch.Tensor]:
    parts = [name for name, part in pipeline.components.items() if isinstance(part, torch.nn.Module)]
    return {f"{part}.{name}": w for part in parts for name, w in getattr(pipeline, part).state_dict().items()}


def same(one: Any, other: Any) -> None:
    left, right = weights(one), weights(other)
    assert left.keys() == right.keys()
    for name, weight in left.items():
        assert torch.equal(weight, right[name]), name


def edited(base: Path, made: EditPlan) -> Any:
    pipeline = open_model(base)
    apply(pipeline, made)
    return pipeline


def test_the_folder_opens_as_the_edited_model(base: Path, made: EditPlan, saved: Path, tmp_path: Path) -> None:
    result = export(saved, "diffusers", tmp_path / "out", base)
    assert result.rounding.keys() == made.deltas.keys()
    same(open_model(tmp_path / "out"), edited(base, made))


def test_the_single_file_opens_as_the_edited_model(base: Path, made: EditPlan, saved: Path, tmp_path: Path) -> None:
    assert export(saved, "single-file", tmp_path / "out.safetensors", base).note == ""
    read = StableDiffusionPipeline.from_single_file(
        str(tmp_path / "out.safetensors"), config=str(base), local_files_only=True, safety_checker=None
    )
    same(read, edited(base, made))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.safetensors", "plan.safetensors"]


@pytest.mark.parametrize(("kind", "act"), [("sdxl", "quick_gelu"), ("sd2", "gelu")])
def test_encoders_of_open_clip_go_round_too(kind: str, act: str, tmp_path: Path) -> None:
    pipeline: Any = tiny_families.sdxl() if kind == "sdxl" else tiny.pipeline()
    pipeline.text_encoder.config.hidden_act = act
    pipeline.save_pretrained(tmp_path / "model")
    write_single_file(tmp_path / "model", tmp_path / "one.safetensors")
    names = load_file(tmp_path / "one.safetensors").keys()
    assert any(name.endswith("attn.in_proj_weight") for name in names)
    loader: Any = StableDiffusionXLPipeline if kind == "sdxl" else StableDiffusionPipeline
    read = loader.from_single_file(
        str(tmp_path / "one.safetensors"), config=str(tmp_path / "model"), local_files_only=True
    )
    same(read, pipeline)


def shaped(kind: str) -> Any:
    """A pipeline that diffusers takes for a Stable Diffusion of this kind, by the name and width of one matrix."""
    if kind == "xl":
        return tiny_families.sdxl()
    pipeline = tiny.pipeline()
    shape = {**pipeline.unet.config, "layers_per_block": 2, "cross_attention_dim": 1024 if kind == "2" else tiny.WIDTH}
    pipeline.unet = UNet2DConditionModel.from_config(shape)
    return pipeline


@pytest.mark.parametrize("kind", ["1", "2", "xl"])
def test_a_file_that_would_be_sampled_wrongly_is_noted_with_the_cure(kind: str, tmp_path: Path) -> None:
    model, one = tmp_path / "model", tmp_path / "one.safetensors"
    shaped(kind).save_pretrained(model)
    for prediction in ("epsilon", "v_prediction", "sample"):
        DDIMScheduler(prediction_type=prediction, clip_sample=False).save_pretrained(model / "scheduler")  # type: ignore[arg-type]
        note = write_single_file(model, one)
        read: Any = _legacy_load_scheduler(DDIMScheduler, load_file(one), "scheduler")
        taken = read.config.prediction_type
        assert taken == ("v_prediction" if kind == "2" else "epsilon")
        assert bool(note) == (taken != prediction)
        assert not note or f"predicts {prediction}, and readers take the file for one that predicts {taken}" in note


def test_the_cure_of_the_note_opens_the_file_as_what_it_is(made: EditPlan, saved: Path, tmp_path: Path) -> None:
    model, one = tiny.save(tmp_path / "model"), tmp_path / "one.safetensors"
    DDIMScheduler(prediction_type="v_prediction", clip_sample=False).save_pretrained(model / "scheduler")  # type: ignore[arg-type]
    assert "config=FOLDER" in export(saved, "single-file", one, model).note
    read = StableDiffusionPipeline.from_single_file(str(one), config=str(model), local_files_only=True)
    assert read.scheduler.config.prediction_type == "v_prediction"


@pytest.mark.parametrize(
    ("file", "setting", "told"),
    [
        ("scheduler/scheduler_config.json", {"rescale_betas_zero_snr": True}, r"starts from noise alone \(rescale"),
        (
            "vae/config.json",
            {"latents_mean": [0.1] * 4, "latents_std": [1.0] * 4},
            r"shifts its latents \(latents_mean",
        ),
    ],
)
def test_scales_of_which_the_file_says_nothing_are_noted(
    file: str, setting: dict[str, Any], told: str, tmp_path: Path
) -> None:
    tiny_families.sdxl().save_pretrained(model := tmp_path / "model")
    assert write_single_file(model, tmp_path / "plain.safetensors") == ""
    config = json.loads((model / file).read_text())
    (model / file).write_text(json.dumps({**config, **setting}))
    assert re.search(f"{told}.*readers sample it otherwise", write_single_file(model, tmp_path / "one.safetensors"))


def test_a_model_of_edm_is_noted_and_the_cure_opens_it_as_one(tmp_path: Path) -> None:
    pipeline, one = tiny_families.sdxl(), tmp_path / "one.safetensors"
    pipeline.register_modules(scheduler=EDMEulerScheduler(prediction_type="v_prediction"))
    pipeline.save_pretrained(model := tmp_path / "model")
    note = write_single_file(model, one)
    assert note.startswith("the model predicts v_prediction, and readers take the file for one that predicts epsilon")
    assert "; the model is walked by EDMEulerScheduler, of which the file says nothing" in note
    read = StableDiffusionXLPipeline.from_single_file(str(one), config=str(model), local_files_only=True)
    assert isinstance(read.scheduler, EDMEulerScheduler)


FULL_SIZE: dict[str, dict[str, Any]] = {
    "sd": {"cross_attention_dim": 768},
    "sdxl": {
        "block_out_channels": (320, 640, 1280),
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        "transformer_layers_per_block": (1, 2, 10),
        "cross_attention_dim": 2048,
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 256,
        "projection_class_embeddings_input_dim": 2816,
    },
}


@pytest.mark.parametrize("kind", FULL_SIZE)
def test_at_full_size_every_name_is_read_back_by_the_official_converter(kind: str) -> None:
    with torch.device("meta"):
        unet: Any = UNet2DConditionModel(**FULL_SIZE[kind])
    weights = unet.state_dict()
    attending = [place for place, name in enumerate(unet.config.up_block_types) if "CrossAttn" in name]
    original = {f"model.diffusion_model.{unet_name(name, 2, attending)}": weight for name, weight in weights.items()}
    back = convert_ldm_unet_checkpoint(dict(original), dict(unet.config))
    assert back.keys() == weights.keys()
    assert all(back[name] is weight for name, weight in weights.items())
    assert "model.diffusion_model.output_blocks.5.2.conv.weight" in original  # as in the published checkpoints


def test_a_single_file_keeps_half_precision_and_leaves_nothing_out(tmp_path: Path) -> None:
    half = tiny.pipeline().to(torch.bfloat16)
    half.save_pretrained(tmp_path / "model")
    write_single_file(tmp_path / "model", tmp_path / "one.safetensors")
    stored = load_file(tmp_path / "one.safetensors")
    assert {value.dtype for value in stored.values()} == {torch.bfloat16}
    assert sum(value.numel() for value in stored.values()) == sum(w.numel() for w in weights(half).values())


def test_a_weight_without_a_name_in_the_single_file_is_refused(base: Path, tmp_path: Path) -> None:
    shutil.copytree(base, tmp_path / "model")
    path = tmp_path / "model" / "unet" / "diffusion_pytorch_model.safetensors"
    save_file({**load_file(path), "class_embedding.weight": torch.ones(2)}, path)
    with pytest.raises(EditError, match=r"unet\.class_embedding\.weight"):
        write_single_file(tmp_path / "model", tmp_path / "one.safetensors")
    tiny_families.sd3().save_pretrained(tmp_path / "sd3")
    with pytest.raises(UnknownArchitecture, match=r"known: StableDiffusionPipeline"):
        write_single_file(tmp_path / "sd3", tmp_path / "one.safetensors")
    assert not list(tmp_path.glob("one*"))


def test_a_bundle_is_exported_after_its_manifest_was_checked(base: Path, made: EditPlan, tmp_path: Path) -> None:
    made.save(tmp_path / "deltas.safetensors")
    apply_to_folder(made, base, tmp_path / "edited")
    assemble(tmp_path / "edited", {"deltas.safetensors": tmp_path / "deltas.safetensors"}, tmp_path / "bundle")
    for form in ("diffusers", "delta", "lora", "single-file"):
        assert export(tmp_path / "bundle", form, tmp_path / form).plan == made.digest
    assert folder_digest(tmp_path / "diffusers") == folder_digest(tmp_path / "edited")
    assert (tmp_path / "delta").read_bytes() == (tmp_path / "deltas.safetensors").read_bytes()
    write_single_file(tmp_path / "edited", tmp_path / "again")
    assert (tmp_path / "single-file").read_bytes() == (tmp_path / "again").read_bytes()
    for form in ("diffusers", "single-file"):
        with pytest.raises(SettingError, match="is a bundle, which holds the model; leave it out"):
            export(tmp_path / "bundle", form, tmp_path / "refused", base)
    (tmp_path / "bundle" / "model" / "model_index.json").write_text("{}")
    with pytest.raises(DigestMismatch, match="model_index"):
        export(tmp_path / "bundle", "lora", tmp_path / "refused")
    assert not (tmp_path / "refused").exists()


def test_what_an_older_bundle_holds_beside_its_model_is_not_handed_on(
    base: Path, made: EditPlan, tmp_path: Path
) -> None:
    made.save(tmp_path / "deltas.safetensors")
    apply_to_folder(made, base, tmp_path / "edited")
    shutil.copy(base / "unet" / "diffusion_pytorch_model.safetensors", tmp_path / "edited" / "whole.safetensors")
    assemble(tmp_path / "edited", {"deltas.safetensors": tmp_path / "deltas.safetensors"}, tmp_path / "bundle")
    for form in ("diffusers", "single-file"):
        with pytest.raises(ModelFormatError, match=r"whole\.safetensors"):
            export(tmp_path / "bundle", form, tmp_path / form)
        assert not (tmp_path / form).exists()


def test_the_lora_states_its_error(made: EditPlan, saved: Path, tmp_path: Path) -> None:
    result = export(saved, "lora", tmp_path / "lora.safetensors", rank=1)
    with safe_open(tmp_path / "lora.safetensors", "pt") as handle:
        assert json.loads(handle.metadata()["expunge"])["error"] == result.error
    assert set(result.ranks.values()) == {1}


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_plan_made_on_the_model_opened_in_half_precision_is_of_that_model(
    base: Path, dtype: torch.dtype, tmp_path: Path
) -> None:
    made = plan(open_model(base, dtype=dtype), SPEC)
    assert apply_to_folder(made, base, tmp_path / "out").keys() == made.deltas.keys()
    with pytest.raises(DigestMismatch, match="apply the edit to the base it was planned on"):
        apply_to_folder(made, tiny.save(tmp_path / "other", seed=1), tmp_path / "none")


def test_a_plan_is_recognised_whose_encoder_was_opened_in_another_type_than_the_rest(
    base: Path, tmp_path: Path
) -> None:
    mixed = open_model(base)
    mixed.unet.half()
    made = plan(mixed, SPEC)
    assert apply_to_folder(made, base, tmp_path / "out").keys() == made.deltas.keys()


def test_nothing_is_written_into_what_is_read(base: Path, made: EditPlan, saved: Path, tmp_path: Path) -> None:
    before = folder_digest(base)
    apply_to_folder(made, base, tmp_path / "edited")
    assemble(tmp_path / "edited", {"deltas.safetensors": saved}, tmp_path / "bundle")
    manifest = sorted((tmp_path / "bundle").rglob("*"))
    for source, form, out, whole in (
        (saved, "diffusers", base / "inside", base),
        (tmp_path / "bundle", "lora", tmp_path / "bundle" / "lora.safetensors", None),
        (tmp_path / "bundle" / "deltas.safetensors", "lora", tmp_path / "bundle" / "lora.safetensors", None),
    ):
        with pytest.raises(SettingError, match=r"lies in .*name one beside it"):
            export(source, form, out, whole)
    with pytest.raises(SettingError, match="lies in"):
        apply_to_folder(made, base, base / "unet" / "edited")
    with pytest.raises(SettingError, match="lies in"):
        apply_to_folder(made, base, tmp_path / "bundle" / "edited", tmp_path / "bundle" / "deltas.safetensors")
    assert folder_digest(base) == before
    assert sorted((tmp_path / "bundle").rglob("*")) == manifest


def test_what_is_written_may_be_read_by_whoever_may_read_the_rest(
    base: Path, made: EditPlan, saved: Path, tmp_path: Path
) -> None:
    apply_to_folder(made, base, tmp_path / "out")
    export(saved, "lora", tmp_path / "lora.safetensors")
    (tmp_path / "plain").touch()
    usual = (tmp_path / "plain").stat().st_mode
    written = [*(path for path in (tmp_path / "out").rglob("*") if path.is_file()), tmp_path / "lora.safetensors"]
    assert {path.stat().st_mode for path in written} == {usual}
    assert not list(tmp_path.rglob("*.mode"))


def test_a_place_that_cannot_be_written_to_is_named(base: Path, made: EditPlan, tmp_path: Path) -> None:
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    with pytest.raises(SettingError, match="dangling is there already"):
        apply_to_folder(made, base, tmp_path / "dangling")
    with pytest.raises(SettingError, match="/proc/out cannot be written"):
        apply_to_folder(made, base, "/proc/out")
    long = tmp_path / ("a" * 250)
    assert apply_to_folder(made, base, long)
    assert long.is_dir()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("narrow", [False, True], ids=["planned in float32", "planned as it is stored"])
def test_a_half_precision_checkpoint_is_solved_wide_and_written_in_its_own_type(
    dtype: torch.dtype, narrow: bool, tmp_path: Path
) -> None:
    tiny.pipeline().to(dtype).save_pretrained(tmp_path / "half")
    opened = open_model(tmp_path / "half", dtype=dtype if narrow else torch.float32)
    made = plan(opened, SPEC)
    assert {delta.dtype for delta in made.deltas.values()} == {torch.float32}
    wide = plan(open_model(tmp_path / "half"), SPEC)
    rounding = apply_to_folder(made, tmp_path / "half", tmp_path / "out")
    name, delta = next(iter(made.deltas.items()))
    if not narrow:
        assert torch.equal(delta, wide.deltas[name])
    before, after = (load_file(tmp_path / f / "unet" / "diffusion_pytorch_model.safetensors") for f in ("half", "out"))
    assert {value.dtype for value in after.values()} == {dtype}
    exact = before[name.removeprefix("unet.")].double() + delta.double()
    lost = (exact - after[name.removeprefix("unet.")].double()).norm() / delta.double().norm()
    assert rounding[name] == pytest.approx(lost.item(), rel=1e-4)
    unit = torch.finfo(dtype).eps
    originals = {key: before[key.removeprefix("unet.")] for key in rounding}
    assert all(unit / 100 < error < unit for error in of_weights(rounding, made, originals))


def test_every_variant_in_the_folder_forgets(base: Path, made: EditPlan, tmp_path: Path) -> None:
    shutil.copytree(base, tmp_path / "model")
    path = tmp_path / "model" / "unet" / "diffusion_pytorch_model.safetensors"
    save_file(
        {n: w.half() for n, w in load_file(path).items()}, path.with_name("diffusion_pytorch_model.fp16.safetensors")
    )
    apply_to_folder(made, tmp_path / "model", tmp_path / "out")
    for stored in (tmp_path / "out" / "unet").glob("*.safetensors"):
        was, now = load_file(tmp_path / "model" / "unet" / stored.name), load_file(stored)
        assert all((was[n.removeprefix("unet.")] != now[n.removeprefix("unet.")]).any() for n in made.deltas)


def test_a_variant_beside_does_not_say_in_which_type_the_plan_was_made(
    base: Path, made: EditPlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(base, tmp_path / "model")
    path = tmp_path / "model" / "unet" / "diffusion_pytorch_model.safetensors"
    save_file(
        {n: w.half() for n, w in load_file(path).items()}, path.with_name("diffusion_pytorch_model.fp16.safetensors")
    )
    asked: list[torch.dtype] = []

    def opened(folder: Path, dtype: torch.dtype) -> Any:
        asked.append(dtype)
        return open_model(folder, dtype=dtype)

    monkeypatch.setattr("engine.export.open_model", opened)
    check_base(made, tmp_path / "model")
    assert asked == [torch.float32]


def test_a_base_with_a_broken_file_is_refused_by_name(base: Path, made: EditPlan, tmp_path: Path) -> None:
    shutil.copytree(base, tmp_path / "model")
    (tmp_path / "model" / "unet" / "diffusion_pytorch_model.safetensors").write_text("<html>")
    with pytest.raises(ModelFormatError, match="web page"):
        apply_to_folder(made, tmp_path / "model", tmp_path / "out")


def test_another_base_or_an_unknown_one_is_refused_and_nothing_is_written(made: EditPlan, tmp_path: Path) -> None:
    other = tiny.save(tmp_path / "other", seed=1)
    with pytest.raises(DigestMismatch, match="other"):
        apply_to_folder(made, other, tmp_path / "out")
    tiny_families.sdxl().save_pretrained(tmp_path / "larger")
    with pytest.raises(DigestMismatch, match="larger"):
        apply_to_folder(made, tmp_path / "larger", tmp_path / "out")
    index = other / "model_index.json"
    index.write_text(index.read_text().replace('"StableDiffusionPipeline"', '"KandinskyPipeline"'))
    with pytest.raises(UnknownArchitecture, match=r"known pipelines: .*StableDiffusionPipeline, .*StableDiffusionXL"):
        apply_to_folder(made, other, tmp_path / "out")
    assert {path.name for path in tmp_path.iterdir()} == {"other", "larger"}


def test_an_edit_that_cannot_be_written_leaves_nothing(base: Path, made: EditPlan, tmp_path: Path) -> None:
    name = next(iter(made.deltas))
    foreign = replace(made, deltas={**made.deltas, "unet.elsewhere.weight": made.deltas[name]})
    check_base(foreign, base)
    with pytest.raises(EditError, match="not in the base"):
        apply_to_folder(foreign, base, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_is_there_already_is_never_written_over(base: Path, made: EditPlan, saved: Path, tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "thesis.txt").write_text("years of work")
    before = folder_digest(base)
    for taken in (tmp_path / "precious", base, saved):
        for write in (lambda out: export(saved, "diffusers", out, base), lambda out: apply_to_folder(made, base, out)):
            with pytest.raises(SettingError, match="is there already"):
                write(taken)
    assert (tmp_path / "precious" / "thesis.txt").read_text() == "years of work"
    assert folder_digest(base) == before


@pytest.mark.parametrize("form", ["diffusers", "delta", "lora", "single-file"])
def test_of_two_runs_that_write_to_one_name_the_later_is_refused_and_the_earlier_stays_whole(
    base: Path, made: EditPlan, saved: Path, tmp_path: Path, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, load, whole = tmp_path / "out", EditPlan.load, base if form in ("diffusers", "single-file") else None

    def overtaken(path: Path) -> EditPlan:
        monkeypatch.setattr(EditPlan, "load", load)
        export(saved, form, out, whole)
        return load(path)

    export(saved, form, tmp_path / "alone", whole)
    monkeypatch.setattr(EditPlan, "load", overtaken)
    with pytest.raises(SettingError, match="out is there already"):
        export(saved, form, out, whole)
    one, other = (
        [path.read_bytes() for path in files(each)] or each.read_bytes() for each in (out, tmp_path / "alone")
    )
    assert one == other
    assert {path.name for path in tmp_path.iterdir()} == {"plan.safetensors", "alone", "out"}


@pytest.mark.parametrize("at", ["engine.rewriting.save_whole", "engine.single_file.save_whole"])
def test_of_a_run_that_failed_nothing_is_left(
    base: Path, made: EditPlan, saved: Path, tmp_path: Path, at: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(at, full)
    with pytest.raises(OSError, match="No space"):
        export(saved, "single-file", tmp_path / "out", base)
    if "rewriting" in at:
        for write in (apply_to_folder, lambda made, base, out: write_edited(base, made, out)):
            with pytest.raises(OSError, match="No space"):
                write(made, base, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["plan.safetensors"]


def test_a_base_that_may_only_be_read_is_edited_and_its_copy_may_be_written(
    base: Path, made: EditPlan, tmp_path: Path
) -> None:
    locked = Path(shutil.copytree(base, tmp_path / "locked"))
    try:
        for path in [locked, *locked.rglob("*")]:
            path.chmod(0o555 if path.is_dir() else 0o444)
        apply_to_folder(made, locked, tmp_path / "edited")
        assemble(locked, {}, tmp_path / "bundle")
    finally:
        for path in [locked, *locked.rglob("*")]:
            path.chmod(0o755 if path.is_dir() else 0o644)
    for out in (tmp_path / "edited", tmp_path / "bundle"):
        assert all(path.stat().st_mode & stat.S_IWUSR for path in [out, *out.rglob("*")])


def test_what_is_called_like_a_half_written_folder_stays(base: Path, made: EditPlan, tmp_path: Path) -> None:
    shutil.copytree(base, tmp_path / "edited.part")
    apply_to_folder(made, tmp_path / "edited.part", tmp_path / "edited")
    assert folder_digest(tmp_path / "edited.part") == folder_digest(base)
    (tmp_path / "edit.safetensors.part").write_text("years of work")
    made.save(tmp_path / "edit.safetensors")
    assert (tmp_path / "edit.safetensors.part").read_text() == "years of work"
    assert {path.name for path in tmp_path.iterdir()} == {
        "edit.safetensors",
        "edit.safetensors.part",
        "edited",
        "edited.part",
    }


def test_wishes_that_make_no_sense_are_refused(saved: Path, base: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"there is no folder .*nowhere; make it first"):
        export(saved, "delta", tmp_path / "nowhere" / "edit")
    with pytest.raises(SettingError, match=r"format 'ckpt' .*single-file"):
        export(saved, "ckpt", tmp_path / "out", base)
    with pytest.raises(SettingError, match="name the base"):
        export(saved, "diffusers", tmp_path / "out")
    with pytest.raises(SettingError, match="a rank is for a LoRA"):
        export(saved, "delta", tmp_path / "out", rank=4)
    with pytest.raises(ModelFormatError, match="plan the edit again"):
        export(files(base)[0], "delta", tmp_path / "out")
    assert not (tmp_path / "out").exists()
