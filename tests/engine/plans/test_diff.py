"""A candidate is its base with the declared edit and nothing else, or every file in which it is more is named."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from expunge.engine.editors.declared import projection_names, undeclared
from expunge.engine.errors import EditError, ModelFormatError
from expunge.engine.files.comparison import Comparison, Difference
from expunge.engine.models.load import open_model
from expunge.engine.planning.closed_form import plan
from expunge.engine.plans.apply import write_edited
from expunge.engine.plans.diff import compare
from expunge.engine.plans.edit_plan import EditPlan
from expunge.engine.spec import EditSpec, Target
from tests.engine import tiny
from tests.engine.files.rewritten import rewrite

SPEC = EditSpec((Target("cat", ("cat",)),), settings={"general_words": 20})
UNET = "unet/diffusion_pytorch_model.safetensors"
HALF = "unet/diffusion_pytorch_model.fp16.safetensors"
TEXT = "text_encoder/model.safetensors"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base with its denoiser in a second variant."""
    folder = tiny.save(tmp_path_factory.mktemp("base") / "model")
    tiny.pipeline().unet.half().save_pretrained(folder / "unet", variant="fp16")
    return folder


@pytest.fixture(scope="module")
def made(base: Path) -> EditPlan:
    return plan(open_model(base), SPEC)


@pytest.fixture(scope="module")
def written(base: Path, made: EditPlan, tmp_path_factory: pytest.TempPathFactory) -> Path:
    write_edited(base, made, folder := tmp_path_factory.mktemp("written") / "edited")
    return folder


@pytest.fixture
def edited(written: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(written, tmp_path / "edited"))


def told(found: Comparison) -> list[str]:
    return [str(difference) for difference in found.differences]


def nudge(file: Path, name: str) -> None:
    """Move one weight by its last bit."""

    def move(tensors: dict[str, torch.Tensor]) -> None:
        flat = tensors[name].flatten()
        flat[-1] = torch.nextafter(flat[-1], torch.tensor(torch.inf, dtype=flat.dtype))
        tensors[name] = flat.reshape(tensors[name].shape)

    rewrite(file, move)


def swap_meanings(folder: Path) -> None:
    """The embedding of `dog` is that of `cat`, and the other way round."""
    words = tiny.tokenizer()(["cat", "dog"], add_special_tokens=False)["input_ids"]
    rows = [row for (row,) in words]

    def swap(tensors: dict[str, torch.Tensor]) -> None:
        (name,) = (name for name in tensors if name.endswith("token_embedding.weight"))
        tensors[name][rows] = tensors[name][rows[::-1]].clone()

    rewrite(folder / TEXT, swap)


def test_what_was_written_is_the_base_with_the_edit(base: Path, made: EditPlan, written: Path) -> None:
    assert compare(written, base, made.deltas) == Comparison(declared=True)
    assert list(undeclared(made, base)) == []
    assert compare(base, base, {}) == Comparison(declared=True, unchanged=("unet",))


def test_an_honest_edit_from_outside_has_no_difference(base: Path, written: Path, tmp_path: Path) -> None:
    """Nobody knows the edit, and the denoiser may be saved in another type and cut into shards."""
    assert compare(written, base) == Comparison(declared=False)
    folder = Path(shutil.copytree(written, tmp_path / "sharded"))
    denoiser = open_model(folder).unet.bfloat16()
    (folder / UNET).unlink()
    (folder / HALF).unlink()
    denoiser.save_pretrained(folder / "unet", max_shard_size="40KB")
    shutil.copy(base / "unet" / "config.json", folder / "unet" / "config.json")
    assert compare(folder, base) == Comparison(declared=False)


def test_how_a_file_of_weights_is_laid_out_makes_no_difference(base: Path, made: EditPlan, edited: Path) -> None:
    before = (edited / UNET).read_bytes()
    with safe_open(edited / UNET, "pt") as handle:
        held = {name: handle.get_tensor(name) for name in handle.keys()}  # noqa: SIM118 - it is no dict
    rewrite(edited / UNET, lambda tensors: None, "pt")
    content = (edited / UNET).read_bytes()
    assert held.keys() == load_file(edited / UNET).keys()
    assert compare(edited, base, made.deltas).differences == ()
    assert len(content) == len(before)


