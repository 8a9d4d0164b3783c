"""Bundle: what is published, put together from what the earlier steps made and proved."""

from __future__ import annotations

from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE

from engine.bundle import assemble
from engine.results import Verdict
from tasks.journal import note
from tasks.order import Order, Ref
from tasks.quality import FILE
from tasks.report import render_card


def make_bundle(order: Order, verdict: Verdict, table: Path) -> str:
    """Assemble `bundle/` in the order's folder and return its digest, the sha256 of its manifest."""
    extras: dict[str, Path | bytes] = {
        "deltas.safetensors": order.folder / "deltas.safetensors",
        "evidence.parquet": table,
        "verdict.json": order.folder / "verdict.json",
        "quality.json": order.folder / FILE,
        "README.md": render_card(order, verdict),
    }
    return assemble(order.folder / "candidate", extras, order.folder / "bundle")


@task(name="assemble the bundle", cache_policy=NO_CACHE)
def bundle_task(order: Order, candidate: str, verdict: Ref, table: Ref) -> str:
    digest = make_bundle(order, Verdict.load(verdict.path), table.path)
    inputs = {"candidate": candidate, "verdict": verdict.sha256, "evidence": table.sha256}
    note(order, "bundled", inputs, outputs={"bundle": digest})
    return digest
