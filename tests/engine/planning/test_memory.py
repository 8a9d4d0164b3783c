"""Concepts are read block by block, so that of each one less stays in memory than its prompt is encoded as."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from expunge.engine.planning import concept_embeddings as gathering
from expunge.engine.planning.closed_form import plan
from expunge.engine.spec import EditSpec, Target
from tests.engine.tiny import TOKENS, WIDTH, WORDS

FEW, MANY = 512, 2048
ENCODED = TOKENS * WIDTH * torch.float32.itemsize
"""Bytes of what one prompt is encoded as."""


class Peak(TorchDispatchMode):
    """`most`: the bytes of all tensors that were alive at once, of those that were made within."""

    def __init__(self) -> None:
        super().__init__()
        self.alive: dict[int, tuple[StorageWeakRef, int]] = {}
        self.now = self.most = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, Tensor):
                self._add(tensor.untyped_storage())
        return made

    def _add(self, storage: torch.UntypedStorage) -> None:
        known = StorageWeakRef(storage)
        if known.cdata in self.alive and not self.alive[known.cdata][0].expired():
            return
        if self.now + storage.nbytes() > self.most:
            self.alive = {place: (ref, size) for place, (ref, size) in self.alive.items() if not ref.expired()}
        self.alive[known.cdata] = (known, storage.nbytes())
        self.now = sum(size for _, size in self.alive.values())
        self.most = max(self.most, self.now)


def peak(pipeline: Any, spec: EditSpec) -> int:
    with Peak() as seen:
        plan(pipeline, spec)
    return seen.most


def asked_for(count: int, editor: str) -> EditSpec:
    names = itertools.islice((f"{one} {other}" for one, other in itertools.permutations(WORDS, 2)), count)
    one_wording_each = {"bare": True, "default_anchor": "empty"}
    return EditSpec(tuple(Target(name, (name,)) for name in names), editor=editor, settings=one_wording_each)


def grown(pipeline: Any, editor: str) -> float:
    """Bytes by which the most that a plan holds at once grows with each concept."""
    few, many = (peak(pipeline, asked_for(count, editor)) for count in (FEW, MANY))
    return (many - few) / (MANY - FEW)


@pytest.mark.parametrize("editor", ["scapre", "uce", "rece", "speed", "mace-cfr"])
def test_less_of_a_concept_stays_than_its_prompt_is_encoded_as(pipeline: Any, editor: str) -> None:
    assert grown(pipeline, editor) < ENCODED / 2


def test_the_measure_sees_what_reading_all_at_once_would_hold(pipeline: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering, "BLOCK", MANY)
    assert grown(pipeline, "uce") > ENCODED
