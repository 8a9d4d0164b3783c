"""The edited denoiser goes into the base's pipeline, with every part that the supplier may have changed put back."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from expunge.engine.errors import ModelFormatError
from expunge.engine.files.digests import file_digest, files_by_name, folder_digest
from expunge.engine.files.exchanged import parts_unlike, write_exchanged
from expunge.engine.files.model_layout import INDEX
from expunge.engine.models.format import DENOISERS
from expunge.engine.models.load import open_model
from tests.engine import tiny


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save(tmp_path_factory.mktemp("base") / "base")


@pytest.fixture
def candidate(base: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(base, tmp_path / "candidate"))


def weights(folder: Path, part: str) -> Path:
    return next((folder / part).glob("*.safetensors"))


def alter(folder: Path, part: str) -> None:
    tensors = load_file(weights(folder, part))
    save_file({name: tensor + 1 for name, tensor in tensors.items()}, weights(folder, part), {"format": "pt"})


def rewrite(file: Path, **changes: object) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def test_an_edited_denoiser_alone_leaves_nothing_to_exchange(base: Path, candidate: Path) -> None:
    alter(candidate, "unet")
    (candidate / "README.md").write_text("a card")
    assert parts_unlike(base, candidate, DENOISERS) == []


@pytest.mark.parametrize(
    ("change", "part"),
    [
        (lambda model: alter(model, "text_encoder"), "text_encoder"),
        (lambda model: alter(model, "vae"), "vae"),
        (lambda model: rewrite(model / "tokenizer" / "tokenizer_config.json", pad_token="q"), "tokenizer"),
        (lambda model: rewrite(model / "scheduler" / "scheduler_config.json", beta_end=0.5), "scheduler"),
        (lambda model: rewrite(model / INDEX, tokenizer=["transformers", "PreTrainedTokenizerFast"]), "tokenizer"),
        (lambda model: rewrite(model / INDEX, force_zeros_for_empty_prompt=True), INDEX),
    ],
)
def test_every_other_change_is_one_that_may_hide_a_concept(
    base: Path, candidate: Path, change: Callable[[Path], None], part: str
) -> None:
    change(candidate)
    assert parts_unlike(base, candidate, DENOISERS) == [part]


def test_the_exchanged_model_is_the_base_but_for_the_denoiser(base: Path, candidate: Path, tmp_path: Path) -> None:
    for part in ("unet", "text_encoder", "vae"):
        alter(candidate, part)
    write_exchanged(base, candidate, DENOISERS, tmp_path / "out")
    model = open_model(tmp_path / "out", folder_digest(tmp_path / "out"))
    own, given, made = (files_by_name(folder) for folder in (base, candidate, tmp_path / "out"))
    assert made.keys() == own.keys()
    assert {name for name in made if file_digest(made[name]) != file_digest(own[name])} == {
        weights(candidate, "unet").relative_to(candidate).as_posix()
    }
    wanted = load_file(weights(candidate, "unet"))
    assert all(torch.equal(tensor, wanted[name]) for name, tensor in model.unet.state_dict().items())
    write_exchanged(base, base, DENOISERS, tmp_path / "out")
    assert folder_digest(tmp_path / "out") == folder_digest(base)
    assert file_digest(given["unet/config.json"]) == file_digest(own["unet/config.json"])


def test_a_denoiser_of_another_make_is_refused_and_nothing_is_written(
    base: Path, candidate: Path, tmp_path: Path
) -> None:
    rewrite(candidate / "unet" / "config.json", cross_attention_dim=99)
    with pytest.raises(ModelFormatError, match=r"unet is not configured as that of the base \(cross_attention_dim\)"):
        write_exchanged(base, candidate, DENOISERS, tmp_path / "out")
    assert not (tmp_path / "out").exists()
