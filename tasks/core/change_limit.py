"""The blast radius: how far an edit may move a layer, by the policy's `limits.max_weight_delta`."""

from __future__ import annotations

from collections.abc import Mapping

from expunge.tasks.core.errors import LimitExceeded


def beyond(reach: Mapping[str, float], limit: float) -> str:
    """Return what is wrong with `reach`, each layer's relative change, or "" if none is above the limit."""
    over = {name: change for name, change in reach.items() if not change <= limit}  # NaN is beyond any limit
    if not over:
        return ""
    layer, change = max(over.items(), key=lambda item: item[1])
    return f"{layer} would change by {change:.3f} of its norm, limits.max_weight_delta allows {limit}"


def check_reach(reach: Mapping[str, float], limit: float) -> None:
    """Raise LimitExceeded if a layer's relative change is above the limit."""
    if found := beyond(reach, limit):
        raise LimitExceeded(f"{found}: ask for fewer concepts at once, lower the strength, or raise the limit")
