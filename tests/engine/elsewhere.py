"""A stand-in for an accelerator: torch's `meta` device, held to the rules that a GPU has.

It computes no numbers, but knows where every tensor lies. `nowhere_mixed` raises `Mixed` on whatever a GPU would
refuse, an operation on tensors of both places, and makes up what is fetched from the device.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.fx.experimental import _config as config
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

SETTINGS: Any = config  # its functions are added while it is imported
PLACE = "meta"
CARRIES = ("aten.copy_", "aten._to_copy")  # from one place to the other


class Mixed(AssertionError):
    """An operation on tensors of the device and of the processor."""


class Rules(TorchDispatchMode):
    """What a GPU refuses: tensors of both places in one operation, but for numbers, and positions on the processor."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs, name = kwargs or {}, str(func)
        if "_local_scalar_dense" in name and _is_there(args[0]):
            return 0
        if name.startswith("aten._to_copy") and _is_there(args[0]) and str(kwargs.get("device")) == "cpu":
            return torch.zeros(args[0].shape, dtype=kwargs.get("dtype") or args[0].dtype)
        if name.startswith("aten._unique2") and _is_there(args[0]):  # all differ: how many do is not known there
            return args[0].flatten(), torch.empty_like(args[0], dtype=torch.long), torch.ones_like(args[0].flatten())
        if _mixes(args, kwargs) and not name.startswith(CARRIES):
            args = _with_positions_there(name, args)
        return func(*args, **kwargs)


class Fetched(TorchFunctionMode):
    """What is fetched from the device is nought, and any question about it is answered with yes."""

    answers: Mapping[Callable[..., Any], Callable[[Tensor], Any]] = {
        Tensor.cpu: lambda value: torch.zeros(value.shape, dtype=value.dtype),
        Tensor.tolist: lambda value: torch.zeros(value.shape, dtype=value.dtype).tolist(),
        Tensor.item: lambda value: 0,
        Tensor.__bool__: lambda value: True,
    }

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in self.answers and _is_there(args[0]):
            return self.answers[func](args[0])
        return func(*args, **(kwargs or {}))


@contextmanager
def nowhere_mixed() -> Iterator[None]:
    """While it lasts; a mask on the device chooses all, for how much it chooses is not known there."""
    with SETTINGS.patch(meta_nonzero_assume_all_nonzero=True), Fetched(), Rules():
        yield


def _is_there(value: Any) -> bool:
    return isinstance(value, Tensor) and value.device.type == PLACE


def _mixes(args: Any, kwargs: Any) -> bool:
    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor) and leaf.dim() > 0]
    return len({tensor.device.type for tensor in tensors}) > 1


def _with_positions_there(name: str, args: Sequence[Any]) -> Sequence[Any]:
    """A tensor of the device may be asked for positions that lie on the processor; all else is refused."""
    if name.startswith("aten.index.Tensor") and _is_there(args[0]):
        return args[0], [place if place is None else place.to(PLACE) for place in args[1]]
    raise Mixed(f"{name} on tensors of the device and of the processor")
