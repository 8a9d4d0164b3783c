"""The settings that `benchmarks/compare.py --tune` chooses among on the built-in model.

Of editors in closed form they are what `editor: auto` searches. Those that train are tried around their defaults, and
`salun` on fewer pictures in fewer steps than published, so that it trains in minutes.
"""

from __future__ import annotations

from typing import Any

from expunge.engine.planning import search_space

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
READ: dict[str, tuple[Any, ...]] = {"tokens": ("last", "all"), "bare": (True, False)}
WORDS: dict[str, tuple[Any, ...]] = {**READ, "general": (0.0, 20.0, 60.0), "general_words": (2000,)}
TOLD: dict[str, dict[str, tuple[Any, ...]]] = {
    "uce": WORDS,
    "rece": WORDS,
    "speed": {**WORDS, "general": (0.0, 0.1, 1.0)},  # beside the mean of what is retained, not its sum
    "mace-cfr": {**WORDS, "tokens": ("tail", "all")},
    "oce": READ,  # which always reads general words
    "scapre-released": {"bare": (True, False)},  # which retains nothing
}
"""What a rival may be told, tried at its best setting on the ladder: wordings, tokens and general words."""
LADDERS = {**search_space.LADDERS, **TRAINED}


def rungs(editor: str) -> list[dict[str, Any]]:
    """Every combination of the values on an editor's ladder."""
    return search_space.combinations(LADDERS[editor])


def input_rungs(editor: str) -> list[dict[str, Any]]:
    """Return every combination of what a tuned editor may be told; no words are read that weigh nothing."""
    found = search_space.combinations(TOLD[editor])
    return [{**rung, "general_words": 0} if rung.get("general") == 0 else rung for rung in found]