def test_attack_the_edit_is_left_out(base: Path, made: EditPlan) -> None:
    found = compare(base, base, made.deltas)
    assert found.unchanged == ("unet",)
    (problem,) = told(found)
    assert problem.startswith(f"{UNET} holds {len(made.deltas)} weights that are not the base's with the edit added: ")


def test_attack_the_edit_is_left_out_of_a_variant(base: Path, made: EditPlan, edited: Path) -> None:
    shutil.copyfile(base / HALF, edited / HALF)
    for deltas in (made.deltas, None):
        with pytest.raises(ModelFormatError, match=r"of the variant fp16 is not that of .*, so nobody judged it"):
            compare(edited, base, deltas)


@pytest.mark.parametrize("edits", [True, False], ids=["a weight of the edit", "another weight"])
def test_attack_one_weight_is_moved_by_its_last_bit(base: Path, made: EditPlan, edited: Path, edits: bool) -> None:
    (edited / HALF).unlink()
    name = next(key for key in load_file(edited / UNET) if (f"unet.{key}" in made.deltas) is edits)
    nudge(edited / UNET, name)
    assert told(compare(edited, base, made.deltas)) == [
        f"{HALF} is missing, which the base has",
        f"{UNET} holds 1 weights that are not the base's{' with the edit added' if edits else ''}: {name}",
    ]


def test_attack_a_weight_is_kept_under_another_type(base: Path, edited: Path, made: EditPlan) -> None:
    name = next(iter(load_file(edited / TEXT)))
    rewrite(edited / TEXT, lambda tensors: tensors.update({name: tensors[name].double()}))
    assert told(compare(edited, base, made.deltas)) == [f"{TEXT} holds 1 weights that are not the base's: {name}"]
    assert told(compare(edited, base)) == [f"{TEXT} holds 1 weights that are not the base's: {name}"]


@pytest.mark.parametrize("declared", [True, False])
def test_attack_words_of_the_text_encoder_change_their_meaning(
    base: Path, edited: Path, made: EditPlan, declared: bool
) -> None:
    swap_meanings(edited)
    (found,) = compare(edited, base, made.deltas if declared else None).differences
    assert (found.component, found.file) == ("text_encoder", TEXT)
    assert "token_embedding" in found.problem


@pytest.mark.parametrize("harm", ["nothing", "swapped words", "half precision", "in shards"])
def test_attack_an_unedited_denoiser_is_handed_in(base: Path, tmp_path: Path, harm: str) -> None:
    folder = Path(shutil.copytree(base, tmp_path / "same"))
    (folder / HALF).unlink()
    match harm:
        case "swapped words":
            swap_meanings(folder)
        case "half precision":
            rewrite(folder / UNET, lambda held: held.update({name: weight.half() for name, weight in held.items()}))
        case "in shards":
            denoiser = open_model(folder).unet
            (folder / UNET).unlink()
            denoiser.save_pretrained(folder / "unet", max_shard_size="40KB")
            shutil.copy(base / "unet" / "config.json", folder / "unet" / "config.json")
    assert compare(folder, base).unchanged == ("unet",)


