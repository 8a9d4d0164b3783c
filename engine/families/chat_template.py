"""A text in the form in which a pipeline gives it to a chat model: as a user's message, inside a template."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from expunge.engine.errors import ConceptError, UnknownArchitecture

SAID = "\N{OBJECT REPLACEMENT CHARACTER}"  # stands for the text while the template is looked at
Span = tuple[int, int]


@dataclass(frozen=True)
class Chat:
    """A tokenizer that reads texts inside a template, at most `model_max_length` tokens of both.

    The template is the tokenizer's own, which takes the options `how`, or it is `written`, with `{}` where the text
    goes. It is called like any fast tokenizer. Offsets are those of the text, and the template's own tokens count as
    special.
    """

    tokenizer: Any
    model_max_length: int
    how: tuple[tuple[str, Any], ...] = ()
    written: str = ""

    @classmethod
    def of(cls, tokenizer: Any, tokens: int, **how: Any) -> Chat:
        """Return a tokenizer that uses its own template, with the options `how`.

        Raises:
            UnknownArchitecture: it has no template, or pads in front of a text.
        """
        if not tokenizer.chat_template:
            raise UnknownArchitecture("the tokenizer has no chat template, by which prompts are put to it; add its own")
        _check_side(tokenizer)
        return cls(tokenizer, tokens, tuple(how.items()))

    @classmethod
    def written_as(cls, tokenizer: Any, tokens: int, template: str) -> Chat:
        """Return a tokenizer that uses a pipeline's own template.

        Raises:
            UnknownArchitecture: the tokenizer pads in front of a text.
        """
        _check_side(tokenizer)
        return cls(tokenizer, tokens, written=template)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.tokenizer, name)

    def __call__(self, texts: str | Sequence[str], add_special_tokens: bool = True, **how: Any) -> Any:
        """Tokenize texts, inside the template unless `add_special_tokens` is false.

        Raises:
            ConceptError: the template changes a text.
        """
        if not add_special_tokens:
            return self.tokenizer(texts, add_special_tokens=False, **how)
        if isinstance(texts, str):
            return self.tokenizer(self._put(texts), **how)
        read = self.tokenizer([self._put(text) for text in texts], **how)
        if "offset_mapping" in read:
            start, places = len(self._around[0]), zip(texts, read["offset_mapping"], strict=True)
            own = [_counted_from(start, len(text), offsets) for text, offsets in places]
            read["offset_mapping"] = own
            read["special_tokens_mask"] = [[int(first == past) for first, past in offsets] for offsets in own]
        return read

    @cached_property
    def _around(self) -> tuple[str, str]:
        before, _, after = self._rendered(SAID).partition(SAID)
        return before, after

    def _put(self, text: str) -> str:
        """Return the text inside the template."""
        before, after = self._around
        if (put := self._rendered(text)) != before + text + after:
            raise ConceptError(f"the tokenizer's chat template changes {text!r}: word it otherwise")
        return put

    def _rendered(self, text: str) -> str:
        if self.written:
            return self.written.format(text)
        said = [{"role": "user", "content": text}]
        return self.tokenizer.apply_chat_template(said, tokenize=False, add_generation_prompt=True, **dict(self.how))


def _check_side(tokenizer: Any) -> None:
    if tokenizer.padding_side != "right":
        raise UnknownArchitecture("the tokenizer pads in front of a text; set its padding_side to 'right'")


def _counted_from(start: int, length: int, offsets: Sequence[Span]) -> list[Span]:
    """Return offsets in the text that is `length` long and begins at `start`.

    Whatever lies outside it becomes an empty range at one of its ends.
    """
    clipped = [(min(max(first - start, 0), length), min(max(past - start, 0), length)) for first, past in offsets]
    return [(first, max(first, past)) for first, past in clipped]
