"""What a pipeline reads text with, by content: an edit is worth nothing for states that another encoder makes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from torch import Tensor, nn

from engine.digests import json_digest
from engine.errors import DigestMismatch, EditError
from engine.tensors import tensor_digest

OFFLOADED = "is not in memory; plan and apply before the model is offloaded"


def encoder_digests(pipeline: Any) -> dict[str, str]:
    """sha256 by component: of what each text encoder multiplies by, and of the words that each tokenizer tells apart.

    Weights count by value and dtype and not by name, for libraries rename them. EditError if they are not in memory.
    """
    return {
        name: _weights(name, part) if isinstance(part, nn.Module) else json_digest(part.get_vocab())
        for name, part in sorted(pipeline.components.items())
        if name.startswith(("text_encoder", "tokenizer")) and part is not None
    }


def check_encoders(pipeline: Any, expected: Mapping[str, str]) -> None:
    """DigestMismatch if one that the pipeline has is not the expected one; one that was left out says nothing."""
    for name, found in encoder_digests(pipeline).items() if expected else ():
        if expected.get(name, found) != found:
            raise DigestMismatch(
                name, expected[name], found, "apply the plan to the base with its own, before an embedding is loaded"
            )


def _weights(name: str, encoder: nn.Module) -> str:
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
