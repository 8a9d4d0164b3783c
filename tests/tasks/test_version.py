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
PINNED = ("0.15.0", "b3a75e129e2706c672461fbfc71626abf2f2e45dfac6b85f3526246478073749")


def test_the_rules_are_those_of_this_version() -> None:
    """If not: raise the version where they can come to something else, and pin both here."""
    files = [f"{folder}/{name}.py" for folder, names in RULES.items() for name in names]
    assert (engine.__version__, json_digest({name: file_digest(ROOT / name) for name in files})) == PINNED
