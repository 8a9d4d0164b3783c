"""A model folder says one thing to every loader: no weight, class or file that one reads and another passes over."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from expunge.engine.errors import ModelFormatError
from expunge.engine.models.load import open_model
from tests.engine import tiny
from tests.engine.families.tiny_families import flux
from tests.engine.files.rewritten import rewrite

UNET = "unet/diffusion_pytorch_model.safetensors"
VAE = "vae/diffusion_pytorch_model.safetensors"
TEXT = "text_encoder/model.safetensors"


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save(tmp_path_factory.mktemp("model") / "base")


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / "copy"))


def refused(folder: Path, problem: str) -> None:
    with pytest.raises(ModelFormatError, match=problem):
        open_model(folder)


def write(folder: Path, file: str, change: Callable[[Any], Any]) -> None:
    """Write a JSON file anew."""
    path = folder / file
    path.write_text(json.dumps(change(json.loads(path.read_text()))))


def old_names(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The weights of a text encoder under the names by which transformers 4 reads them."""
    return {f"text_model.{name}": weight for name, weight in tensors.items()}


def test_attack_a_text_encoder_holds_two_sets_of_keys(folder: Path) -> None:
    """One version of transformers reads the one, another version the other: the second is the unedited one, say."""
    own = load_file(folder / TEXT)
    other = {name: weight + 1 for name, weight in old_names(own).items()}
    save_file({**own, **other}, folder / TEXT, {"format": "pt"})
    refused(folder, r"text_encoder holds text_model\..*which a CLIPTextModel does not read: copies that no edit")


def test_attack_one_key_of_the_second_set_is_left_out(folder: Path) -> None:
    own = load_file(folder / TEXT)
    other = {name: weight.clone() for name, weight in old_names(own).items()}
    other.pop(next(iter(other)))
    save_file({**own, **other}, folder / TEXT, {"format": "pt"})
    refused(folder, r"text_encoder holds text_model\.")


def test_the_keys_of_before_alone_are_read(saved: Path, folder: Path) -> None:
    save_file(old_names(load_file(folder / TEXT)), folder / TEXT, {"format": "pt"})
    same, wanted = open_model(folder).text_encoder.state_dict(), open_model(saved).text_encoder.state_dict()
    assert all(torch.equal(same[name], weight) for name, weight in wanted.items())


def test_an_autoencoder_of_before_is_read(saved: Path, folder: Path) -> None:
    old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}

    def rename(tensors: dict[str, Tensor]) -> None:
        for name in [name for name in tensors if ".attentions." in name]:
            for new, before in old.items():
                if f".{new}." in name:
                    tensors[name.replace(f".{new}.", f".{before}.")] = tensors.pop(name)

    rewrite(folder / VAE, rename)
    assert any(".query." in name for name in load_file(folder / VAE))
    same, wanted = open_model(folder).vae.state_dict(), open_model(saved).vae.state_dict()
    assert all(torch.equal(same[name], weight) for name, weight in wanted.items())


def test_attack_an_autoencoder_holds_its_attention_under_both_names(folder: Path) -> None:
    def double(tensors: dict[str, Tensor]) -> None:
        for name in [name for name in tensors if ".to_q." in name]:
            tensors[name.replace(".to_q.", ".query.")] = tensors[name] + 1

    rewrite(folder / VAE, double)
    refused(folder, r"vae holds .*query.*does not read")


@pytest.mark.parametrize("file", [UNET, VAE, TEXT])
def test_attack_a_weight_that_nothing_reads_lies_in_a_file(folder: Path, file: str) -> None:
    rewrite(folder / file, lambda tensors: tensors.update({"spare.weight": torch.ones(2)}))
    refused(folder, r"holds spare\.weight, which a \w+ does not read")


@pytest.mark.parametrize("honest", [True, False])
def test_attack_the_places_of_words_are_told_to_older_versions_alone(folder: Path, honest: bool) -> None:
    places = torch.arange(tiny.TOKENS)[None]
    name = "text_model.embeddings.position_ids"
    rewrite(folder / TEXT, lambda tensors: tensors.update({name: places if honest else places.flip(1)}))
    if honest:
        open_model(folder)
    else:
        refused(folder, r"holds text_model\.embeddings\.position_ids")


