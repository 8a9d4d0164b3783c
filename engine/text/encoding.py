"""Prompts in the form that the denoiser reads: every token's embedding, each token sequence encoded once."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from expunge.engine.errors import ConceptError, EditError
from expunge.engine.families import Arguments, family_of
from expunge.engine.families.base import part_of
from expunge.engine.linalg import steady
from expunge.engine.text.encoded import Encoded, Span
from expunge.engine.text.templates import Wording

BATCH = 64
OFFLOADED = "is not in memory; plan before the model is offloaded"
FEW = 16  # prompts; MKL splits the sums of fewer among threads, which changes the rounding: one thread encodes them


def encode(pipeline: Any, prompts: Sequence[str | Wording], stream: int = 0) -> Encoded:
    """Encode prompts in batches, without gradient; a bare string is a concept as a whole.

    Raises:
        ConceptError: a prompt is longer than the encoder reads, and the message shows what would be lost; or the
            pipeline would read it as another; or the encoder has no tokens for the concept; or a second encoder beside
            the first has the concept at other tokens.
        EditError: the embeddings are not finite, or the encoder is not in memory.
    """
    wordings = [Wording(prompt, (0, len(prompt))) if isinstance(prompt, str) else prompt for prompt in prompts]
    read = _read(pipeline, [wording.text for wording in wordings], stream)
    spans, *others = [_spans(tokens, wordings) for tokens in read]
    tokenizer = family_of(pipeline).tokenizers(pipeline, stream)[0]
    for row, (start, past), wording in zip(read[0]["input_ids"], spans, wordings, strict=True):
        _check_known(tokenizer, row[start:past], wording.text[slice(*wording.span)])
    for other in others:
        _check_places(wordings, spans, other)
    embeddings = _normed(pipeline, _embedded(pipeline, read, stream))
    if not embeddings.isfinite().all():
        raise EditError("text encoder", "what it says is not finite; check it for NaN, or open it in float32")
    lengths = [sum(mask) for mask in read[0]["attention_mask"]]
    if embeddings.shape[1] == 1:
        spans, lengths = [(0, 1)] * len(spans), [1] * len(spans)
    return Encoded(embeddings, torch.tensor(spans), torch.tensor(lengths))


def fitting(pipeline: Any, prompts: Sequence[Wording], stream: int = 0) -> list[Wording]:
    """Return the prompts that are no longer than the stream's tokenizers read."""
    tokenizers = family_of(pipeline).tokenizers(pipeline, stream)
    return [
        prompt
        for prompt in prompts
        if all(len(own(prompt.text)["input_ids"]) <= own.model_max_length for own in tokenizers)
    ]


def states(pipeline: Any, prompts: Sequence[str], stream: int = 0) -> Tensor:
    """Return the denoiser's text input [n, T, d] float32 for prompts that are drawn and not solved for.

    Unlike `encode` it looks for no concept in them. So it accepts a concept that the encoder does not know, or that two
    encoders find at different tokens. It applies no norm of the family.
    """
    return _embedded(pipeline, _read(pipeline, prompts, stream), stream)


def encode_prompts(
    pipeline: Any, prompts: Sequence[str], device: torch.device, dtype: torch.dtype = torch.float32
) -> Arguments:
    """Return the denoiser's text input for n prompts on `device` in `dtype`: [n, ...] by the pipeline's keywords."""
    family = family_of(pipeline)
    read = [states(pipeline, prompts, stream) for stream in range(family.streams)]
    return family.arguments(pipeline, [state.to(device, dtype) for state in read])


def side_by_side(read: Sequence[Sequence[Sequence[int]]]) -> list[Any]:
    """Return token ids as a family takes them: [n, T] of one tokenizer, [n, 2, T] of two.

    `read` holds the ids [n, T] of each tokenizer.
    """
    rows = [tuple(tuple(ids) for ids in own) for own in zip(*read, strict=True)]
    return rows if len(read) > 1 else [ids for (ids,) in rows]


@torch.no_grad()
def _embedded(pipeline: Any, read: Sequence[Any], stream: int) -> Tensor:
    unique: dict[Any, int] = {}
    places = [unique.setdefault(ids, len(unique)) for ids in side_by_side([tokens["input_ids"] for tokens in read])]
    with _at_rest(pipeline):
        embeddings = _asked(pipeline, torch.tensor(list(unique), dtype=torch.long), stream)
    embeddings = embeddings.cpu() if embeddings.device.type == "mps" else embeddings  # which lacks float64
    return embeddings[torch.tensor(places, device=embeddings.device)]


@contextmanager
def _at_rest(pipeline: Any) -> Iterator[None]:
    """Switch the dropout of training off in the text encoders for a while.

    A T5 that was made or trained in this process still has it.
    """
    encoders = [part for name, part in pipeline.components.items() if name.startswith("text_encoder")]
    training = [one for part in encoders if isinstance(part, nn.Module) for one in part.modules() if one.training]
    for module in training:
        module.training = False
    try:
        yield
    finally:
        for module in training:
            module.training = True


