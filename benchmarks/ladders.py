"""The settings that `benchmarks/compare.py --tune` chooses among on the built-in model.

Of editors in closed form they are what `editor: auto` searches. Those that train are tried around their defaults, and
`salun` on fewer pictures in fewer steps than published, so that it trains in minutes.
"""

from __future__ import annotations

from typing import Any

from expunge.engine.planning import search_space as ladders

TRAINED: dict[str, dict[str, tuple[float, ...]]] = {
    "esd": {
        "eta": (0.0, 1.0),
        "rate": (1e-5, 2e-5, 5e-5, 1e-4, 2e-4),
        "iterations": (50, 200),
    },
    "salun": {
        "pictures": (160,),
        "steps": (20,),
        "epochs": (10,),
        "beta": (0.1, 0.5, 2.0),
        "rate": (1e-5, 3e-5, 1e-4),
    },
}
LADDERS = {**ladders.LADDERS, **TRAINED}


def rungs(editor: str) -> list[dict[str, Any]]:
    """Every combination of the values on an editor's ladder."""
    return ladders.combinations(LADDERS[editor])
