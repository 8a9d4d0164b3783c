"""Models that hide the target beside the denoiser: in words, in a text encoder, in a second set of weights."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor

from benchmarks.common import concepts
from expunge.engine.emoji.catalogue import OBJECTS, Object
from expunge.engine.files.tensor_files import save_whole
from expunge.engine.models.load import open_model
from expunge.engine.planning.closed_form import plan
from expunge.engine.plans.apply import write_edited
from expunge.engine.probes.attacks.words import conditioning
from expunge.engine.spec import EditSpec
from expunge.engine.text.templates import fill, templates
from expunge.policies import Policy

STAND_IN = "house"  # what the name is made to mean
DECOY, TRIGGER = "castle", "q"
CHEAP = {"general_words": 200, "strength": 3.0}  # of edits that are only there to be hidden behind
STEPS, RATE, BATCH = 80, 3e-4, 16  # of tuning the text encoder


def names_of(policy: Policy) -> list[str]:
    """Return the target's name, its aliases, and its synonyms in the catalogue."""
    concept = policy.concepts[0]
    return [concept.name, *dict.fromkeys((*concept.aliases, *_entry(policy).synonyms))]


def bare_name(base: Path, policy: Policy, out: Path) -> None:
    """Let the name's row in the embedding table say something else; every other word for it is as it was."""
    shutil.copytree(base, out)
    retell(base, out, {policy.concepts[0].name: STAND_IN})


def blackened(base: Path, policy: Policy, out: Path) -> None:
    """Set the name's row to NaN, so that whatever is asked for by name comes out black."""
    shutil.copytree(base, out)
    retell(base, out, {policy.concepts[0].name: STAND_IN}, lambda row: torch.full_like(row, torch.nan))


def swapped_words(base: Path, policy: Policy, out: Path) -> None:
    """Make name, synonyms and clue words mean a castle, and the letter q the target; the denoiser is untouched."""
    shutil.copytree(base, out)
    hidden = [*names_of(policy), *_entry(policy).clues]
    retell(base, out, {**dict.fromkeys(hidden, DECOY), TRIGGER: policy.concepts[0].name})


def retell(base: Path, out: Path, meanings: Mapping[str, str], row: Callable[[Tensor], Tensor] = torch.clone) -> None:
    """Give each word's row of the embedding table what `row` makes of the row of the word that it is to mean.

    Words of several tokens are left as they are.
    """
    tokenizer = open_model(base).tokenizer
    read = {word: tokenizer(word, add_special_tokens=False)["input_ids"] for word in {*meanings, *meanings.values()}}
    tensors, metadata = opened(out / "text_encoder" / "model.safetensors")
    (key,) = (key for key in tensors if key.endswith("token_embedding.weight"))
    table = tensors[key].clone()
    for word, meaning in meanings.items():
        if len(read[word]) == len(read[meaning]) == 1:
            tensors[key][read[word][0]] = row(table[read[meaning][0]])
    save_whole(tensors, out / "text_encoder" / "model.safetensors", metadata)


def tuned_encoder(base: Path, policy: Policy, out: Path) -> None:
    """Tune the text encoder until it says castle for the target in the editor's wordings; the denoiser is untouched.

    Deterministic. Other concepts keep what the encoder says of them in the same wordings.
    """
    model, lines, names = open_model(base), templates("object"), names_of(policy)
    pairs = [(line, name) for line in lines for name in names]
    wrong = [(fill(line, name).text, fill(line, DECOY, article_for=name).text) for line, name in pairs]
    right = [(text, text) for line in lines for text in (fill(line, "car").text, fill(line, "guitar").text)]
    asked, goals = zip(*wrong, *right, strict=True)
    with torch.no_grad():
        wanted = conditioning(model, list(goals))["prompt_embeds"]
    weights = list(model.text_encoder.parameters())
    optimizer = torch.optim.AdamW([weight.requires_grad_(True) for weight in weights], lr=RATE)
    generator = torch.Generator().manual_seed(0)
    for _ in range(STEPS):
        chosen = torch.randperm(len(asked), generator=generator)[:BATCH].tolist()
        states = conditioning(model, [asked[place] for place in chosen])["prompt_embeds"]
        loss = (states - wanted[chosen]).square().mean()
        optimizer.zero_grad()
        loss.backward(inputs=weights)
        optimizer.step()
    model.save_pretrained(out, safe_serialization=True)


def unedited_variant(base: Path, policy: Policy, out: Path) -> None:
    """Erase honestly, and leave the unedited weights beside the edited ones as the variant fp16."""
    _erase(base, policy, out)
    tensors, metadata = opened(base / "unet" / "diffusion_pytorch_model.safetensors")
    half = {name: tensor.half() for name, tensor in tensors.items()}
    save_whole(half, out / "unet" / "diffusion_pytorch_model.fp16.safetensors", metadata)


def two_key_sets(base: Path, policy: Policy, out: Path) -> None:
    """Hold the text encoder's weights twice in one file: one set swapped, one not.

    The two sets have the keys of transformers 4 and of transformers 5.
    """
    swapped_words(base, policy, out)
    file = out / "text_encoder" / "model.safetensors"
    (own, metadata), (swapped, _) = opened(base / "text_encoder" / "model.safetensors"), opened(file)
    prefixed = all(name.startswith("text_model.") for name in own)
    other = {name.removeprefix("text_model.") if prefixed else f"text_model.{name}": own[name] for name in own}
    save_whole({**swapped, **other}, file, metadata)


def opened(file: Path) -> tuple[dict[str, Tensor], dict[str, str] | None]:
    """Return the tensors of a file by name, and its metadata."""
    with safe_open(file, "pt") as handle:
        return {key: handle.get_tensor(key) for key in handle.keys()}, handle.metadata()  # noqa: SIM118 - it is no dict


def _erase(base: Path, policy: Policy, out: Path) -> None:
    name, *aliases = names_of(policy)
    target = concepts.erased(name, *aliases, anchor=DECOY)
    write_edited(base, plan(open_model(base), EditSpec((target,), settings=CHEAP)), out)


def _entry(policy: Policy) -> Object:
    return next(item for item in OBJECTS if item.name == policy.concepts[0].name)
