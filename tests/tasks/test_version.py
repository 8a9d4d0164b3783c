"""An audit concludes anew what a receipt of its own version concluded, so rules that changed are of another version."""

from __future__ import annotations

from pathlib import Path

import engine
from engine.digests import code_digest

ROOT = Path(__file__).parents[2]
RULES = {
    "policies": ("canonical", "folding", "ledger", "schema", "text", "values"),
    "engine": (
        *("acceptance", "bounds", "claims", "demands", "evidence", "holm"),
        *("results", "rounds", "sequential", "tally", "verdict"),
    ),
    "engine/probes": ("levels",),
    "tasks": ("kept", "proof", "rederived", "translate"),
}
PINNED = ("0.8.0", "d057c2f63d4dac2624daaa7d6fe1c9169135456399592b3dcb7e476d2a23fd41")


def test_the_rules_are_those_of_this_version() -> None:
    """If not: raise the version where they can come to something else, and pin both here."""
    paths = [ROOT / folder / f"{name}.py" for folder, names in RULES.items() for name in names]
    assert (engine.__version__, code_digest(paths)) == PINNED
