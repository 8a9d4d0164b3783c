"""What a pipeline reads text with, by content: an edit is worth nothing for states that another encoder makes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from torch import Tensor, nn

from expunge.engine.errors import DigestMismatch, EditError
from expunge.engine.families import family_of
from expunge.engine.families.base import is_on_disk, part_of
from expunge.engine.files.digests import json_digest
from expunge.engine.files.tensor_files import tensor_digest

OFFLOADED = "is not in memory; plan and apply before the model is offloaded"


READS = (
    *("hidden_act", "num_attention_heads", "layer_norm_eps", "eos_token_id", "use_attention_mask"),
    *("num_heads", "feed_forward_proj", "relative_attention_num_buckets", "relative_attention_max_distance"),
    *("num_key_value_heads", "rms_norm_eps", "rope_parameters", "layer_types", "sliding_window"),
)
"""What of an encoder's configuration decides how it reads, beside its weights."""


def encoder_digests(pipeline: Any) -> dict[str, str]:
    """sha256 by component: of what each text encoder multiplies by, and of the words that each tokenizer tells apart;
    beside each, as `NAME.config`, of how it reads: what a tokenizer pads with and how far, and its template of a chat;
    what an encoder is set to. What norms their states belongs to them.

    Weights count by value and dtype and not by name, for libraries rename them. EditError if they are not in memory.
    """
    digests: dict[str, str] = {}
    for name, part in sorted(pipeline.components.items()):
        if name.startswith(("text_encoder", "tokenizer")) and part is not None:
            is_encoder = isinstance(part, nn.Module)
            digests[name] = _weights(name, part) if is_encoder else json_digest(part.get_vocab())
            digests[f"{name}.config"] = json_digest(_set_to(part) if is_encoder else _padded(part))
    if norm := family_of(pipeline).norm:
        digests[norm] = _weights(norm, part_of(pipeline, norm))
    return digests


def _set_to(encoder: Any) -> dict[str, Any]:
    config = getattr(encoder, "config", None)
    config = getattr(config, "text_config", config)
    return {name: getattr(config, name) for name in READS if hasattr(config, name)}


def _padded(tokenizer: Any) -> list[Any]:
    template = getattr(tokenizer, "chat_template", None)
    padded = [tokenizer.pad_token_id, tokenizer.padding_side, tokenizer.model_max_length]
    return [*padded, template] if template else padded


def check_encoders(pipeline: Any, expected: Mapping[str, str]) -> None:
    """DigestMismatch if one that the pipeline has is not the expected one; one that was left out says nothing."""
    for name, found in encoder_digests(pipeline).items() if expected else ():
        if expected.get(name, found) != found:
            raise DigestMismatch(
                name, expected[name], found, "apply the plan to the base with its own, before an embedding is loaded"
            )


def _weights(name: str, encoder: nn.Module) -> str:
    if any(map(is_on_disk, encoder.modules())):
        raise EditError(name, OFFLOADED)
    try:
        return json_digest(sorted(tensor_digest({"": plain}) for own in encoder.parameters() for plain in _plain(own)))
    except NotImplementedError as error:  # what a tensor without memory answers
        raise EditError(name, OFFLOADED) from error


def _plain(tensor: Tensor) -> Iterator[Tensor]:
    """The tensor, or those that one of another kind, such as a quantised one, is made of."""
    parts: Callable[[], tuple[list[str], Any]] | None = getattr(tensor.data, "__tensor_flatten__", None)
    if parts is None:
        yield tensor.data
        return
    for part in parts()[0]:
        yield from _plain(getattr(tensor.data, part))
