"""The declaration of a model family: where text enters it, what feeds each entrance, and how pictures are asked of it.

An edit in closed form is exact only where text alone feeds a matrix. So a family declares the first linear map that
each text state meets, and none behind it. In a UNet that is every key and value matrix of cross-attention. A
transformer that mixes text with the image or the timestep has one embedder in front of all its blocks.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from expunge.engine.errors import UnknownArchitecture

Kind = Literal["key", "value"]


@dataclass(frozen=True)
class Projection:
    """A text key or value matrix of a denoiser: `weight` is [d_out, d], fed by the text streams numbered `streams`.

    An embedder in front of keys and values alike counts as a value. Where text feeds the first `columns` only, no
    editor changes the others.
    """

    name: str
    kind: Kind
    weight: nn.Parameter
    streams: tuple[int, ...] = (0,)
    columns: int | None = None

    @property
    def spoken(self) -> Tensor:
        """Return the part of the weight that text feeds."""
        return self.weight.detach()[:, : self.columns]


def entrance(pipeline: Any, name: str, streams: tuple[int, ...], columns: int | None = None) -> Projection:
    """Return the linear layer `name`, in front of keys and values alike, as a projection.

    Raises:
        UnknownArchitecture: it is no plain linear layer.
    """
    layer = part_of(pipeline, name)
    return Projection(f"{name}.weight", "value", plain_weight(name, layer), streams, columns)


def part_of(pipeline: Any, name: str) -> nn.Module:
    """Return the module `name`.

    Raises:
        UnknownArchitecture: there is none.
    """
    component, _, path = name.partition(".")
    try:
        return uncompiled(uncompiled(getattr(pipeline, component)).get_submodule(path))
    except AttributeError as error:
        raise UnknownArchitecture(f"there is no {name}, by which text enters a {type(pipeline).__name__}") from error


def reading(tokenizer: Any, tokens: int) -> Any:
    """Return the tokenizer, made to read so many tokens."""
    reader = copy.copy(tokenizer)
    reader.model_max_length = tokens
    return reader


def spoken(tokenizer: Any, ids: Tensor) -> Tensor:
    """Return a mask [n, T] of the token ids [n, T]: 0 for padding, 1 for all others."""
    return (ids != tokenizer.pad_token_id).long()


def silenced(states: Tensor, mask: Tensor) -> Tensor:
    """Return states [n, T, d] with zeros where the mask [n, T] has them."""
    return states * mask[..., None].to(states)


def without_padding(pipeline: Any, ids: Tensor, stream: int = 0) -> Tensor:
    """Return the states of ids from a text encoder that does not attend to padding, with zeros at padding."""
    ids = ids.to(pipeline.text_encoder.device)
    mask = spoken(pipeline.tokenizer, ids)
    return silenced(pipeline.text_encoder(ids, mask)[0], mask)


def with_mask(pipeline: Any, states: Sequence[Tensor]) -> dict[str, Tensor]:
    """Return the `arguments` of a family whose pipeline also asks which of the states are no padding."""
    return {"prompt_embeds": states[0], "prompt_attention_mask": (states[0] != 0).any(-1)}


def heard(states: Tensor) -> list[Tensor]:
    """Return for each prompt those rows of its states, of [n, T, d], that are not all zeros."""
    return [own[own.any(-1)] for own in states]


def refuse_missing(*text_encoders: Any) -> None:
    if any(encoder is None for encoder in text_encoders):
        raise UnknownArchitecture(
            "a text encoder is missing, so what it feeds the model cannot be known; open it whole"
        )


def encoder_there(pipeline: Any) -> None:
    refuse_missing(pipeline.text_encoder)


EDITED_IN = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def plain_weight(name: str, layer: nn.Module) -> nn.Parameter:
    """Return the parameter that a plain linear layer multiplies by.

    Raises:
        UnknownArchitecture: the layer has a LoRA on it; or it holds codes, in a tensor of its own kind or in a plain
            one; or it has so few bits that an edit would be lost in them.
    """
    if hasattr(layer, "base_layer"):
        raise UnknownArchitecture(f"{name} has a LoRA on it, fused or not; call unload_lora_weights() first")
    if type(layer) is not nn.Linear:
        raise UnknownArchitecture(f"{name} is a {type(layer).__name__}, not a plain linear layer; open the plain model")
    if type(layer.weight) is not nn.Parameter or type(layer.weight.data) is not Tensor:
        raise UnknownArchitecture(
            f"{name} holds a {type(layer.weight).__name__}, no plain parameter; open the plain model, and edit it "
            "before a quantisation"
        )
    if layer.weight.dtype not in EDITED_IN:
        raise UnknownArchitecture(
            f"{name} holds {layer.weight.dtype}, too few bits for an edit; open the plain model, and edit it before "
            "enable_layerwise_casting() or a quantisation"
        )
    return layer.weight


def uncompiled(denoiser: Any) -> Any:
    """Return what torch.compile wrapped, or the module itself."""
    return getattr(denoiser, "_orig_mod", denoiser)


def submodules(denoiser: Any) -> list[tuple[str, nn.Module]]:
    """Return all modules by their names in the model's file, whatever torch.compile wrapped."""
    found = uncompiled(denoiser).named_modules()
    return [(plain_name(name), module) for name, module in found if uncompiled(module) is module]


def plain_name(name: str) -> str:
    """Return a dotted name without what torch.compile puts into it."""
    return ".".join(part for part in name.split(".") if part != "_orig_mod")


