"""A model opens only as complete safetensors with the digest it should have."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import load_file, save_file

from expunge.engine.errors import DigestMismatch, ModelFormatError, UnknownArchitecture
from expunge.engine.files.digests import file_digest, folder_digest
from expunge.engine.files.tensor_files import tensor_digest
from expunge.engine.models.load import open_model
from tests.engine import tiny
from tests.engine.files.rewritten import rewrite


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save(tmp_path_factory.mktemp("model") / "base")


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / "copy"))


def weights(folder: Path) -> Path:
    return folder / "unet" / "diffusion_pytorch_model.safetensors"


def test_opens_by_digest_and_draws(saved: Path):
    pipeline = open_model(saved, expected=folder_digest(saved))
    assert pipeline.safety_checker is None
    picture = pipeline("cat", num_inference_steps=1, output_type="np", height=16, width=16).images[0]
    assert picture.max() > 0


def test_a_model_is_laid_out_for_speed_and_saved_as_it_came(saved: Path, tmp_path: Path):
    """To draw with channels last is a choice of this process; a file must not differ by it."""
    pipeline = open_model(saved)
    assert pipeline.unet.conv_in.weight.is_contiguous(memory_format=torch.channels_last)
    pipeline.unet.save_pretrained(tmp_path / "unet")
    assert file_digest(tmp_path / "unet" / weights(saved).name) == file_digest(weights(saved))


def test_opens_in_half_precision(saved: Path):
    assert open_model(saved, dtype=torch.bfloat16).unet.dtype == torch.bfloat16


def test_copies_have_one_digest_and_a_flipped_byte_another(saved: Path, folder: Path):
    assert folder_digest(folder) == folder_digest(saved)
    raw = bytearray(weights(folder).read_bytes())
    raw[-100] ^= 1
    weights(folder).write_bytes(raw)
    open_model(folder)  # the flipped bit itself is not seen by the format
    with pytest.raises(DigestMismatch, match="fetch the base model again"):
        open_model(folder, expected=folder_digest(saved))


def test_an_extra_file_is_another_model(saved: Path, folder: Path):
    (folder / "extra.txt").write_text("x")
    with pytest.raises(DigestMismatch):
        open_model(folder, expected=folder_digest(saved))


def test_of_pickles_that_are_never_read_the_cure_is_to_delete_them(folder: Path) -> None:
    """The clean copy of diffusers fails on them."""
    (folder / "safety_checker").mkdir()
    (folder / "safety_checker" / "pytorch_model.bin").write_bytes(b"\x80\x04N.")
    with pytest.raises(ModelFormatError, match="delete safety_checker, which is never read"):
        open_model(folder)
    (folder / "model.bin").write_bytes(b"\x80\x04N.")
    with pytest.raises(ModelFormatError, match="convert them to safetensors"):
        open_model(folder)


@pytest.mark.parametrize("name", ["model.bin", "model.ckpt", "unet/model.pt", "model.PTH", "model.pkl"])
def test_pickles_are_refused(folder: Path, name: str):
    (folder / name).write_bytes(b"\x80\x04N.")
    with pytest.raises(ModelFormatError, match=f"holds pickles.*: {name};"):
        open_model(folder)


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "Git LFS pointer"),
        (b"<!DOCTYPE html><html>sign in</html>", "web page"),
        (b"", "no whole safetensors file"),
        (b"\x02\x00\x00\x00\x00\x00\x00\x00{}", "it holds no tensor"),
        (b"\x40\x00\x00\x00\x00\x00\x00\x00not json", "no whole safetensors file"),
        (b"\x08\x00\x00\x00\x00\x00\x00\x00not json", "no whole safetensors file"),
    ],
)
def test_bodies_that_are_not_weights_are_refused(folder: Path, body: bytes, problem: str):
    weights(folder).write_bytes(body)
    with pytest.raises(ModelFormatError, match=problem):
        open_model(folder)


@pytest.mark.parametrize("change", [lambda raw: raw[:-1], lambda raw: raw + b"\0"])
def test_truncated_or_trailing_bytes_are_refused(folder: Path, change):
    weights(folder).write_bytes(change(weights(folder).read_bytes()))
    with pytest.raises(ModelFormatError, match="no whole safetensors file"):
        open_model(folder)


def test_symlinks_are_refused(saved: Path, folder: Path):
    weights(folder).unlink()
    weights(folder).symlink_to(weights(saved))
    for use in (open_model, folder_digest):
        with pytest.raises(ModelFormatError, match="symbolic link"):
            use(folder)


def test_folders_that_are_not_models_are_refused(folder: Path, tmp_path: Path):
    with pytest.raises(ModelFormatError, match="is not a folder"):
        open_model(tmp_path / "nowhere")
    index = folder / "model_index.json"
    index.write_text(index.read_text().replace("StableDiffusionPipeline", "KandinskyPipeline"))
    with pytest.raises(UnknownArchitecture, match="KandinskyPipeline"):
        open_model(folder)
    index.unlink()
    with pytest.raises(ModelFormatError, match=r"model_index\.json"):
        open_model(folder)


@pytest.mark.parametrize(
    ("file", "key"),
    [
        ("text_encoder/model.safetensors", "encoder.layers.1.mlp.fc1.weight"),  # once made up at random, in silence
        ("unet/diffusion_pytorch_model.safetensors", "conv_in.weight"),
        ("vae/diffusion_pytorch_model.safetensors", "decoder.conv_in.bias"),
    ],
)
def test_a_weight_that_is_not_in_the_file_is_refused_by_name(folder: Path, file: str, key: str):
    rewrite(folder / file, lambda tensors: tensors.pop(key))
    with pytest.raises(ModelFormatError, match=rf"{Path(file).parent} lacks the weights {key}; download it again"):
        open_model(folder)


def test_attack_a_denoisers_file_holds_what_no_edit_would_reach(folder: Path):
    """diffusers leaves fused copies of the matrices among those that are saved."""
    model = open_model(folder)
    model.unet.fuse_qkv_projections()
    model.unet.unfuse_qkv_projections()
    model.save_pretrained(folder)
    with pytest.raises(ModelFormatError, match=r"unet holds .*to_qkv.* which a UNet2DConditionModel does not read"):
        open_model(folder)


@pytest.mark.parametrize("dtype", [torch.float8_e5m2, torch.float8_e4m3fn, torch.int8])
@pytest.mark.parametrize("variant", ["", ".fp16"])
def test_a_denoiser_stored_in_too_few_bits_for_an_edit_is_refused_before_it_is_opened(
    folder: Path, dtype: torch.dtype, variant: str, monkeypatch: pytest.MonkeyPatch
):
    """Opened it is float32, in which nothing tells that the edit will be lost where it is written back."""
    stored = weights(folder).with_suffix(f"{variant}.safetensors")
    if variant:
        shutil.copy(weights(folder), stored)
    rewrite(
        stored, lambda tensors: tensors.update({name: t.to(dtype) for name, t in tensors.items() if "attn2" in name})
    )
    monkeypatch.setattr(UNet2DConditionModel, "from_pretrained", None)
    with pytest.raises(UnknownArchitecture, match=rf"{stored.name} holds .*attn2.* as .*8.*, too few bits for an edit"):
        open_model(folder)


@pytest.mark.parametrize("part", ["text_encoder", "unet"])
def test_a_quantised_part_is_refused_with_the_cure(folder: Path, part: str):
    """Its weights say nothing of it, and the library that reads them is another."""
    config = folder / part / "config.json"
    said = json.loads(config.read_text())
    config.write_text(
        json.dumps(said | {"quantization_config": {"quant_method": "bitsandbytes", "load_in_8bit": True}})
    )
    with pytest.raises(UnknownArchitecture, match=f"{part} is quantised .*; take the .* with its plain weights"):
        open_model(folder)
    config.write_text(json.dumps(said | {"quantization_config": None}))
    open_model(folder)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_a_denoiser_is_opened_from_every_type_that_an_edit_is_written_in(folder: Path, dtype: torch.dtype):
    rewrite(weights(folder), lambda tensors: tensors.update({name: t.to(dtype) for name, t in tensors.items()}))
    assert open_model(folder).unet.dtype == torch.float32


@pytest.mark.parametrize("file", ["text_encoder/model.safetensors", "unet/diffusion_pytorch_model.safetensors"])
def test_a_weight_of_another_shape_is_refused(folder: Path, file: str):
    rewrite(folder / file, lambda tensors: tensors.update({max(tensors): torch.zeros(7, 7)}))
    with pytest.raises(ModelFormatError, match=r"does not open \(.*\); download it again"):
        open_model(folder)


@pytest.mark.parametrize(
    ("lost", "problem"),
    [
        ("vae", r"no folder vae, which model_index\.json names"),
        ("tokenizer", r"no folder tokenizer, which"),
        ("unet/diffusion_pytorch_model.safetensors", r"unet holds no diffusion_pytorch_model\.safetensors"),
        ("unet/config.json", "does not open"),
        ("scheduler/scheduler_config.json", "does not open"),
        ("tokenizer/tokenizer.json", r"tokenizer lacks vocab\.json and merges\.txt"),
        ("tokenizer/tokenizer_config.json", r"tokenizer lacks tokenizer_config\.json"),
    ],
)
def test_a_part_that_is_missing_is_refused_before_a_prompt_is_read(folder: Path, lost: str, problem: str):
    shutil.rmtree(folder / lost) if (folder / lost).is_dir() else (folder / lost).unlink()
    with pytest.raises(ModelFormatError, match=problem):
        open_model(folder)


@pytest.mark.parametrize(
    ("name", "body", "problem"),
    [
        ("unet/config.json", "{", "cannot be read as JSON"),
        ("tokenizer/tokenizer.json", '{"model": 1}', "does not open"),
        ("model_index.json", "[]", r"no readable model_index\.json"),
        ("model_index.json", '{"_class_name": 1}', "names no pipeline"),
    ],
)
def test_a_configuration_that_says_nothing_is_refused(folder: Path, name: str, body: str, problem: str):
    (folder / name).write_text(body)
    with pytest.raises(ModelFormatError, match=problem):
        open_model(folder)


def index_with(folder: Path, **changed: object) -> None:
    path = folder / "model_index.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changed))


def test_a_component_of_an_unknown_class_or_of_no_use_is_refused(folder: Path):
    index_with(folder, unet=["their_unet", "TheirUNet"])
    with pytest.raises(ModelFormatError, match=r"unet is a their_unet\.TheirUNet .*neither diffusers .* has it"):
        open_model(folder)
    shutil.copytree(folder / "unet", folder / "spare_unet")
    index_with(folder, unet=["diffusers", "UNet2DConditionModel"], spare_unet=["diffusers", "UNet2DConditionModel"])
    with pytest.raises(ModelFormatError, match="spare_unet is no part of a StableDiffusionPipeline"):
        open_model(folder)


def test_weights_of_a_variant_only_are_refused_with_the_cure(tmp_path: Path):
    tiny.pipeline().save_pretrained(tmp_path / "half", variant="fp16")
    with pytest.raises(
        ModelFormatError, match=r'only as the variant fp16; .*from_pretrained\(FOLDER, variant="fp16"\)'
    ):
        open_model(tmp_path / "half")


def test_names_of_older_libraries_are_no_missing_weights(saved: Path, folder: Path):
    """Published checkpoints still have them: the autoencoder's attention, the encoder's prefix and a buffer."""
    renamed = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    vae, text = folder / "vae" / weights(folder).name, folder / "text_encoder" / "model.safetensors"
    stored = {
        next((name.replace(new, old) for new, old in renamed.items() if f".{new}." in name), name): tensor
        for name, tensor in load_file(vae).items()
    }
    assert stored.keys() != load_file(vae).keys()
    save_file(stored, vae, {"format": "pt"})
    prefixed = {f"text_model.{name}": tensor for name, tensor in load_file(text).items()}
    save_file(
        prefixed | {"text_model.embeddings.position_ids": torch.arange(tiny.TOKENS)[None]}, text, {"format": "pt"}
    )
    read, expected = open_model(folder), open_model(saved)
    for part in ("vae", "text_encoder"):
        assert tensor_digest(getattr(read, part).state_dict()) == tensor_digest(getattr(expected, part).state_dict())


def test_tensor_digest_knows_name_type_shape_and_bytes():
    ones = torch.ones(2, 3)
    digest = tensor_digest({"a": ones, "b": torch.zeros(1)})
    assert digest == tensor_digest({"b": torch.zeros(1), "a": ones.T.contiguous().T})
    others = [{"c": ones}, {"a": ones.T}, {"a": ones.half()}, {"a": torch.nextafter(ones, 2 * ones)}, {"a": ones}]
    assert len({tensor_digest(other) for other in others} | {digest}) == 6
    assert len(tensor_digest({"half": torch.ones(3, dtype=torch.bfloat16)})) == 64
