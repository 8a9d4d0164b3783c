"""The choices of `editor: auto`: for each editor a few values of the settings that trade erasing against keeping."""

from __future__ import annotations

import itertools
from collections.abc import Container, Iterable, Mapping
from typing import Any

from expunge.engine.editors.base import EMPTY, MEAN

LADDERS: dict[str, dict[str, tuple[float | str, ...]]] = {
    "scapre": {
        "default_anchor": (EMPTY, MEAN),
        "general": (60.0, 20.0, 6.0),
        "strength": (0.3, 1.0, 3.0, 12.0, 30.0),
    },
    "scapre-released": {
        "default_anchor": (EMPTY, MEAN),
        "lamb": (50000.0, 5000.0, 500.0, 50.0, 5.0, 0.5),
        "erase_scale": (0.5, 1.0, 2.0, 4.0),
    },
    "uce": {
        "default_anchor": (EMPTY, MEAN),
        "preserve_scale": (1.0, 10.0, 100.0),
        "erase_scale": (0.1, 0.3, 1.0, 3.0, 10.0, 30.0),
    },
    "rece": {
        "default_anchor": (EMPTY, MEAN),
        "preserve_scale": (0.01, 0.1, 1.0, 10.0),
        "erase_scale": (0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0),
    },
    "speed": {
        "default_anchor": (EMPTY, MEAN),
        "threshold": (0.0001, 0.01, 0.1),
        "retain_scale": (1.0, 0.1, 0.05),
        "prior_filter": (True, False),
    },
    "oce": {
        "default_anchor": (EMPTY, MEAN),
        "preserve_concept_scale": (50.0, 5.0, 0.0),
        "erase_scale": (20.0, 60.0, 200.0, 600.0, 2000.0),
    },
    "mace-cfr": {
        "default_anchor": (EMPTY, MEAN),
        "lamb": (100.0, 10.0, 1 / 3, 0.01),
        "preserve_scale": (0.0, 1.0, 10.0, 100.0),
    },
}

SEARCHED = tuple(name for name in LADDERS if name != "oce")
"""The editors that are searched. OCE turns a target's values and keeps their size: erasing more raises a residual."""


def rungs(editor: str, without: Container[str] = ()) -> list[dict[str, Any]]:
    """Return the settings of an editor, from what erases least on; `without` those that are settled."""
    return combinations({name: values for name, values in LADDERS[editor].items() if name not in without})


def combinations(axes: Mapping[str, Iterable[Any]]) -> list[dict[str, Any]]:
    """Return settings with one of the values of each axis, the last axis turning fastest."""
    return [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]
