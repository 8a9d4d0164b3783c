"""A base's folder is edited whole, in every variant and in its own type, or nothing is written."""

from __future__ import annotations

import shutil
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from expunge.engine.errors import DigestMismatch, EditError, ModelFormatError, SettingError, UnknownArchitecture
from expunge.engine.files.bundle import assemble
from expunge.engine.files.digests import folder_digest
from expunge.engine.models.load import open_model
from expunge.engine.planning.closed_form import plan
from expunge.engine.plans.edit_plan import EditPlan
from expunge.engine.plans.export import apply_to_folder, check_base, export
from tests.engine import tiny
from tests.engine.families import tiny_families
from tests.engine.plans.exported import SPEC, edited, same
from tests.engine.plans.rounding import of_weights


def test_the_folder_opens_as_the_edited_model(base: Path, made: EditPlan, saved: Path, tmp_path: Path) -> None:
    result = export(saved, "diffusers", tmp_path / "out", base)
    assert result.rounding.keys() == made.deltas.keys()
    same(open_model(tmp_path / "out"), edited(base, made))


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

    monkeypatch.setattr("expunge.engine.plans.export.open_model", opened)
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
