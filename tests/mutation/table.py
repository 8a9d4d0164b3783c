"""The modules that decide, and the tests that have to notice if one of them decides otherwise."""

from __future__ import annotations

from collections.abc import Mapping

STATS, TASKS, POLICIES = "tests/engine", "tests/tasks", "tests/policies"


def _files(folder: str, *names: str) -> tuple[str, ...]:
    return tuple(f"{folder}/test_{name}.py" for name in names)


OF_VERDICTS = _files(STATS, "verdict", "claims", "coverage", "grade", "controls", "noise", "pairing", "identity")

MODULES: Mapping[str, tuple[str, ...]] = {
    "engine/stats/verdict.py": OF_VERDICTS,
    "engine/stats/decide.py": OF_VERDICTS + _files(STATS, "collapse", "attack_budgets", "judge_error"),
    "engine/stats/hypotheses.py": _files(STATS, "claims", "coverage", "noise", "collapse", "verdict"),
    "engine/stats/estimates.py": _files(STATS, "claims", "coverage", "collapse", "verdict", "judge_error"),
    "engine/stats/sampling_plan.py": _files(STATS, "rounds", "controls", "noise", "collapse"),
    "engine/stats/confidence_sequence.py": _files(STATS, "sequential", "coverage", "claims"),
    "engine/stats/clopper_pearson.py": _files(STATS, "claims", "verdict", "sequential", "coverage"),
    "engine/stats/evidence_table.py": _files(STATS, "evidence", "verdict", "claims", "pairing", "attack_budgets"),
    "policies/ledger.py": _files(POLICIES, "ledger"),
    "policies/checks.py": _files(POLICIES, "reader_refusals", "names", "ledger", "floor", "examples"),
    "policies/clocks.py": _files(POLICIES, "clocks"),
    "tasks/gate.py": _files(TASKS, "gate", "arms"),
    "tasks/ledger/ledger.py": _files(TASKS, "receipts", "signing", "trust", "audit"),
    "tasks/ledger/signing.py": _files(TASKS, "signing", "trust", "vouched"),
    "tasks/ledger/trust.py": _files(TASKS, "trust", "signing"),
    "tasks/audit/record.py": _files(TASKS, "audit", "audit_rederived", "audit_restored", "trust", "timestamps"),
    "tasks/record.py": _files(TASKS, "record", "publication"),
    "tasks/publish.py": _files(TASKS, "publication", "orders"),
    "tasks/storage/pointer.py": _files(TASKS, "pointer", "publish", "publication"),
    "tasks/storage/bundle_store.py": _files(TASKS, "publish", "vouched"),
    "tasks/storage/s3.py": _files(TASKS, "publish", "pointer", "health", "kept_checksums"),
    "tasks/reverify.py": ("tests/flows/test_reverify.py",),
}
"""By module the files of its tests; those of `tests/flows` need minutes each time."""