def _asked(pipeline: Any, ids: Tensor, stream: int) -> Tensor:
    embed = family_of(pipeline).embed
    asks = [(steady(embed) if len(block) < FEW else embed, block) for block in ids.split(BATCH)]
    try:
        return torch.cat([ask(pipeline, block, stream).float() for ask, block in asks])
    except NotImplementedError as error:  # raised by a tensor without memory
        raise EditError("text encoder", OFFLOADED) from error


@torch.no_grad()
def _normed(pipeline: Any, states: Tensor) -> Tensor:
    """Return what the matrices multiply of states [n, T, d]: the states, or what the family's norm makes of them."""
    if not (name := family_of(pipeline).norm):
        return states
    norm = part_of(pipeline, name)
    device = next((own.device for own in norm.parameters()), states.device)
    try:
        return norm(states.to(device)).to(states)
    except NotImplementedError as error:  # as above
        raise EditError(name, OFFLOADED) from error


def _read(pipeline: Any, texts: Sequence[str], stream: int) -> list[Any]:
    """Return the tokens of texts by each of the stream's tokenizers."""
    if not texts:
        raise ConceptError("there is nothing to encode; give at least one prompt")
    family = family_of(pipeline)
    for text in texts:
        _check_clean(text, family.cleaned(text))
    tokenizers = family.tokenizers(pipeline, stream)
    for tokenizer in tokenizers:
        _check_one_token_each(tokenizer, texts)
    return [_tokenize(tokenizer, texts) for tokenizer in tokenizers]


def _check_clean(text: str, cleaned: str) -> None:
    """Refuse a text that the pipeline would clean into another one.

    Spaces at the ends and in a row are the same to a tokenizer, so they may go. A wording without its concept has some.
    """
    if cleaned != text and cleaned != re.sub(" +", " ", text).strip(" "):
        raise ConceptError(f"the pipeline cleans {text!r} and would read {cleaned!r}: word it so")


def _check_one_token_each(tokenizer: Any, texts: Sequence[str]) -> None:
    """Refuse a text with a textual inversion of several vectors.

    The pipelines themselves put its further tokens after the first, so they would read more tokens than are here.
    """
    added = tokenizer.added_tokens_encoder
    for token in (token for token in added if f"{token}_1" in added):
        if text := next((text for text in texts if token in text), ""):
            raise ConceptError(
                f"{text!r}: {token!r} is a textual inversion of several vectors, and the pipeline would read more "
                "tokens than are here; word it without"
            )


def _tokenize(tokenizer: Any, texts: Sequence[str]) -> Any:
    tokens = tokenizer(
        list(texts),
        padding="max_length",
        max_length=tokenizer.model_max_length,
        return_offsets_mapping=True,
        return_special_tokens_mask=True,
    )
    for text, ids, offsets in zip(texts, tokens["input_ids"], tokens["offset_mapping"], strict=True):
        if len(ids) > tokenizer.model_max_length:
            read = offsets[tokenizer.model_max_length - 2][1]
            raise ConceptError(
                f"a prompt has {len(ids)} tokens, the encoder reads {tokenizer.model_max_length}; it would read "
                f"{text[:read]!r} and lose {text[read:][:200]!r}: shorten it"
            )
    return tokens


def _check_known(tokenizer: Any, ids: Sequence[int], name: str) -> None:
    """Refuse a concept of which the encoder does not know a piece, or for which it has no token at all.

    To the encoder, any other unknown piece in its place would be the same.
    """
    if name.strip() and (not ids or tokenizer.unk_token_id in ids):
        raise ConceptError(
            f"the encoder has no tokens for {name!r}, or for a part of it, and cannot tell it from other such names: "
            "respell it"
        )


def _check_places(wordings: Sequence[Wording], first: Sequence[Span], second: Sequence[Span]) -> None:
    for wording, own, other in zip(wordings, first, second, strict=True):
        if own != other:
            name = wording.text[slice(*wording.span)]
            raise ConceptError(
                f"{wording.text!r}: the model's two CLIP encoders have {name!r} at different places; leave out the "
                "punctuation, such as '!!', that one of them reads as several tokens and the other as one"
            )


def _spans(tokens: Any, wordings: Sequence[Wording]) -> list[Span]:
    lengths = [sum(mask) for mask in tokens["attention_mask"]]
    located = zip(tokens["offset_mapping"], tokens["special_tokens_mask"], lengths, wordings, strict=True)
    return [_span(offsets, special, length - 1, wording.span) for offsets, special, length, wording in located]


def _span(offsets: Sequence[Span], special: Sequence[int], end: int, characters: Span) -> Span:
    """Return the range of the tokens that touch a range of characters.

    Where no token does, it is the empty range after the tokens before it. In an empty prompt that is the place of its
    `end` token, because not every tokenizer puts a token before the text.
    """
    first, past = characters
    content = [place for place, is_special in enumerate(special) if not is_special]
    inside = [place for place in content if offsets[place][0] < past and offsets[place][1] > first]
    if inside:
        return inside[0], inside[-1] + 1
    before = [place for place in content if offsets[place][1] <= first]
    place = before[-1] + 1 if before else content[0] if content else end
    return place, place