def refuse_replaced(denoiser: nn.Module) -> None:
    """Refuse a denoiser whose attention multiplies by other matrices than those that would be edited.

    Raises:
        UnknownArchitecture: it multiplies by copies, by matrices of its processor's own, or by weights that lie on a
            disk.
    """
    for name, module in submodules(denoiser):
        processor = getattr(module, "processor", None)
        if type(processor).__name__.startswith("Fused"):
            raise UnknownArchitecture(f"the projections of {name} are fused; call unfuse_qkv_projections() first")
        if type(processor).__name__.startswith("CustomDiffusion"):
            raise UnknownArchitecture(f"{name} has a {type(processor).__name__} with matrices of its own; unload it")
        if is_on_disk(module):
            raise UnknownArchitecture(
                f"the weights of {name} are offloaded to a disk; edit before enable_group_offload()"
            )


def is_on_disk(module: nn.Module) -> bool:
    """Return whether diffusers moved the weights of the module's group to a file and left meaningless memory behind."""
    registry = getattr(module, "_diffusers_hook", None)
    hook = registry.get_hook("group_offloading") if registry else None
    return hook is not None and bool(hook.group.offload_to_disk_path)


Arguments = Mapping[str, Tensor]
"""The text input of a denoiser for n prompts: [n, ...] by the pipeline's own keywords."""
Predict = Callable[[Any, Tensor, Tensor, Arguments], Tensor]


def first_states(pipeline: Any, states: Sequence[Tensor]) -> dict[str, Tensor]:
    return {"prompt_embeds": states[0]}


Tokenizers = Callable[[Any, int], tuple[Any, ...]]
"""Takes a pipeline and the number of a text stream; returns the tokenizers of that stream."""
Embed = Callable[[Any, Tensor, int], Tensor]
"""Takes a pipeline, token ids and the number of a text stream; returns what the denoiser is fed."""


def readable_by(tokenizers: Tokenizers) -> Callable[[Any], None]:
    """Return the `check` of a family whose tokenizers may be unfit to read what the pipeline would."""

    def check(pipeline: Any) -> None:
        encoder_there(pipeline)
        tokenizers(pipeline, 0)

    return check


def away_from(text: str, tokenizers: Tokenizers, embed: Embed) -> Callable[[Any, Sequence[Tensor]], dict[str, Tensor]]:
    """Return the `arguments` of a family whose pipeline needs, beside states, those that guidance leads away from.

    These are the states of `text`.
    """

    def arguments(pipeline: Any, states: Sequence[Tensor]) -> dict[str, Tensor]:
        (reader,) = tokenizers(pipeline, 0)
        ids = reader([text], padding="max_length", max_length=reader.model_max_length)["input_ids"]
        away = embed(pipeline, torch.tensor(ids), 0).to(states[0])
        return {"prompt_embeds": states[0], "negative_prompt_embeds": away.expand_as(states[0])}

    return arguments


def unchanged(text: str) -> str:
    return text


def images(output: Any) -> np.ndarray:
    return output.images


def by_scale(guidance: float) -> dict[str, float]:
    return {"guidance_scale": guidance}


@dataclass(frozen=True)
class Family:
    """One way in which text enters a denoiser.

    `pipelines` are the diffusers classes that are asked by text alone. `further` are those that read text in the same
    way and are asked in another, such as with a picture: edits are planned for them, and no picture is asked of them.
    `denoisers` are the components that hold the matrices, first the one that `predict` asks.

    `projections(pipeline)` lists the matrices in module order. `check(pipeline)` raises UnknownArchitecture where what
    feeds them cannot be known. Such a model can be edited by a plan, and no plan can be made for it.

    `tokenizers(pipeline, stream)` are those of a text stream: one, or two where the states of two encoders are
    concatenated in it. `embed(pipeline, ids, stream)` is the denoiser's input for token ids [n, T], or [n, 2, T] of two
    tokenizers. It is [n, T, d], every token's embedding, or [n, 1, d] for the prompt as a whole. `norm` names the
    module, if there is one, that norms every state by itself before a matrix multiplies it.

    `arguments(pipeline, states)` turns the states of all `streams` into keywords of the pipeline, as tensors. `handed`
    turns these into what the pipeline takes. `guided` gives the keywords for the strength of guidance, 1 for none.
    `options` are further keywords. `pictures` takes pictures [n, height, width, 3] from the pipeline's output. For a
    model that draws videos, `frames` says which frames these are. `cleaned` is what the pipeline makes of a text before
    its tokenizer reads it.

    `predict(pipeline, noisy, times, arguments)` is the denoiser's prediction, in its own type, for latents [n, c, h, w]
    at timesteps, one or [n]. It is None where nobody wrote it down, so attacks and training that need it are refused.
    """

    name: str
    pipelines: tuple[str, ...]
    projections: Callable[[Any], list[Projection]]
    tokenizers: Tokenizers
    embed: Embed
    streams: int = 1
    norm: str = ""
    arguments: Callable[[Any, Sequence[Tensor]], dict[str, Tensor]] = first_states
    handed: Callable[[Arguments], Mapping[str, Any]] = dict
    predict: Predict | None = None
    guided: Callable[[float], Mapping[str, float]] = by_scale
    options: Mapping[str, Any] = field(default_factory=dict)
    pictures: Callable[[Any], np.ndarray] = images
    frames: str = ""
    cleaned: Callable[[str], str] = unchanged
    further: tuple[str, ...] = ()
    check: Callable[[Any], None] = encoder_there
    denoisers: tuple[str, ...] = ("unet",)

    @property
    def covers(self) -> tuple[str, ...]:
        return (*self.pipelines, *self.further)
