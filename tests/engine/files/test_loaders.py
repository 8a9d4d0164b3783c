"""Every layout that is accepted gives every loader the weights that were judged."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from torch import Tensor

from expunge.engine.models.load import open_model
from tests.engine import tiny
from tests.engine.files.test_hidden_weights import TEXT, UNET, old_names

PARTS = ("unet", "vae", "text_encoder")
Weights = dict[str, dict[str, Tensor]]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save(tmp_path_factory.mktemp("model") / "base")


def sharded(folder: Path) -> None:
    pipeline = open_model(folder)
    for part in PARTS:
        for file in (folder / part).glob("*.safetensors"):
            file.unlink()
        getattr(pipeline, part).save_pretrained(folder / part, max_shard_size="40KB")


def with_variant(folder: Path) -> None:
    pipeline = open_model(folder)
    for part in PARTS:
        getattr(pipeline, part).half().save_pretrained(folder / part, variant="fp16")


def with_variant_in_shards(folder: Path) -> None:
    pipeline = open_model(folder)
    for part in PARTS:
        getattr(pipeline, part).half().save_pretrained(folder / part, variant="fp16", max_shard_size="40KB")


def in_half(folder: Path) -> None:
    for part in PARTS:
        for file in (folder / part).glob("*.safetensors"):
            save_file({name: weight.half() for name, weight in load_file(file).items()}, file, {"format": "pt"})


def of_before(folder: Path) -> None:
    save_file(old_names(load_file(folder / TEXT)), folder / TEXT, {"format": "pt"})


LAYOUTS: dict[str, Callable[[Path], object]] = {
    "whole": lambda folder: None,
    "in shards": sharded,
    "with a variant": with_variant,
    "with a variant in shards": with_variant_in_shards,
    "in half precision": in_half,
    "with the names of before": of_before,
}


def of(pipeline: Any) -> Weights:
    return {part: dict(getattr(pipeline, part).state_dict()) for part in PARTS}


def as_pipeline(folder: Path, **more: Any) -> Weights:
    return of(diffusers.StableDiffusionPipeline.from_pretrained(folder, local_files_only=True, **more))


def by_the_index(folder: Path) -> Weights:
    return of(diffusers.DiffusionPipeline.from_pretrained(folder, local_files_only=True))


def part_by_part(folder: Path) -> Weights:
    kinds: dict[str, Any] = {
        "unet": diffusers.UNet2DConditionModel,
        "vae": diffusers.AutoencoderKL,
        "text_encoder": transformers.CLIPTextModel,
    }
    return {part: dict(kind.from_pretrained(folder / part).state_dict()) for part, kind in kinds.items()}


def by_subfolder(folder: Path) -> Weights:
    kinds: dict[str, Any] = {
        "unet": diffusers.AutoModel,
        "vae": diffusers.AutoModel,
        "text_encoder": transformers.AutoModel,
    }
    return {part: dict(kind.from_pretrained(str(folder), subfolder=part).state_dict()) for part, kind in kinds.items()}


def by_their_files(folder: Path) -> Weights:
    return {part: dict(_files(folder / part)) for part in PARTS}


def _files(folder: Path) -> Iterator[tuple[str, Tensor]]:
    for file in folder.glob("*.safetensors"):
        if ".fp16" not in file.name:
            yield from load_file(file).items()


LOADERS = (as_pipeline, by_the_index, part_by_part, by_subfolder, by_their_files)


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=list(LAYOUTS))
def test_every_loader_reads_what_was_judged(saved: Path, tmp_path: Path, layout: Callable[[Path], object]) -> None:
    folder = Path(shutil.copytree(saved, tmp_path / "model"))
    layout(folder)
    judged = of(open_model(folder))
    for loader in LOADERS:
        _check_same(loader(folder), judged)
    if list(folder.rglob("*.fp16*.safetensors")):
        _check_same(as_pipeline(folder, variant="fp16"), judged, torch.float16)


def _check_same(found: Weights, judged: Weights, stored: torch.dtype = torch.float32) -> None:
    """Everything that was found is what was judged, as it is stored, in the type in which the loader opens it."""
    for part, wanted in judged.items():
        own = {name.removeprefix("text_model."): weight for name, weight in found[part].items()}
        assert own.keys() == wanted.keys()
        for name, weight in wanted.items():
            assert torch.equal(own[name], weight.to(stored).to(own[name].dtype)), f"{part}.{name}"


def test_no_other_file_of_weights_is_there(saved: Path) -> None:
    assert {path.relative_to(saved).as_posix() for path in saved.rglob("*.safetensors")} == {
        *(UNET, TEXT, "vae/diffusion_pytorch_model.safetensors"),
    }
