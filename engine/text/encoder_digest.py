"""Digests of the parts that read text. An edit holds only for the states that its own text encoders make."""

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
"""The fields of an encoder's configuration that decide, beside its weights, how it reads."""


def encoder_digests(pipeline: Any) -> dict[str, str]:
    """Return the sha256 of each text encoder and tokenizer, by the names of components.

    An encoder's digest covers its weights, a tokenizer's its vocabulary. `NAME.config` covers how it reads: the fields
    `READS` of an encoder; the padding token, side and length limit of a tokenizer, and its chat template. A module that
    norms the states has a digest too. Weights count by value and dtype and not by name, because libraries rename them.

    Raises:
        EditError: the weights are not in memory.
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
    """Refuse a pipeline whose text encoders or tokenizers differ from the expected ones.

    A component that is missing on either side is not compared.

    Raises:
        DigestMismatch: names the first component that differs.
    """
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
    except NotImplementedError as error:  # raised by a tensor without memory
        raise EditError(name, OFFLOADED) from error


def _plain(tensor: Tensor) -> Iterator[Tensor]:
    """Yield the tensor, or the plain tensors that one of another kind, such as a quantised one, consists of."""
    parts: Callable[[], tuple[list[str], Any]] | None = getattr(tensor.data, "__tensor_flatten__", None)
    if parts is None:
        yield tensor.data
        return
    for part in parts()[0]:
        yield from _plain(getattr(tensor.data, part))