def _config(file: str, **fields: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / file
        path.write_text(json.dumps(json.loads(path.read_text()) | fields))

    return change


def _tokens(folder: Path) -> None:
    """The tokenizer reads `cat` as `dog`."""
    path = folder / "tokenizer" / "tokenizer.json"
    read = json.loads(path.read_text())
    words = read["model"]["vocab"]
    words["cat</w>"], words["dog</w>"] = words["dog</w>"], words["cat</w>"]
    path.write_text(json.dumps(read))


CHANGED: dict[str, tuple[str, str, Callable[[Path], object]]] = {
    "the scheduler samples otherwise": (
        "scheduler",
        "scheduler/scheduler_config.json",
        _config("scheduler/scheduler_config.json", prediction_type="v_prediction"),
    ),
    "pictures are scaled to black": ("vae", "vae/config.json", _config("vae/config.json", scaling_factor=1e5)),
    "the forward pass is another": ("unet", "unet/config.json", _config("unet/config.json", flip_sin_to_cos=False)),
    "a bit of the autoencoder": (
        "vae",
        "vae/diffusion_pytorch_model.safetensors",
        lambda folder: nudge(folder / "vae/diffusion_pytorch_model.safetensors", "quant_conv.bias"),
    ),
    "merges are swapped": ("tokenizer", "tokenizer/tokenizer.json", _tokens),
    "a checker blackens pictures": ("", "model_index.json", _config("model_index.json", requires_safety_checker=True)),
    "a tokenizer's file is added": (
        "tokenizer",
        "tokenizer/added_tokens.json",
        lambda folder: (folder / "tokenizer/added_tokens.json").write_text('{"cat": 1}'),
    ),
}


@pytest.mark.parametrize("declared", [True, False])
@pytest.mark.parametrize(("component", "file", "change"), CHANGED.values(), ids=list(CHANGED))
def test_attack_another_file_is_changed_or_added(
    base: Path,
    edited: Path,
    made: EditPlan,
    component: str,
    file: str,
    change: Callable[[Path], object],
    declared: bool,
) -> None:
    change(edited)
    (found,) = compare(edited, base, made.deltas if declared else None).differences
    assert (found.component, found.file) == (component, file)


def test_a_file_that_is_missing_is_named(base: Path, edited: Path, made: EditPlan) -> None:
    (edited / HALF).unlink()
    assert told(compare(edited, base, made.deltas)) == [f"{HALF} is missing, which the base has"]
    assert told(compare(edited, base)) == []


def test_what_the_edit_changes_has_to_be_there(base: Path) -> None:
    (found,) = told(compare(base, base, {"unet.nowhere": torch.ones(1)}))
    assert "unet.nowhere, which the edit changes" in found


def test_no_whole_model_is_refused(base: Path, edited: Path, made: EditPlan) -> None:
    (edited / UNET).unlink()
    with pytest.raises(ModelFormatError, match=r"holds its weights only as the variant fp16"):
        compare(base, edited, made.deltas)


def test_an_edit_that_is_not_finite_cannot_be_compared(base: Path, made: EditPlan) -> None:
    name = next(iter(made.deltas))
    with pytest.raises(EditError, match="not finite"):
        compare(base, base, {name: made.deltas[name] * torch.nan})


def test_attack_a_plan_declares_the_words_of_the_text_encoder(base: Path, made: EditPlan, tmp_path: Path) -> None:
    """Its sum is right to the bit; no editor in closed form may touch anything but the projections."""
    name = "text_encoder." + next(key for key in load_file(base / TEXT) if "token_embedding" in key)
    table = load_file(base / TEXT)[name.removeprefix("text_encoder.")]
    reaching = replace(made, deltas={**made.deltas, name: torch.ones_like(table)})
    write_edited(base, reaching, tmp_path / "edited")
    assert compare(tmp_path / "edited", base, reaching.deltas).differences == ()
    assert list(undeclared(reaching, base)) == [
        Difference("text_encoder", "deltas.safetensors", f"changes {name}, which the editor scapre does not declare")
    ]


@pytest.mark.parametrize(
    ("editor", "settings", "further"),
    [
        ("uce", {}, ["unet.conv_in.bias", "unet.mid_block.attentions.0.transformer_blocks.0.attn2.to_q.weight"]),
        ("esd", {}, ["unet.conv_in.bias"]),
        ("salun", {"parameters": "cross-attention"}, ["unet.conv_in.bias"]),
        ("salun", {"parameters": "full"}, []),
    ],
)
def test_an_editor_declares_what_it_may_change(
    base: Path, made: EditPlan, editor: str, settings: dict[str, str], further: list[str]
) -> None:
    query = "unet.mid_block.attentions.0.transformer_blocks.0.attn2.to_q.weight"
    reach = {**made.deltas, "unet.conv_in.bias": torch.ones(1), query: torch.ones(1)}
    found = list(undeclared(replace(made, deltas=reach, editor=editor, settings=settings), base))
    assert [each.component for each in found] == (["unet"] if further else [])
    assert all(name in found[0].problem for name in further)
    outside = replace(made, deltas={"vae.quant_conv.bias": torch.ones(1)}, editor=editor, settings=settings)
    assert [each.component for each in undeclared(outside, base)] == ["vae"]


def test_a_plan_of_an_editor_that_is_not_known_cannot_be_compared(base: Path, made: EditPlan) -> None:
    with pytest.raises(EditError, match="of the editor 'nobody', which this version does not know"):
        list(undeclared(replace(made, editor="nobody"), base))


def test_projections_are_named_without_a_weight(base: Path, made: EditPlan) -> None:
    assert projection_names(base) >= made.deltas.keys()
