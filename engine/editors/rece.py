"""RECE (Gong et al., ECCV 2024, arXiv 2407.12383): UCE, then erase the embeddings that still bring a concept back.

A round first finds an embedding for each concept c, over all layers together (equation 7). It is the one for which the
output of the edited model W is closest to the output of the original W0 for c:

    min over c' of  sum over layers |W c' - W0 c|^2 + mu |c'|^2,   c' = (mu I + sum W^T W)^-1 (sum W^T W0) c,

It then erases c' by equation 3, with anchor values and retained values as in the original model:

    W <- (lam W + s sum (W0 a) c'^T + r sum (W0 k) k^T) (lam I + s sum c' c'^T + r sum k k^T)^-1

Every such W is W0 (I + D) with one D [d, d] for the whole model. So all layers enter through sum W0^T W0, and a round
costs the same for any number of layers. The concepts of a round are found and erased together, so that their order does
not matter. c' is found for the last subject token of every wording, of which the published method has one for each
concept.

Only the ridge holds a round to those before it. So what an early round erased can come back in a late one, and more
rounds are not always more erasure.

It differs from the released code (CharlesGong12/RECE):

- There c' is found for all 77 tokens of the padded prompt, and each is erased to the token of the anchor's prompt in
  the same place. Here it is found for the last subject token alone.
- There the empty prompt is always retained, all its tokens by r. Here only what the specification retains is.
- There anchor values and retained values are those of the model that the round before left, and W0 is the original for
  finding c' alone.
- There the rounds go on from a checkpoint of UCE's earlier script at its own settings (lam 0.5, the tokens from the
  last subject token on, the empty prompt retained at 1). Here UCE has the settings of the rounds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from expunge.engine.editors.base import ConceptEmbeddings, Editor, Moments
from expunge.engine.editors.uce import UceSettings, right_factor
from expunge.engine.errors import EditError
from expunge.engine.linalg import WORST_CONDITION, cholesky, cholesky_solve, eigvalsh, eye, product, times


@dataclass(frozen=True)
class ReceSettings(UceSettings):
    """Settings of RECE, under the names of `uce`.

    `erase_scale` is s, `preserve_scale` r (the paper's lambda_1) and `lamb` lam (lambda_2). `rounds` counts those after
    UCE's own. `regular_scale` is mu, and `general` the weight of the vocabulary's own words.

    The defaults are those of the command for nudity in the released README. Its script, scripts/nudity.sh, has 5 rounds
    and saves a round's model if a detector sees less nudity than in all before. By the README r and lam are always 0.1.
    Other unsafe concepts take mu 0.1 and 2 rounds, styles and objects that are hard for UCE mu 0.001 and one round,
    easy ones mu 0.1 and one round.
    """

    preserve_scale: float = 0.1
    lamb: float = 0.1
    rounds: int = 3
    regular_scale: float = 0.1


def plan(
    weights: Mapping[str, Tensor], kinds: Mapping[str, str], concepts: ConceptEmbeddings, settings: ReceSettings
) -> dict[str, Tensor]:
    """Return the change of each weight, W0 times one matrix for the whole model."""
    layers = torch.stack([product(weight, weight) for weight in weights.values()]).sum(0)
    change = right_factor(concepts.targets, concepts, settings)
    for _ in range(settings.rounds):
        found = evoking(layers, change, concepts.subjects, settings.regular_scale)
        moments = Moments.of(found, concepts.neutral, concepts.subject_weights())
        change = right_factor(moments, concepts, settings, present=change)
    return {name: times(weight, change) for name, weight in weights.items()}


def evoking(layers: Tensor, change: Tensor, subjects: Tensor, regular_scale: float) -> Tensor:
    """Return the embeddings [n, d] for which W0 (I + `change`) comes closest to W0 times `subjects` [n, d].

    `layers` is sum W0^T W0 [d, d].

    Raises:
        EditError: no embedding is closest, which takes `regular_scale` 0.
    """
    edited = eye(len(change), change) + change
    system = times(times(edited.T, layers), edited)
    system = system + regular_scale * eye(len(change), change)
    system = (system + system.T) / 2
    spectrum = eigvalsh(system)
    if not spectrum[0] * WORST_CONDITION > spectrum[-1]:
        raise EditError("re-evoking embeddings", "the system is singular; raise regular_scale")
    return cholesky_solve(times(times(edited.T, layers), subjects.double().T), cholesky(system)).T


EDITOR = Editor("rece", ReceSettings, plan)
