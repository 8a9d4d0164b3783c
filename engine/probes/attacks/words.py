"""Words as an attacker sees them: single tokens whose input embeddings can be read, replaced and differentiated.

Nothing here changes a weight. A hook on the encoder's embedding table replaces the embeddings of some words while a
context lasts, so the pipeline draws with the replaced words by its own code.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from expunge.engine.errors import ConceptError, ModelFormatError
from expunge.engine.families import family_of
from expunge.engine.text.encoding import side_by_side
from expunge.engine.text.vocabulary import general_words

Vectors = Mapping[str, Tensor]


def encoders(pipeline: Any) -> dict[str, tuple[Any, Any]]:
    """Return every text encoder with its tokenizer, by component name."""
    pairs = {
        f"text_encoder{end}": (getattr(pipeline, f"text_encoder{end}", None), f"tokenizer{end}")
        for end in ("", "_2", "_3")
    }
    return {name: (encoder, getattr(pipeline, own)) for name, (encoder, own) in pairs.items() if encoder is not None}


@contextmanager
def lent(pipeline: Any, parts: Mapping[str, Any]) -> Iterator[None]:
    """Let the pipeline use these tokenizers, `vae` and `scheduler` in place of its own while the context lasts.

    `parts` holds them by component name. Whoever holds the weights reads with any tokenizer, so a filter that hides in
    one stops no attack. Nor does a VAE with a ruined encoder, which drawing does not use. Raises ModelFormatError where
    a vocabulary differs, because the same words would then mean something else, or where the VAEs' latents differ.
    """
    own = {name: getattr(pipeline, name) for name in parts}
    for name, part in parts.items():
        _refuse_another(name, own[name], part)
    if "vae" in parts:
        parts["vae"].to(own["vae"].device, own["vae"].dtype)
    try:
        for name, part in parts.items():
            setattr(pipeline, name, part)
        yield
    finally:
        for name, part in own.items():
            setattr(pipeline, name, part)


def _refuse_another(name: str, own: Any, base: Any) -> None:
    if name.startswith("tokenizer") and own.get_vocab() != base.get_vocab():
        raise ModelFormatError(
            f"{name}: its vocabulary is not that of the base, so a word is not the same word to both models; "
            "give the model with the tokenizer of the base it was edited from"
        )
    if name == "vae" and own.config.get("latent_channels") != base.config.get("latent_channels"):
        raise ModelFormatError(
            f"vae: its latents have {own.config.get('latent_channels')} channels, those of the base "
            f"{base.config.get('latent_channels')}; give the model with the VAE of the base it was edited from"
        )


def words_without(pipeline: Any, names: Sequence[str]) -> list[str]:
    """Return the whole words that are one token for every encoder, sorted, without `names` and their plurals.

    Words whose row in a table is not finite are removed, too. The tables are the supplier's, and one such word makes
    everything computed with it NaN. Where no row is finite, all words stay. Raises ConceptError if there are none.
    """
    tokenizers = [tokenizer for _, tokenizer in encoders(pipeline).values()]
    pools = [set(general_words(tokenizer, names, len(tokenizer), seed=0)) for tokenizer in tokenizers]
    words = sorted(set.intersection(*pools))
    for tokenizer in tokenizers:
        ids = tokenizer(words, add_special_tokens=False)["input_ids"]
        words = [word for word, own in zip(words, ids, strict=True) if len(own) == 1]
    if not words:
        raise ConceptError("the model's text encoders share no word that is one token for each of them")
    lengths = [rows.norm(dim=1).cpu() for rows in input_embeddings(pipeline, words).values()]
    finite = torch.stack(lengths).isfinite().all(0).tolist()
    return [word for word, sound in zip(words, finite, strict=True) if sound] or words


def random_words(pool: Sequence[str], count: int, generator: torch.Generator) -> list[str]:
    """Return `count` different words of the pool."""
    places: list[int] = torch.randperm(len(pool), generator=generator)[:count].tolist()
    return [pool[place] for place in places]


def token_ids(tokenizer: Any, words: Sequence[str]) -> Tensor:
    """Return the tokens [n] of words that are one token each."""
    return torch.tensor([own[0] for own in tokenizer(list(words), add_special_tokens=False)["input_ids"]])


def input_embeddings(pipeline: Any, words: Sequence[str]) -> dict[str, Tensor]:
    """Return the embeddings of the words in each encoder's table, float32 [n, d] by component name."""
    found = {}
    for name, (encoder, tokenizer) in encoders(pipeline).items():
        table = encoder.get_input_embeddings().weight.detach()
        found[name] = table[token_ids(tokenizer, words).to(table.device)].float()
    return found


