"""An audit concludes anew what a receipt of its own version concluded, so rules that changed are of another version."""

from __future__ import annotations

from pathlib import Path

import expunge.engine
from expunge.engine.files.digests import file_digest, json_digest

ROOT = Path(__file__).parents[2]
RULES = {
    "policies": ("canonical", "checks", "floor", "folding", "ledger", "schema", "text", "values"),
    "expunge": ("canonical_json",),
    "engine/files": ("comparison", "digests"),
    "engine/stats": (
        *(
            "acceptance",
            "attack_budgets",
            "attack_names",
            "attempts",
            "clopper_pearson",
            "confidence_sequence",
            "decide",
            "estimates",
        ),
        *(
            "evidence_table",
            "grade",
            "holm",
            "hypotheses",
            "identity",
            "pairing",
            "requirements",
            "sampling_plan",
            "verdict",
        ),
    ),
    "engine/probes": ("levels",),
    "tasks/ledger": ("attempts", "line_proof", "policy_store"),
    "tasks/audit": ("replay",),
    "tasks/core": ("policy_adapter",),
}
PINNED = ("0.20.0", "84d6edc98387ca0c2dbcaedfcaf6ebd65e39bd9529a3fea1138d7c3bd68453be")


def test_the_rules_are_those_of_this_version() -> None:
    """If not: raise the version where they can come to something else, and pin both here."""
    files = [f"{folder}/{name}.py" for folder, names in RULES.items() for name in names]
    assert (expunge.engine.__version__, json_digest({name: file_digest(ROOT / name) for name in files})) == PINNED
