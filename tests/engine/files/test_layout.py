"""A model folder holds the model once and nothing else: what an edit does not reach is refused, not published."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
from safetensors.torch import load_file, save_file
from transformers import CLIPConfig, CLIPImageProcessor

from expunge.engine.emoji import MODEL
from expunge.engine.errors import ModelFormatError
from expunge.engine.files.digests import files, folder_digest
from expunge.engine.files.model_layout import check_complete, check_layout
from expunge.engine.models.load import open_model
from expunge.engine.planning.closed_form import plan
from expunge.engine.plans.apply import write_edited
from expunge.engine.plans.edit_plan import EditPlan
from expunge.engine.plans.single_file import write_single_file
from expunge.engine.spec import EditSpec, Target
from tests.engine import tiny

UNET = "unet/diffusion_pytorch_model.safetensors"


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save(tmp_path_factory.mktemp("model") / "base")


@pytest.fixture(scope="module")
def made(saved: Path) -> EditPlan:
    return plan(open_model(saved), EditSpec((Target("cat", ("cat",)),), editor="uce"))


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / "copy"))


def refused(folder: Path, made: EditPlan, problem: str) -> None:
    """Opened it is not, nor named by a digest, nor copied."""
    for use in (open_model, folder_digest, lambda base: write_edited(base, made, base.with_name("out"))):
        with pytest.raises(ModelFormatError, match=problem):
            use(folder)
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


@pytest.mark.parametrize("name", ["v1-5-pruned-emaonly.safetensors", "flux1-dev.safetensors"])
def test_the_untouched_model_in_one_file_in_the_root_is_not_published(folder: Path, made: EditPlan, name: str) -> None:
    write_single_file(folder, folder / name)
    refused(folder, made, rf"holds {name}: .*published unedited; delete .*clean copy: .*save_pretrained\(NEW_FOLDER")


@pytest.mark.parametrize("name", ["Screenshot at 9.41.00\u202fAM.png", "docs\\card.md", "tokenizer/a\nb.txt"])
def test_a_name_that_no_manifest_can_have_is_refused_before_hours_of_proof(
    folder: Path, made: EditPlan, name: str
) -> None:
    (folder / name).write_text("a picture, say")
    refused(folder, made, rf"holds {re.escape(repr(name))}, with a sign .* rename or delete")


@pytest.mark.parametrize(
    "name",
    [
        "unet/diffusion_pytorch_model.non_ema.safetensors",
        "unet/model.safetensors",
        "text_encoder/diffusion_pytorch_model.safetensors",
        "scheduler/diffusion_pytorch_model.safetensors",
        "tokenizer/model.safetensors",
        "LICENSE.safetensors",
    ],
)
def test_weights_that_nobody_reads_are_not_published(folder: Path, made: EditPlan, name: str) -> None:
    shutil.copy(folder / UNET, folder / name)
    refused(folder, made, rf"holds {name}: ")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("unet/model.onnx", "unet/model.onnx"),
        ("unet/model.onnx_data", "unet/model.onnx_data"),
        ("unet/diffusion_flax_model.msgpack", "unet/diffusion_flax_model.msgpack"),
        ("unet/openvino_model.xml", "unet/openvino_model.xml"),
        ("unet/README.md", "unet/README.md"),
        ("unet/unet.py", "unet/unet.py"),
        ("text_encoder/tf_model.h5", "text_encoder/tf_model.h5"),
        ("model-q4.gguf", "model-q4.gguf"),
        (".git/lfs/objects/ab/cd/abcd1234", ".git/"),
        (".cache/huggingface/download/unet/config.json.metadata", ".cache/"),
        ("vae_1_0/config.json", "vae_1_0/"),
        ("unet/again/config.json", "unet/again/config.json"),
    ],
)
def test_what_is_no_part_of_the_model_is_refused(folder: Path, made: EditPlan, name: str, told: str) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("{}")
    refused(folder, made, rf"holds {told}: ")


def test_of_many_files_the_first_few_are_named_and_the_others_counted(folder: Path) -> None:
    (folder / ".cache").mkdir()
    for name in (".cache/a", ".cache/b", "a.onnx", "b.onnx", "c.onnx", "d.onnx"):
        (folder / name).touch()
    with pytest.raises(ModelFormatError, match=r"holds \.cache/, a\.onnx, b\.onnx and 2 more: "):
        open_model(folder)


def test_a_component_that_the_index_says_is_not_there_has_no_folder(folder: Path, made: EditPlan) -> None:
    assert json.loads((folder / "model_index.json").read_text())["safety_checker"] == [None, None]
    shutil.copytree(folder / "unet", folder / "safety_checker")
    refused(folder, made, "holds safety_checker/: ")


def test_words_and_pictures_for_people_may_lie_in_the_root(folder: Path) -> None:
    words = ("README.md", "LICENSE", "LICENSE.md", "LICENCE.txt", "NOTICE", "notes.txt", ".gitattributes")
    for name in (*words, "01.png", "sample.JPG"):
        (folder / name).write_text("for people")
    open_model(folder, folder_digest(folder))


def test_the_built_in_model_and_all_of_a_published_one_are_in_their_place(folder: Path) -> None:
    check_layout(MODEL, files(MODEL))
    check_complete(MODEL)
    shape = {"hidden_size": 8, "intermediate_size": 8, "num_attention_heads": 2, "num_hidden_layers": 1}
    eyes = CLIPConfig(text_config=shape, vision_config={**shape, "image_size": 8, "patch_size": 4}, projection_dim=8)
    StableDiffusionSafetyChecker(eyes).save_pretrained(folder / "safety_checker")
    CLIPImageProcessor().save_pretrained(folder / "feature_extractor")
    index = json.loads((folder / "model_index.json").read_text())
    index["safety_checker"] = ["stable_diffusion", "StableDiffusionSafetyChecker"]
    index["feature_extractor"] = ["transformers", "CLIPFeatureExtractor"]  # the name of old, as most folders have it
    (folder / "model_index.json").write_text(json.dumps(index))
    read = open_model(folder, folder_digest(folder))
    assert read.safety_checker is None
    assert read.feature_extractor is not None
    shutil.rmtree(folder / "safety_checker")
    assert open_model(folder).safety_checker is None


@pytest.fixture
def sharded(folder: Path) -> Path:
    pipeline = open_model(folder)
    (folder / UNET).unlink()
    pipeline.unet.save_pretrained(folder / "unet", max_shard_size="40KB")
    assert len(list((folder / "unet").glob("*.safetensors"))) > 2
    return folder


def test_shards_that_their_index_names_are_opened_and_edited(saved: Path, made: EditPlan, sharded: Path) -> None:
    write_edited(sharded, made, sharded.with_name("out"))
    read, whole = open_model(sharded.with_name("out")).unet.state_dict(), load_file(saved / UNET)
    changed = {f"unet.{name}" for name, weight in read.items() if not torch.equal(weight, whole[name])}
    assert changed == made.deltas.keys()


def test_shards_are_all_there_are_all_named_and_lie_in_the_folder(made: EditPlan, sharded: Path) -> None:
    shard = min((sharded / "unet").glob("*.safetensors"))
    index = sharded / "unet" / "diffusion_pytorch_model.safetensors.index.json"
    spare = shard.with_name("diffusion_pytorch_model-00009-of-00009.safetensors")
    shutil.copy(shard, spare)
    refused(sharded, made, rf"holds unet/{spare.name}: ")
    spare.unlink()
    shard.rename(sharded.parent / shard.name)
    with pytest.raises(ModelFormatError, match=rf"{shard.name} is missing, a shard"):
        open_model(sharded)
    index.write_text(index.read_text().replace(shard.name, f"../../{shard.name}"))
    with pytest.raises(ModelFormatError, match="does not say which safetensors files"):
        open_model(sharded)
    save_file({"a": torch.ones(1)}, sharded / UNET)
    with pytest.raises(ModelFormatError, match=r"holds diffusion_pytorch_model\.safetensors and shards of it"):
        open_model(sharded)


@pytest.mark.parametrize("poisoned", [True, False], ids=["the one that the index names", "the other"])
def test_attack_a_second_shard_holds_the_weight_of_before_the_edit(
    made: EditPlan, sharded: Path, poisoned: bool
) -> None:
    index = sharded / "unet" / "diffusion_pytorch_model.safetensors.index.json"
    told = json.loads(index.read_text())
    key = min(made.deltas).removeprefix("unet.")
    own = told["weight_map"][key]
    other = next(name for name in sorted(told["weight_map"].values()) if name != own)
    weight = load_file(sharded / "unet" / own)[key]
    save_file(
        {**load_file(sharded / "unet" / other), key: weight - made.deltas[f"unet.{key}"]}, sharded / "unet" / other
    )
    if poisoned:
        told["weight_map"][key] = other
        index.write_text(json.dumps(told))
    for use in (open_model, check_complete, lambda base: write_edited(base, made, base.with_name("out"))):
        with pytest.raises(ModelFormatError, match=rf"holds {key}, which by {index.name} lies in .*has another model"):
            use(sharded)
    assert not sharded.with_name("out").exists()


def test_attack_a_shard_holds_what_its_index_does_not_name(made: EditPlan, sharded: Path) -> None:
    index = sharded / "unet" / "diffusion_pytorch_model.safetensors.index.json"
    told = json.loads(index.read_text())
    del told["weight_map"][min(made.deltas).removeprefix("unet.")]
    index.write_text(json.dumps(told))
    with pytest.raises(ModelFormatError, match="lies in no shard"):
        write_edited(sharded, made, sharded.with_name("out"))