def of_usual_length(pipeline: Any, words: Sequence[str], shortest: float = 0.0) -> dict[str, Tensor]:
    """Return `input_embeddings` with no row longer than the median one, nor shorter than the share `shortest` of it.

    Encoders normalise, so the supplier of the tables can change lengths and hardly change what the rows mean. A ranking
    by a product with the rows, or a search that starts from them, would then follow the supplier. Rows of zeros have no
    part in the median. Otherwise many of them would make all others zero.
    """
    usual = {}
    for name, rows in input_embeddings(pipeline, words).items():
        lengths = rows.norm(dim=1, keepdim=True)
        median = lengths.where(lengths > 0, torch.nan).nanmedian()
        wanted = lengths.clamp(shortest * median, median)
        usual[name] = rows * (wanted / lengths.clamp(min=torch.finfo(lengths.dtype).tiny))
    return usual


@contextmanager
def embedded_as(pipeline: Any, words: Sequence[str], vectors: Vectors) -> Iterator[None]:
    """Make each encoder embed `words` as `vectors[component]` [n, d] while the context lasts, gradients included."""
    with ExitStack() as hooks:
        for name, (encoder, tokenizer) in encoders(pipeline).items():
            swap = partial(_swapped, token_ids(tokenizer, words).tolist(), vectors[name])
            for table in _tables(encoder):
                hooks.callback(table.register_forward_hook(swap).remove)
        yield


def _tables(encoder: Any) -> list[nn.Module]:
    """Return the modules that look words up: T5 has two that share one weight."""
    weight = encoder.get_input_embeddings().weight
    return [part for part in encoder.modules() if isinstance(part, nn.Embedding) and part.weight is weight]


def _swapped(ids: Sequence[int], vectors: Tensor, table: nn.Module, inputs: tuple[Tensor], output: Tensor) -> Tensor:
    for place, token in enumerate(ids):
        output = torch.where((inputs[0] == token)[..., None], vectors[place].to(output), output)
    return output


def repeated(arguments: Mapping[str, Tensor], count: int) -> dict[str, Tensor]:
    """Return the denoiser's input for one prompt, repeated for `count` pictures."""
    return {key: value.expand(count, *value.shape[1:]) for key, value in arguments.items()}


def joined(told: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Return the denoiser's inputs of all of these, one after the other."""
    return {name: torch.cat([own[name] for own in told]) for name in told[0]}


def conditioning(pipeline: Any, prompts: Sequence[str]) -> dict[str, Tensor]:
    """Return the denoiser's input for the prompts, by the pipeline's own keywords, [n, ...] each; keeps gradients."""
    family = family_of(pipeline)
    states = []
    for stream in range(family.streams):
        read = [_ids(tokenizer, prompts) for tokenizer in family.tokenizers(pipeline, stream)]
        states.append(family.embed(pipeline, torch.tensor(side_by_side(read)), stream))
    return family.arguments(pipeline, states)


def _ids(tokenizer: Any, prompts: Sequence[str]) -> list[list[int]]:
    tokens = tokenizer(list(prompts), padding="max_length", max_length=tokenizer.model_max_length)["input_ids"]
    if (longest := max(map(len, tokens))) > tokenizer.model_max_length:
        raise ConceptError(f"an attacked prompt has {longest} tokens, too many; give it fewer words of its own")
    return tokens
