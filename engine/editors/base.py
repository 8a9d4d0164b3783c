"""The input and output of every editor."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor

from expunge.engine.errors import SettingError
from expunge.engine.linalg import product, sums

EMPTY, MEAN = "empty", "mean"
DEFAULT_ANCHORS = {"choices": (EMPTY, MEAN)}


@dataclass(frozen=True)
class Moments:
    """Weighted second moments of embeddings x and their replacements y, each [d, d] in float64, additive.

    `gram` is sum x x^T, `cross` sum y x^T, `anchor` sum y y^T, and `mass` the sum of the weights. A quadratic objective
    needs nothing else, so memory does not grow with the number of concepts. They are the same for every matrix that a
    text stream feeds.
    """

    gram: Tensor
    cross: Tensor
    anchor: Tensor
    mass: float = 0.0

    @classmethod
    def zero(cls, d: int, device: torch.device | str = "cpu") -> Moments:
        nothing = torch.zeros(d, d, dtype=torch.float64, device=device)
        return cls(nothing, nothing, nothing)

    @classmethod
    def of(cls, x: Tensor, y: Tensor | None = None, weights: Tensor | None = None) -> Moments:
        """Return the moments of rows x [n, d] that become y [n, d], with weights [n].

        By default y is x and each weight is 1.
        """
        x = x.double()
        mass = float(len(x)) if weights is None else weights.double().sum().item()
        scaled = x if weights is None else x * weights.double()[:, None]
        if y is None:
            gram = product(scaled, x)
            return cls(gram, gram, gram, mass)
        y = y.double()
        scaled_y = y if weights is None else y * weights.double()[:, None]
        return cls(product(scaled, x), product(y, scaled), product(scaled_y, y), mass)

    @classmethod
    def shared(cls, x: Tensor, anchors: Tensor, partner: Tensor, weights: Tensor) -> Moments:
        """Return the moments of rows x [n, d] that become `anchors` [a, d] at `partner` [n].

        They equal those of `of`. Rows that become the same anchor token are summed first, which leaves one product over
        all rows instead of three.
        """
        x, anchors, weights = x.double(), anchors.double(), weights.double()
        scaled = x * weights[:, None]
        totals, mass = (sums(part, partner, len(anchors)) for part in (scaled, weights[:, None]))
        cross, anchor = product(anchors, totals), product(anchors * mass, anchors)
        return cls(product(scaled, x), cross, anchor, weights.sum().item())

    def scaled(self, factor: float) -> Moments:
        return Moments(self.gram * factor, self.cross * factor, self.anchor * factor, self.mass * factor)

    def __add__(self, other: Moments) -> Moments:
        sums = (self.gram + other.gram, self.cross + other.cross, self.anchor + other.anchor)
        return Moments(*sums, self.mass + other.mass)


@dataclass(frozen=True)
class Tokens:
    """The targets' tokens one by one, for editors that need more than moments; they grow with the number of concepts.

    `x` [n, d] are tokens in the encoder's own precision. `wording` [n], ascending, is the row of
    `ConceptEmbeddings.subjects` to which each belongs. `anchors` [a, d] are the anchors' tokens and `partner` [n] which
    of them x becomes.
    """

    x: Tensor
    wording: Tensor
    anchors: Tensor
    partner: Tensor

    def __add__(self, other: Tokens) -> Tokens:
        wording = other.wording + (self.wording.max() + 1 if len(self.wording) else 0)
        return Tokens(
            torch.cat([self.x, other.x]),
            torch.cat([self.wording, wording]),
            torch.cat([self.anchors, other.anchors]),
            torch.cat([self.partner, other.partner + len(self.anchors)]),
        )


@dataclass(frozen=True)
class Rows:
    """Retained tokens one by one: `x` [n, d] in the encoder's own precision, `weight` [n] in float64."""

    x: Tensor
    weight: Tensor

    def __add__(self, other: Rows) -> Rows:
        return Rows(torch.cat([self.x, other.x]), torch.cat([self.weight, other.weight]))


