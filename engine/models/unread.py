"""Every weight in a component's files is one weight of its network, and each weight of the network has one content.

A key that one loader passes over is another loader's weight: nobody judged it, and no edit reaches it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import ExitStack

import torch
from torch import nn
from transformers import PreTrainedModel

from expunge.engine.errors import ModelFormatError
from expunge.engine.files.model_layout import Component, few
from expunge.engine.files.tensor_files import WeightReader, same_bits

PLACES = "position_ids"
"""Old text encoders hold the numbers of their places, which every loader knows without them."""


def check_read(network: nn.Module, component: Component, unexpected: Collection[str], cure: str) -> None:
    """Refuse keys in the component's files that its network, opened from these, did not read.

    `unexpected` are those that the library tells of. It does not tell of all: some it is made to ignore, and of two
    names of one weight it takes one. So names are counted, too. ModelFormatError names them, with the cure.
    """
    places = component.places()
    with ExitStack() as stack:
        reader = WeightReader(places, stack)
        plain = {key for key in places if key.rpartition(".")[2] == PLACES and _counts_up(reader, key)}
        state = {name: id(weight) for name, weight in network.state_dict(keep_vars=True).items()}
        unread = sorted(set(unexpected) - plain) or _uncounted(places.keys() - plain, state)
        if unread:
            raise ModelFormatError(
                f"{component.folder} holds {few(unread)}, which a {component.kind} does not read: copies that no edit "
                f"would reach; {cure}"
            )
        _check_tied(component, reader, _tied(network, state))


def _counts_up(reader: WeightReader, key: str) -> bool:
    found = reader[key].flatten()
    return torch.equal(found.long(), torch.arange(len(found))) and torch.equal(found, found.long().to(found.dtype))


def _uncounted(keys: Collection[str], state: Mapping[str, int]) -> list[str]:
    """Return the keys under names that the network lacks, if they are more or fewer than its weights without a key.

    Libraries rename keys of older versions. Each key goes to one weight and no weight is omitted, so both are as many.
    """
    reached = {state[key] for key in keys if key in state}
    renamed, waiting = [key for key in keys if key not in state], set(state.values()) - reached
    return [] if len(renamed) == len(waiting) else sorted(renamed)


def _tied(network: nn.Module, state: Mapping[str, int]) -> list[tuple[str, str]]:
    """Return the pairs of names that are one weight.

    They are one here, or by the network's class, which keeps apart what differs.
    """
    first: dict[int, str] = {}
    here = [(first.setdefault(ident, name), name) for name, ident in state.items()]
    declared = network.get_expanded_tied_weights_keys(True) if isinstance(network, PreTrainedModel) else {}
    return [(one, other) for one, other in (*here, *declared.items()) if one != other]


def _check_tied(component: Component, reader: WeightReader, tied: Collection[tuple[str, str]]) -> None:
    """Refuse two contents of one weight that has two names: loaders differ in which they take."""
    for one, other in sorted(tied):
        if {one, other} <= reader.places.keys() and not same_bits(reader[one], reader[other]):
            raise ModelFormatError(
                f"{component.folder} holds {one} and {other}, which are one weight of a {component.kind}, with two "
                "contents; keep one of them"
            )