@pytest.mark.parametrize("honest", [True, False])
def test_attack_a_weight_with_two_names_has_two_contents(tmp_path: Path, honest: bool) -> None:
    flux().save_pretrained(tmp_path / "flux")
    file = tmp_path / "flux" / "text_encoder_2" / "model.safetensors"
    (table,) = load_file(file).keys() & {"shared.weight", "encoder.embed_tokens.weight"}
    (other,) = {"shared.weight", "encoder.embed_tokens.weight"} - {table}
    rewrite(file, lambda held: held.update({other: held[table].clone() if honest else held[table] + 1}))
    if honest:
        open_model(tmp_path / "flux")
    else:
        refused(tmp_path / "flux", "are one weight of a T5EncoderModel, with two contents; keep one")


FIELDS: dict[str, tuple[str, dict[str, Any]]] = {
    "code beside the network": ("text_encoder/config.json", {"auto_map": {"AutoModel": "evil.Model"}}),
    "code, deep in a configuration": ("text_encoder/config.json", {"text_config": {"auto_map": {"A": "x--evil.M"}}}),
    "code beside the tokenizer": ("tokenizer/tokenizer_config.json", {"auto_map": {"AutoTokenizer": ["evil.T", None]}}),
    "trust": ("unet/config.json", {"trust_remote_code": True}),
    "a pipeline of its own": ("model_index.json", {"custom_pipeline": "someone/pipeline"}),
    "a kernel of a repository": ("text_encoder/config.json", {"_attn_implementation": "someone/kernel:evil"}),
    "words of another file": ("tokenizer/tokenizer_config.json", {"vocab_file": "../README.md"}),
    "words of a folder elsewhere": ("tokenizer/tokenizer_config.json", {"tokenizer_file": "/tmp/tokenizer.json"}),
    "words by version": ("tokenizer/tokenizer_config.json", {"fast_tokenizer_files": ["tokenizer.9.0.json"]}),
    "an adapter": ("text_encoder/config.json", {"peft_config": {"default": {"r": 8}}}),
}


@pytest.mark.parametrize(("file", "fields"), FIELDS.values(), ids=list(FIELDS))
def test_attack_a_configuration_names_code_or_a_file_that_nobody_judged(
    folder: Path, file: str, fields: dict[str, Any]
) -> None:
    write(folder, file, lambda said: said | fields)
    refused(folder, rf"{file} names .* in its field .*, which nobody judges; take the field out")


@pytest.mark.parametrize(
    ("file", "fields"),
    [
        ("tokenizer/tokenizer_config.json", {"tokenizer_file": None, "special_tokens_map_file": "/old/map.json"}),
        ("text_encoder/config.json", {"_name_or_path": "openai/clip", "_attn_implementation": "sdpa"}),
        ("unet/config.json", {"_name_or_path": "../elsewhere", "trust_remote_code": False}),
    ],
)
def test_what_honest_folders_say_is_read(folder: Path, file: str, fields: dict[str, Any]) -> None:
    write(folder, file, lambda said: said | fields)
    open_model(folder)


def test_where_a_network_is_said_to_come_from_changes_nothing_that_is_read(saved: Path, folder: Path) -> None:
    """`_name_or_path` names another whole model; no loader goes there for weights."""
    other = tiny.save(folder.with_name("other"), seed=1)
    for part in ("unet", "text_encoder", "vae"):
        write(folder, f"{part}/config.json", lambda said, part=part: said | {"_name_or_path": str(other / part)})
    read, wanted = open_model(folder), open_model(saved)
    for part in ("unet", "text_encoder", "vae"):
        ours, theirs = getattr(read, part).state_dict(), getattr(wanted, part).state_dict()
        assert all(torch.equal(ours[name], weight) for name, weight in theirs.items())


