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
from expunge.tasks.core.steps import step
from expunge.tasks.core.work_order import Order, Ref
from expunge.tasks.evidence.identity import compared
from expunge.tasks.ledger.ledger import Step
from expunge.tasks.ledger.recorder import note
from expunge.tasks.report import render_card
from expunge.tasks.storage.manifest import listed, model_digest


def make_bundle(order: Order, verdict: Verdict, table: Path) -> str:
    """Assemble `bundle/` in the order's folder and return its digest, the sha256 of its manifest."""
    extras: dict[str, Path | bytes] = {
        DELTAS: order.folder / DELTAS,
        EVIDENCE: table,
        VERDICT: order.folder / VERDICT,
        QUALITY: order.folder / QUALITY,
        "README.md": render_card(order, verdict),
    }
    return assemble(order.folder / CANDIDATE, extras, order.folder / BUNDLE)


def check_proven(bundle: Path, candidate: str, files: Mapping[str, Ref]) -> None:
    """IntegrityError unless the bundle holds what was verified: the proof may have taken hours, by other processes."""
    changed = [name for name, proven in files.items() if file_digest(bundle / name) != proven.sha256]
    if model_digest(listed(bundle)) != candidate:
        changed.append(MODEL)
    if changed:
        raise IntegrityError(f"{changed[0]} in {bundle} is not what was verified: submit the policy again")


def check_edited(bundle: Path, base: Path) -> None:
    """IntegrityError unless the model in the bundle is the base with the edit that lies beside it, and nothing else."""
    for reason in identity_reasons(compared(bundle / MODEL, base, bundle / DELTAS)):
        raise IntegrityError(f"{bundle} cannot be published: {reason.message}")


@step("assemble the bundle")
def bundle_task(order: Order, plan: Ref, candidate: str, verdict: Ref, table: Ref) -> str:
    digest = make_bundle(order, Verdict.load(verdict.path), table.path)
    check_proven(order.folder / BUNDLE, candidate, {DELTAS: plan, EVIDENCE: table, VERDICT: verdict})
    check_edited(order.folder / BUNDLE, order.base_folder)
    inputs = {"candidate": candidate, "verdict": verdict.sha256, "evidence": table.sha256}
    note(order, Step.BUNDLED, inputs, outputs={"bundle": digest})
    return digest
