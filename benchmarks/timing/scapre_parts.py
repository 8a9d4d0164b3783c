"""ScaPre's own parts, which are off in the default: `python -m benchmarks.speed --part scapre` times them.

Each is switched on alone, then all together, in closed form at the size of Stable Diffusion 1.5, beside the bare
products that it cannot avoid (`benchmarks/timing/floor.py`). The singular value decompositions of the geometry are no
products and stand in no floor.
"""

from __future__ import annotations

from typing import Any

from benchmarks.common.page import table
from benchmarks.timing import floor
from benchmarks.timing.fullsize import Size, pipeline
from benchmarks.timing.plans import settings, timed
from expunge.engine.editors import editor_named, settings_for
from expunge.engine.families import projections

SPECTRAL, MASK, GEOMETRY = {"spectral": 1.0}, {"informax": 1.0}, {"geometry": 1.0}
PARTS: dict[str, dict[str, Any]] = {
    "spectral part": SPECTRAL,
    "Informax mask": MASK,
    "geometry alignment": GEOMETRY,
    "these three": {**SPECTRAL, **MASK, **GEOMETRY},
}


def report(size: Size, count: int, device: str, repeats: int) -> str:
    """Return a table with a line for the default and one for each part, the fastest of `repeats`."""
    model = pipeline(size, device=device)
    rows = [len(found.weight) for found in projections(model)]
    lines = []
    for name, part in {"none, the default": {}, **PARTS}.items():
        own = {**settings("scapre"), **part}
        chosen: Any = settings_for(editor_named("scapre"), own)
        needed = list(floor.scapre(rows, size.width, count, count * size.tokens, chosen))
        closed_form = min(timed(model, "scapre", count, device, own).closed_form for _ in range(repeats))
        bare = floor.seconds(needed, device, repeats)
        lines.append([name, f"{bare:.2f}", f"{closed_form:.2f}", f"{closed_form / bare:.2f}"])
    header = ["ScaPre's parts that are on", "bare products, s", "closed form, s", "closed form / bare"]
    return f"Closed form of {count} concepts by `scapre`, all their tokens:\n\n{table(header, lines)}"