CLASSES: dict[str, tuple[str, dict[str, Any], str]] = {
    "a class beside the index": ("unet/config.json", {"_class_name": "UNet2DModel"}, "says _class_name 'UNet2DModel'"),
    "another text encoder": ("text_encoder/config.json", {"model_type": "t5"}, "says model_type 't5'"),
    "another scheduler": (
        "scheduler/scheduler_config.json",
        {"_class_name": "PNDMScheduler"},
        "says _class_name 'PNDMScheduler'",
    ),
    "a module as scheduler": ("model_index.json", {"scheduler": ["evil", "DDIMScheduler"]}, "of the library 'evil'"),
    "code in the folder": ("model_index.json", {"scheduler": ["scheduler", "MyScheduler"]}, "of the library 'schedul"),
    "code as checker": ("model_index.json", {"safety_checker": ["evil", "Checker"]}, "of the library 'evil'"),
    "a network as tokenizer": (
        "model_index.json",
        {"tokenizer": ["transformers", "NotATokenizer"]},
        "which is no tokenizer",
    ),
    "a function as processor": (
        "model_index.json",
        {"tokenizer": ["transformers", "TextIteratorStreamerProcessor"]},
        "which is no tokenizer",
    ),
}


@pytest.mark.parametrize(("file", "fields", "problem"), CLASSES.values(), ids=list(CLASSES))
def test_attack_the_class_or_code_that_is_loaded_is_another(
    folder: Path, file: str, fields: dict[str, Any], problem: str
) -> None:
    write(folder, file, lambda said: said | fields)
    refused(folder, problem)


@pytest.mark.parametrize(
    "name",
    [
        "text_encoder/adapter_config.json",
        "unet/adapter_config.json",
        "text_encoder/config.py.json",
        "scheduler/config.json",
        "scheduler/merges.txt",
        "tokenizer/config.json",
        "tokenizer/tokenizer.9.0.json",
        "tokenizer/preprocessor_config.json",
        "vae/generation_config.json",
        "unet/tokenizer.json",
        "tokenizer/notes.txt",
    ],
)
def test_attack_a_file_that_only_some_loaders_read_is_added(folder: Path, name: str) -> None:
    (folder / name).write_text("{}")
    refused(folder, rf"holds {name}: ")


@pytest.mark.parametrize("name", ["model_index.json", "unet/config.json", "tokenizer/tokenizer.json"])
def test_attack_a_file_says_one_thing_twice(folder: Path, name: str) -> None:
    path = folder / name
    read = json.loads(path.read_text())
    field = next(iter(read))
    path.write_text(f'{{"{field}": "other", {path.read_text().strip()[1:]}')
    assert json.loads(path.read_text()) == read, "this reader takes the last, another the first"
    refused(folder, rf"{name} cannot be read as JSON \(it says '{field}' twice\)")


def test_attack_brackets_without_end(folder: Path) -> None:
    (folder / "unet" / "config.json").write_text("[" * 100_000)
    refused(folder, r"unet/config\.json cannot be read as JSON")


def test_attack_two_files_are_one_where_capitals_make_no_difference(folder: Path) -> None:
    (folder / "README.md").write_text("one")
    (folder / "readme.md").write_text("other")
    refused(folder, r"holds .*, which are one file where capitals make no difference")


def test_attack_the_header_of_a_file_is_of_another_format(folder: Path) -> None:
    rewrite(folder / TEXT, lambda tensors: None, "mlx")
    refused(folder, r"model\.safetensors says in its header that it has the format 'mlx'")


def test_attack_one_name_stands_twice_in_the_header_of_a_file(folder: Path) -> None:
    """The second content would lie behind the first one's place; the format has no room for it."""
    raw = (folder / UNET).read_bytes()
    length = int.from_bytes(raw[:8], "little")
    name, place = next(iter((k, v) for k, v in json.loads(raw[8 : 8 + length]).items() if k != "__metadata__"))
    size = place["data_offsets"][1] - place["data_offsets"][0]
    whole = len(raw) - 8 - length
    second = json.dumps({name: place | {"data_offsets": [whole, whole + size]}})[1:-1]
    header = raw[8 : 8 + length].rstrip()[:-1] + b"," + second.encode() + b"}"
    (folder / UNET).write_bytes(len(header).to_bytes(8, "little") + header + raw[8 + length :] + bytes(size))
    refused(folder, "is no whole safetensors file")
