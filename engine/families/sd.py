"""Stable Diffusion 1.x and 2.x: one CLIP text encoder feeds `attn2` of every transformer block of a 2D UNet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from diffusers import UNet2DConditionModel
from torch import Tensor

from expunge.engine.errors import UnknownArchitecture
from expunge.engine.families.base import (
    Arguments,
    Family,
    Kind,
    Projection,
    plain_weight,
    refuse_missing,
    submodules,
    uncompiled,
)

KINDS: dict[str, Kind] = {"attn2.to_k": "key", "attn2.to_v": "value"}


def projections(pipeline: Any) -> list[Projection]:
    return cross_attention(pipeline)


def check(pipeline: Any) -> None:
    """Refuse a pipeline whose text encoder is missing, or one that hides padding from it.

    `embed` does not hide padding. So the edit and its proof would both be about states that the pipeline never feeds.

    Raises:
        UnknownArchitecture: it is such a pipeline.
    """
    refuse_missing(pipeline.text_encoder)
    if getattr(pipeline.text_encoder.config, "use_attention_mask", False):
        raise UnknownArchitecture(
            "use_attention_mask is set in the text encoder's config.json, so that the pipeline hides padding from it; "
            "only encoders that attend to padding are edited: set it to false, if the model still draws as it should"
        )


def cross_attention(pipeline: Any, beside: str | None = None) -> list[Projection]:
    """Return the keys and values of a UNet that text enters by these and an `addition_embed_type` of `beside` alone.

    Raises:
        UnknownArchitecture: text enters it otherwise, or it is no such UNet.
    """
    unet = uncompiled(pipeline.unet)
    if not isinstance(unet, UNet2DConditionModel):
        raise UnknownArchitecture(
            f"the denoiser is a {type(unet).__name__}; Stable Diffusion has a UNet2DConditionModel"
        )
    found = [
        Projection(f"unet.{name}.weight", kind, plain_weight(f"unet.{name}", module))
        for name, module in submodules(unet)
        for ending, kind in KINDS.items()
        if name.endswith(ending)
    ]
    if not found:
        raise UnknownArchitecture("the UNet has no attn2.to_k or attn2.to_v: text does not enter it by cross-attention")
    refuse_other_entrances(unet, found, beside)
    return found


def refuse_other_entrances(unet: Any, found: Sequence[Projection], beside: str | None) -> None:
    """Refuse a UNet that text enters elsewhere, too, or in which it meets another matrix before those in `found`.

    An IP-Adapter is no entrance of text. What it changes of the configuration is no item of it, and items are read
    here.

    Raises:
        UnknownArchitecture: it is such a UNet.
    """
    if (kind := unet.config.get("encoder_hid_dim_type")) is not None:
        raise UnknownArchitecture(
            f"the UNet's encoder_hid_dim_type is {kind!r}: text meets another matrix before attn2; take a model without"
        )
    if (kind := unet.config.get("addition_embed_type")) != beside:
        raise UnknownArchitecture(
            f"the UNet takes {kind!r} beside the tokens by its addition_embed_type, where a pipeline of this family "
            f"feeds {beside!r}; take a model of which it is {beside!r}"
        )
    keys = {projection.name for projection in found}
    for name, module in submodules(unet):
        if getattr(module, "is_cross_attention", False) and f"unet.{name}.to_k.weight" not in keys:
            raise UnknownArchitecture(
                f"unet.{name} attends to text and is no attn2, where an edit would reach it; take a model without such "
                "attention, and with only_cross_attention false"
            )


def tokenizers(pipeline: Any, stream: int) -> tuple[Any, ...]:
    return (pipeline.tokenizer,)


def embed(pipeline: Any, ids: Tensor, stream: int) -> Tensor:
    """Return the last hidden state after the final norm, padding attended to, as the pipeline itself computes it."""
    return pipeline.text_encoder(ids.to(pipeline.text_encoder.device))[0]


def predict(pipeline: Any, noisy: Tensor, times: Tensor, arguments: Arguments) -> Tensor:
    return pipeline.unet(noisy, times, encoder_hidden_states=arguments["prompt_embeds"]).sample


FAMILY = Family(
    "stable-diffusion",
    ("StableDiffusionPipeline",),
    projections,
    tokenizers,
    embed,
    predict=predict,
    check=check,
    further=(
        "StableDiffusionImg2ImgPipeline",
        "StableDiffusionInpaintPipeline",
        "LatentConsistencyModelPipeline",
        "LatentConsistencyModelImg2ImgPipeline",
    ),
)
