"""Bundle: what is published, put together from what the earlier steps made and proved."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from expunge.engine.files.bundle import MODEL, assemble
from expunge.engine.files.digests import file_digest
from expunge.engine.stats.identity import identity_reasons
from expunge.engine.stats.verdict import Verdict
from expunge.tasks.core.errors import IntegrityError
from expunge.tasks.core.paths import BUNDLE, CANDIDATE, DELTAS, EVIDENCE, QUALITY, VERDICT
from expunge.tasks.core.work_order import Ref, Weights
from expunge.tasks.core.workflow.run_progress import tell
from expunge.tasks.core.workflow.steps import step
from expunge.tasks.evidence.identity import compared
from expunge.tasks.ledger.case import Case
from expunge.tasks.ledger.receipt import Step
from expunge.tasks.report import render_card
from expunge.tasks.storage.manifest import listed, model_digest


def make_bundle(case: Case, verdict: Verdict, table: Path) -> str:
    """Assemble `bundle/` in the order's folder and return its digest, the sha256 of its manifest."""
    order = case.order
    extras: dict[str, Path | bytes] = {
        DELTAS: order.folder / DELTAS,
        EVIDENCE: table,
        VERDICT: order.folder / VERDICT,
        QUALITY: order.folder / QUALITY,
        "README.md": render_card(case, verdict),
    }
    return assemble(order.folder / CANDIDATE, extras, order.folder / BUNDLE)


def check_proven(bundle: Path, candidate: str, files: Mapping[str, Ref]) -> None:
    """Raise IntegrityError unless the bundle holds what was verified, for the proof may have taken hours."""
    changed = [name for name, proven in files.items() if file_digest(bundle / name) != proven.sha256]
    if model_digest(listed(bundle)) != candidate:
        changed.append(MODEL)
    if changed:
        raise IntegrityError(f"{changed[0]} in {bundle} is not what was verified: submit the policy again")


def check_edited(bundle: Path, base: Path) -> None:
    """Raise IntegrityError unless the model in the bundle is the base with the edit beside it, and nothing else."""
    for reason in identity_reasons(compared(bundle / MODEL, base, bundle / DELTAS)):
        raise IntegrityError(f"{bundle} cannot be published: {reason.message}")


@step("assemble the bundle")
def bundle_task(case: Case, plan: Ref, candidate: Weights, verdict: Ref, table: Ref) -> str:
    """Return the digest of the bundle, which holds what was verified and nothing else."""
    folder = case.order.folder / BUNDLE
    digest = make_bundle(case, Verdict.load(verdict.path), table.path)
    check_proven(folder, candidate.digest, {DELTAS: plan, EVIDENCE: table, VERDICT: verdict})
    check_edited(folder, case.order.base_folder)
    inputs = {"candidate": candidate.digest, "verdict": verdict.sha256, "evidence": table.sha256}
    case.note(Step.BUNDLED, inputs, outputs={"bundle": digest})
    tell(f"assembled: bundle {digest[:12]}")
    return digest
