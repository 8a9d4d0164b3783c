"""An audit concludes anew what a receipt of its own version concluded, so rules that changed are of another version."""

from __future__ import annotations

from pathlib import Path

import expunge.engine
from expunge.engine.files.digests import file_digest, json_digest

ROOT = Path(__file__).parents[2]
RULES = {
    "policies": ("floor",),
    "policies/model": ("canonical", "checks", "policy", "schema", "text"),
    "policies/reading": ("values",),
    "policies/merge": ("concepts", "desired_state", "expiry"),
    "expunge": ("canonical_json",),
    "engine/files": ("comparison", "digests"),
    "engine/stats": (
        "decide",
        "estimates",
        "hypotheses",
        "identity",
        "pairing",
        "requirements",
        "sampling_plan",
        "verdict",
    ),
    "engine/stats/bounds": ("clopper_pearson", "confidence_sequence", "holm"),
    "engine/stats/evidence": ("attack_budgets", "table"),
    "engine/stats/limits": ("acceptance", "attack_names", "attempts", "grade"),
    "engine/probes": ("levels",),
    "tasks/ledger": ("policy_store",),
    "tasks/ledger/line": ("attempts", "proof"),
    "tasks/audit": ("replay",),
    "tasks/core": ("policy_adapter",),
}
PINNED = ("0.20.0", "4e4aca5a97009b4a95b2bc6e9302d272adf109914117384aaa5ba7e883590dfd")


def test_the_rules_are_those_of_this_version() -> None:
    """If not: raise the version where they can come to something else, and pin both here."""
    files = [f"{folder}/{name}.py" for folder, names in RULES.items() for name in names]
    assert (expunge.engine.__version__, json_digest({name: file_digest(ROOT / name) for name in files})) == PINNED
