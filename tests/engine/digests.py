"""What a pipeline's weights are, bit for bit."""

from __future__ import annotations

from typing import Any

from torch import nn

from expunge.engine.files.tensor_files import tensor_digest


def digests(pipeline: Any) -> dict[str, str]:
    """That of each weight, by the names that edits have for them."""
    parts = {name: part for name, part in pipeline.components.items() if isinstance(part, nn.Module)}
    return {
        f"{name}.{key}": tensor_digest({key: w}) for name, part in parts.items() for key, w in part.state_dict().items()
    }


def at_rest(pipeline: Any) -> dict[str, str]:
    """The same, of a pipeline that nothing is being trained in: no gradient is left and no weight is held."""
    parts = [part for part in pipeline.components.values() if isinstance(part, nn.Module)]
    assert all(weight.grad is None and weight.requires_grad for part in parts for weight in part.parameters())
    return digests(pipeline)
