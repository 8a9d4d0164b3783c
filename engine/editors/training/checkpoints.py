"""The state of a killed training in files: tensors by name, found again by the digest of all that they depend on.

A file is written whole or not at all. One that a disk damaged, or that holds other tensors than its digest says, counts
as missing. So a training never goes on from anything but its own state.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from expunge.engine.files.digests import json_digest
from expunge.engine.files.tensor_files import save_whole, tensor_digest

State = Mapping[str, Tensor]


@dataclass(frozen=True)
class Checkpoints:
    """States in `folder`, of the training whose inputs have this digest; without a folder nothing is kept."""

    folder: Path | None = None
    inputs: str = ""

    def of(self, **inputs: Any) -> Checkpoints:
        """Return the same folder, for a training that depends on these inputs too."""
        return Checkpoints(self.folder, json_digest([self.inputs, inputs]))

    def save(self, name: str, state: State) -> None:
        """Keep a state under `name`, in place of an earlier one."""
        if self.folder is None:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        save_whole(state, self._file(name), {"digest": tensor_digest(state), "inputs": self.inputs})

    def load(self, name: str) -> dict[str, Tensor] | None:
        """Return the state under `name`, on the CPU; None if there is none, or if it is not what was saved."""
        if self.folder is None or not (file := self._file(name)).is_file():
            return None
        try:
            with safe_open(file, "pt") as handle:
                metadata = handle.metadata() or {}
                state = {key: handle.get_tensor(key) for key in handle.keys()}  # noqa: SIM118 (no dictionary)
        except (SafetensorError, OSError, json.JSONDecodeError):
            return None
        whole = metadata.get("inputs") == self.inputs and metadata.get("digest") == tensor_digest(state)
        return state if whole else None

    def _file(self, name: str) -> Path:
        assert self.folder is not None
        return self.folder / f"{name}-{self.inputs[:32]}.safetensors"


def under(prefix: str, state: State) -> dict[str, Tensor]:
    """Return the state with `prefix` before each name."""
    return {f"{prefix}.{name}": tensor for name, tensor in state.items()}


def part(prefix: str, state: State) -> dict[str, Tensor]:
    """Return those tensors of a state that `under` put behind `prefix`, by their own names."""
    return {name.removeprefix(f"{prefix}."): own for name, own in state.items() if name.startswith(f"{prefix}.")}


def optimiser_state(optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return an optimiser's state of each parameter, by the parameter's number; its rates are not part of it."""
    remembered = optimiser.state_dict()["state"]
    return {f"{number}.{key}": own for number, values in remembered.items() for key, own in values.items()}


def restore_optimiser(optimiser: torch.optim.Optimizer, state: State) -> None:
    """Give an optimiser the state that `optimiser_state` returned."""
    numbers = sorted({int(name.partition(".")[0]) for name in state})
    restored = {**optimiser.state_dict(), "state": {number: part(str(number), state) for number in numbers}}
    optimiser.load_state_dict(restored)
