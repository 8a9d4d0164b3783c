"""Qwen-Image: the states of a Qwen2.5-VL for a text, inside the pipeline's own chat template, enter by `txt_in`.

The pipeline drops the states of the chat's first tokens and of padding, and passes on the others. Here all stay in one
tensor until then, in which the dropped ones are zero. `txt_norm` norms each state by itself before the matrix
multiplies it. Pictures are guided away from a blank, as the model's authors ask for them. Without a negative prompt the
pipeline would not guide at all.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from expunge.engine.families.base import (
    Arguments,
    Family,
    Projection,
    away_from,
    entrance,
    heard,
    readable_by,
    silenced,
    spoken,
)
from expunge.engine.families.chat_template import Chat

TOKENS = 512  # of the chat with its text; the pipeline would read 1,058, and pads to the longest of its prompts
BLANK = " "


def projections(pipeline: Any) -> list[Projection]:
    return [entrance(pipeline, "transformer.txt_in", (0,))]


def tokenizers(pipeline: Any, stream: int) -> tuple[Any, ...]:
    return (Chat.written_as(pipeline.tokenizer, TOKENS, pipeline.prompt_template_encode),)


def embed(pipeline: Any, ids: Tensor, stream: int) -> Tensor:
    """Return the encoder's last states, without its head, and zeros where the pipeline drops them."""
    encoder, ids = pipeline.text_encoder.base_model, ids.to(pipeline.text_encoder.device)
    mask = spoken(pipeline.tokenizer, ids)
    read = encoder(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state
    mask[:, : pipeline.prompt_template_encode_start_idx] = 0
    return silenced(read, mask)


def handed(arguments: Arguments) -> dict[str, Tensor]:
    padded = {name: pad_sequence(heard(states), batch_first=True) for name, states in arguments.items()}
    return padded | {f"{name}_mask": states.any(-1).long() for name, states in padded.items()}


def guided(guidance: float) -> dict[str, float]:
    return {"true_cfg_scale": guidance}


FAMILY = Family(
    "qwen-image",
    ("QwenImagePipeline",),
    projections,
    tokenizers,
    embed,
    arguments=away_from(BLANK, tokenizers, embed),
    handed=handed,
    guided=guided,
    norm="transformer.txt_norm",
    further=("QwenImageImg2ImgPipeline", "QwenImageInpaintPipeline"),
    check=readable_by(tokenizers),
    denoisers=("transformer",),
)
