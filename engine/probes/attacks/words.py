"""Words as an attacker sees them: single tokens whose input embeddings can be read, replaced and differentiated.

Nothing here touches a weight: a hook on the encoder's embedding table swaps what the table says of some words while a
context lasts, so the pipeline draws with the swapped words by its own code.
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
    """Every text encoder beside its tokenizer, by component name."""
    pairs = {
        f"text_encoder{end}": (getattr(pipeline, f"text_encoder{end}", None), f"tokenizer{end}")
        for end in ("", "_2", "_3")
    }
    return {name: (encoder, getattr(pipeline, own)) for name, (encoder, own) in pairs.items() if encoder is not None}


@contextmanager
def lent(pipeline: Any, parts: Mapping[str, Any]) -> Iterator[None]:
    """While it lasts the pipeline works with these tokenizers, `vae` and `scheduler`, by component name, and not with
    its own.

    Whoever holds the weights reads with what he likes, so a filter that hides in a tokenizer stops no attack. Nor does
    a VAE whose half that takes pictures in was ruined, which drawing does not use. ModelFormatError where a vocabulary
    is another one, for then the same words would say something else, or the latents are.
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
    """The whole words that are one token for every encoder, sorted, without those in `names` and their plurals.

    Nor those whose row in a table is not finite: the tables are the supplier's, and one such word makes whatever is
    computed with it NaN. Where no row is finite, all of them are left. ConceptError if there are none.
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
    """`count` different words of the pool."""
    places: list[int] = torch.randperm(len(pool), generator=generator)[:count].tolist()
    return [pool[place] for place in places]


def token_ids(tokenizer: Any, words: Sequence[str]) -> Tensor:
    """The tokens [n] of words that are one token each."""
    return torch.tensor([own[0] for own in tokenizer(list(words), add_special_tokens=False)["input_ids"]])


def input_embeddings(pipeline: Any, words: Sequence[str]) -> dict[str, Tensor]:
    """What each encoder's table says of the words, float32 [n, d] by component name."""
    found = {}
    for name, (encoder, tokenizer) in encoders(pipeline).items():
        table = encoder.get_input_embeddings().weight.detach()
        found[name] = table[token_ids(tokenizer, words).to(table.device)].float()
    return found


def of_usual_length(pipeline: Any, words: Sequence[str], shortest: float = 0.0) -> dict[str, Tensor]:
    """`input_embeddings`, but no row longer than the median one, nor shorter than the share `shortest` of it.

    Encoders normalise, so whoever supplies the tables can change lengths and hardly anything that the rows say: what is
    ranked by a product with them, or starts from them, would then follow his. Rows of nought have no part in the
    median, or many of them would make all others nought.
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
    """While it lasts each encoder embeds `words` as `vectors[component]` [n, d], gradients included."""
    with ExitStack() as hooks:
        for name, (encoder, tokenizer) in encoders(pipeline).items():
            swap = partial(_swapped, token_ids(tokenizer, words).tolist(), vectors[name])
            for table in _tables(encoder):
                hooks.callback(table.register_forward_hook(swap).remove)
        yield


def _tables(encoder: Any) -> list[nn.Module]:
    """The modules that look words up: T5 has two, one weight."""
    weight = encoder.get_input_embeddings().weight
    return [part for part in encoder.modules() if isinstance(part, nn.Embedding) and part.weight is weight]


def _swapped(ids: Sequence[int], vectors: Tensor, table: nn.Module, given: tuple[Tensor], output: Tensor) -> Tensor:
    for place, token in enumerate(ids):
        output = torch.where((given[0] == token)[..., None], vectors[place].to(output), output)
    return output


def repeated(arguments: Mapping[str, Tensor], count: int) -> dict[str, Tensor]:
    """What the denoiser is fed for one prompt, for `count` pictures."""
    return {key: value.expand(count, *value.shape[1:]) for key, value in arguments.items()}


def conditioning(pipeline: Any, prompts: Sequence[str]) -> dict[str, Tensor]:
    """What the denoiser is fed for the prompts, by the pipeline's own keywords, [n, ...] each; keeps gradients."""
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
