"""The modules that decide, and the tests that have to notice if one of them decides otherwise."""

from __future__ import annotations

from collections.abc import Mapping

STATS, TASKS, POLICIES = "tests/engine/stats", "tests/tasks", "tests/policies"
LEDGER, AUDIT, STORAGE = f"{TASKS}/ledger", f"{TASKS}/audit", f"{TASKS}/storage"
SIGNATURES = f"{LEDGER}/signatures"
OF_A_JUDGE = ("tests/engine/judges/test_judge_error.py",)


def _files(folder: str, *names: str) -> tuple[str, ...]:
    return tuple(f"{folder}/test_{name}.py" for name in names)


OF_VERDICTS = _files(STATS, "verdict", "claims", "coverage", "grade", "controls", "noise", "pairing", "identity")
OF_RECEIPTS = _files(LEDGER, "receipts") + _files(AUDIT, "audit")

MODULES: Mapping[str, tuple[str, ...]] = {
    "engine/stats/verdict.py": OF_VERDICTS + _files(STATS, "outcome", "collapse") + OF_A_JUDGE,
    "engine/stats/decide.py": OF_VERDICTS + _files(STATS, "collapse", "attack_budgets") + OF_A_JUDGE,
    "engine/stats/hypotheses.py": _files(STATS, "claims", "coverage", "noise", "collapse", "verdict"),
    "engine/stats/estimates.py": _files(STATS, "estimates", "claims", "coverage", "collapse", "verdict") + OF_A_JUDGE,
    "engine/stats/sampling_plan.py": _files(STATS, "rounds", "controls", "noise", "collapse"),
    "engine/stats/bounds/confidence_sequence.py": _files(STATS, "sequential", "coverage", "claims"),
    "engine/stats/bounds/clopper_pearson.py": _files(STATS, "claims", "verdict", "sequential", "coverage"),
    "engine/stats/evidence/table.py": _files(STATS, "evidence", "never_shown", "verdict", "claims", "pairing"),
    "policies/merge/desired_state.py": _files(POLICIES, "desired_state", "one_id"),
    "policies/model/checks.py": _files(
        POLICIES, "ends", "reader_refusals", "names", "desired_state", "floor", "examples"
    ),
    "policies/merge/expiry.py": _files(POLICIES, "expiry") + _files(LEDGER, "expiry"),
    "policies/model/deadlines.py": _files(POLICIES, "deadlines"),
    "tasks/gate.py": _files(TASKS, "gate_task", "gate") + _files(f"{TASKS}/evidence", "arms"),
    "tasks/ledger/ledger.py": _files(LEDGER, "receipts")
    + _files(STORAGE, "shared_record")
    + _files(SIGNATURES, "signing", "trust")
    + _files(AUDIT, "audit"),
    "tasks/ledger/receipt.py": OF_RECEIPTS + _files(LEDGER, "receipt"),
    **{
        f"tasks/ledger/decisions/{name}.py": _files(LEDGER, "envelope", "who_decides", "decisions", *more)
        for name, more in {
            "validity": (),
            "envelope": (),
            "record": (),
            "question": ("questions",),
            "kinds": ("questions", "counters"),
            "stopping": ("stopped", "counters"),
        }.items()
    },
    "tasks/ledger/decisions/expiry.py": _files(LEDGER, "untimely", "expiry"),
    "tasks/approval.py": _files(TASKS, "approval"),
    "tasks/ledger/signatures/signing.py": _files(SIGNATURES, "statements", "signing", "trust")
    + _files(AUDIT, "vouched"),
    "tasks/ledger/signatures/trust.py": _files(SIGNATURES, "following", "trust", "signing"),
    "tasks/audit/record.py": _files(AUDIT, "findings", "audit", "audit_rederived", "audit_restored")
    + _files(SIGNATURES, "trust", "timestamps"),
    "tasks/record.py": _files(f"{TASKS}/tracking", "entered", "runs"),
    "tasks/publish.py": (f"{TASKS}/core/test_work_order.py", *_files(TASKS, "in_place", "publication")),
    "tasks/storage/pointer.py": _files(STORAGE, "pointer", "fence", "publish") + _files(TASKS, "publication"),
    "tasks/storage/bundle_store.py": _files(STORAGE, "objects", "publish") + _files(AUDIT, "vouched"),
    "tasks/storage/s3.py": _files(STORAGE, "objects", "publish", "pointer", "kept_checksums")
    + _files(TASKS, "preflight"),
    "tasks/reverify.py": ("tests/flows/test_reverify.py",),
}
"""By module the files of its tests; those of `tests/flows` need minutes each time."""
