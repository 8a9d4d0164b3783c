"""A model is its base with an edit and nothing else, or what else it is is named."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from expunge.engine.errors import ModelFormatError
from expunge.engine.models.load import open_model
from expunge.engine.planning.closed_form import plan
from expunge.engine.plans.apply import write_edited
from expunge.engine.plans.diff import departures
from expunge.engine.plans.edit_plan import EditPlan
from expunge.engine.spec import EditSpec, Target
from tests.engine.rewritten import rewrite
from tests.engine.tiny import pipeline

SPEC = EditSpec((Target("cat", ("cat",)),), settings={"general_words": 20})
UNET = "unet/diffusion_pytorch_model.safetensors"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base") / "model"
    pipeline().save_pretrained(folder)
    pipeline().unet.half().save_pretrained(folder / "unet", variant="fp16")
    return folder


@pytest.fixture(scope="module")
def made(base: Path) -> EditPlan:
    return plan(open_model(base), SPEC)


@pytest.fixture
def edited(base: Path, made: EditPlan, tmp_path: Path) -> Path:
    write_edited(base, made, tmp_path / "edited")
    return tmp_path / "edited"


def test_what_was_written_is_the_base_with_the_edit(base: Path, made: EditPlan, edited: Path) -> None:
    assert list(departures(edited, base, made.deltas)) == []
    assert list(departures(base, base, {})) == []


def test_how_a_file_of_weights_is_laid_out_makes_no_difference(base: Path, made: EditPlan, edited: Path) -> None:
    before = (edited / UNET).read_bytes()
    rewrite(edited / UNET, lambda tensors: None, "another")
    assert (edited / UNET).read_bytes() != before
    assert list(departures(edited, base, made.deltas)) == []


def test_attack_the_edit_is_left_out(base: Path, made: EditPlan) -> None:
    told = list(departures(base, base, made.deltas))
    assert len(told) == 2 * len(made.deltas), "in both variants"
    assert all(line.endswith("is not the base's with the edit added") for line in told)


def test_attack_the_edit_is_left_out_of_a_variant(base: Path, made: EditPlan, edited: Path) -> None:
    half = "unet/diffusion_pytorch_model.fp16.safetensors"
    shutil.copyfile(base / half, edited / half)
    told = list(departures(edited, base, made.deltas))
    assert len(told) == len(made.deltas)
    assert all(f"in {half} is not the base's with the edit added" in line for line in told)


@pytest.mark.parametrize("edits", [True, False], ids=["a weight of the edit", "another weight"])
def test_attack_one_weight_is_moved_by_its_last_bit(base: Path, made: EditPlan, edited: Path, edits: bool) -> None:
    names = {name.removeprefix("unet.") for name in made.deltas}
    with safe_open(edited / UNET, "pt") as handle:
        name = next(key for key in handle.keys() if (key in names) is edits)  # noqa: SIM118 - it is no dict

    def move(tensors: dict[str, torch.Tensor]) -> None:
        flat = tensors[name].flatten()
        flat[-1] = torch.nextafter(flat[-1], torch.tensor(torch.inf))
        tensors[name] = flat.reshape(tensors[name].shape)

    rewrite(edited / UNET, move)
    assert list(departures(edited, base, made.deltas)) == [
        f"unet.{name} in {UNET} is not the base's{' with the edit added' if edits else ''}"
    ]


def test_attack_a_weight_is_kept_under_another_type(base: Path, edited: Path, made: EditPlan) -> None:
    rewrite(edited / UNET, lambda tensors: tensors.update({"conv_in.bias": tensors["conv_in.bias"].double()}))
    assert list(departures(edited, base, made.deltas)) == [f"unet.conv_in.bias in {UNET} is not the base's"]


def test_attack_weights_are_added_or_taken_away(base: Path, edited: Path, made: EditPlan) -> None:
    rewrite(edited / UNET, lambda tensors: tensors.update({"more": tensors.pop("conv_in.bias")}))
    assert list(departures(edited, base, made.deltas)) == [
        f"unet.conv_in.bias in {UNET} is not the base's",
        f"unet.more in {UNET} is not the base's",
    ]


def test_attack_another_file_is_changed_added_or_taken_away(base: Path, edited: Path, made: EditPlan) -> None:
    config = edited / "scheduler" / "scheduler_config.json"
    config.write_text(config.read_text() + " ")
    (edited / "README.md").write_text("more")
    (edited / "unet" / "diffusion_pytorch_model.fp16.safetensors").unlink()
    assert list(departures(edited, base, made.deltas)) == [
        "it has no unet/diffusion_pytorch_model.fp16.safetensors, which its base has",
        "it has README.md, which its base has not",
        "scheduler/scheduler_config.json is not the base's",
    ]


def test_what_the_edit_changes_has_to_be_there(base: Path) -> None:
    assert list(departures(base, base, {"unet.nowhere": torch.ones(1)})) == [
        "unet.nowhere, which the edit changes, is not in it"
    ]


def test_no_whole_model_is_refused(base: Path, edited: Path, made: EditPlan) -> None:
    (edited / UNET).unlink()
    with pytest.raises(ModelFormatError, match=r"holds its weights only as the variant fp16"):
        list(departures(base, edited, made.deltas))


def test_attack_a_base_has_a_variant_from_which_the_edit_comes_out_as_what_was_before(
    base: Path, made: EditPlan, tmp_path: Path
) -> None:
    """Its sum is the base's with the edit added, to the bit, and draws what was erased."""
    other = shutil.copytree(base, tmp_path / "base")
    undoing = {name.removeprefix("unet."): delta for name, delta in made.deltas.items()}
    variant = other / UNET.replace(".safetensors", ".fp16.safetensors")
    rewrite(variant, lambda held: held.update({name: held[name] - delta.half() for name, delta in undoing.items()}))
    with pytest.raises(ModelFormatError, match="of the variant fp16 is not that of"):
        list(departures(other, other, {}))
