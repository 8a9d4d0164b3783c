"""An audit concludes anew what a receipt of its own version concluded, so rules that changed are of another version."""

from __future__ import annotations

from pathlib import Path

import engine
from engine.digests import file_digest, json_digest

ROOT = Path(__file__).parents[2]
RULES = {
    "policies": ("canonical", "checks", "folding", "ledger", "schema", "text", "values"),
    "engine": (
        *("acceptance", "bounds", "canonical", "claims", "demands", "digests", "evidence", "holm"),
        *("results", "rounds", "sequential", "tally", "verdict"),
    ),
    "engine/probes": ("levels",),
    "tasks": ("kept", "proof", "rederived", "translate"),
}
PINNED = ("0.19.0", "f7764b1c5c6130afa5484112f058ce770a74c49dda69791fc5216f73dde6a685")


def test_the_rules_are_those_of_this_version() -> None:
    """If not: raise the version where they can come to something else, and pin both here."""
    files = [f"{folder}/{name}.py" for folder, names in RULES.items() for name in names]
    assert (engine.__version__, json_digest({name: file_digest(ROOT / name) for name in files})) == PINNED