@dataclass(frozen=True)
class ConceptEmbeddings:
    """The concepts of one text stream, or of several that feed the same matrix.

    Every target and every retained concept weighs 1, spread over its wordings. The general words weigh 1 as a whole.
    `subjects` [n, d] are the last subject tokens of the targets' wordings, and `neutral` [n, d] what is in their place
    in the anchor's wordings. `concept` [n] is the target to which each belongs; in a further stream of the same matrix
    the numbers go on. `lookalikes` [m, d] are the last subject tokens of retained look-alikes. `empty` [T, d] is the
    empty prompt: the first token that is not dropped, as a rule the start of text, and every one after it. It is None
    where it was not read. `tokens` and `kept` are there for editors whose settings ask for them, and `retain` is the
    moments of `kept`. `streams` is how many text streams were added up.
    """

    targets: Moments
    retain: Moments
    general: Moments
    subjects: Tensor
    neutral: Tensor
    concept: Tensor
    lookalikes: Tensor
    empty: Tensor | None = None
    tokens: Tokens | None = None
    kept: Rows | None = None
    streams: int = 1

    @property
    def count(self) -> int:
        """Return how many targets there are, whatever the number of streams."""
        return len(self.concept.unique()) // self.streams

    def subject_weights(self) -> Tensor:
        """Return weights [n] in float64: each target's 1, spread over its rows in `subjects`."""
        _, owner, rows = self.concept.unique(return_inverse=True, return_counts=True)
        return 1 / rows[owner].double()


@dataclass(frozen=True)
class Settings:
    """The settings that every editor has, about the embeddings that it works on.

    `tokens`: `all` of a prompt; its `tail` from the last subject token on, of a target as far as its anchor's reaches;
    or that `last` subject token alone.

    `bare`: use the names alone instead of the templates.

    `general_words`: how many words of the model's own vocabulary are retained.

    `sentences`: the weight of these words in random sentences, relative to their weight in templates. Above 0, what is
    retained is read in whole sentences as well.

    `kin`: how much more a retained concept counts if its name holds a target's or is held by one, as `police car` and
    `car`.

    `default_anchor`: what a target that names no anchor becomes, the `empty` prompt in its place or the `mean` of other
    words there (`engine/planning/anchors.py`).

    `one_by_one` is no setting. It says whether the editor needs tokens beside moments.
    """

    one_by_one: ClassVar[bool] = False
    tokens: str = field(default="all", metadata={"choices": ("all", "tail", "last")})
    bare: bool = False
    general_words: int = 2000
    sentences: float = 0.0
    kin: float = 1.0
    default_anchor: str = field(default=EMPTY, metadata=DEFAULT_ANCHORS)

    @property
    def lists_kept(self) -> bool:
        """Return whether the editor needs what is retained token by token beside its moments."""
        return False

    @property
    def general_tokens(self) -> str:
        """Return which tokens of the vocabulary's wordings are retained; `spoken` are all before the padding."""
        return self.tokens

    def own_lines(self, category: str) -> tuple[str, ...]:
        """Return the lines of the editor's authors for targets of a category; empty if `bare` decides."""
        return ()

    @property
    def adaptive(self) -> bool:
        """Return whether targets are weighed by how hard each is to erase."""
        return False


def reads_words(general: float, general_words: int) -> None:
    """Refuse a weight `general` for words of which `general_words` reads none.

    Raises:
        SettingError: `general` is above 0, and `general_words` is 0.
    """
    if general and not general_words:
        raise SettingError(f"general is {general}, the weight of words of which general_words reads none; set both")


def at_least(owner: str, least: int, **values: float) -> None:
    """Refuse a setting of the editor `owner` that is below `least`.

    Raises:
        SettingError: names the setting.
    """
    for name, value in values.items():
        if value < least:
            raise SettingError(f"{owner}.{name} is {value}; use at least {least}")


@dataclass(frozen=True)
class Editor:
    """An editor in closed form.

    `plan(weights, kinds, concepts, settings)` returns the change of each weight, [d_out, d] in float64. `weights` are
    W0 [d_out, d] in float64 by name, `kinds` says `key` or `value` for each. It has no side effects.
    """

    name: str
    settings: type[Settings]
    plan: Callable[[Mapping[str, Tensor], Mapping[str, str], ConceptEmbeddings, Any], dict[str, Tensor]]
