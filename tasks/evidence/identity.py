"""The comparison of a candidate with its base: what it is, before anybody looks at its pictures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from safetensors import SafetensorError

from expunge.engine.editors.declared import undeclared
from expunge.engine.errors import EngineError
from expunge.engine.files.atomic import write_whole
from expunge.engine.files.comparison import Comparison
from expunge.engine.files.digests import folder_digest
from expunge.engine.models.load import open_model
from expunge.engine.plans.diff import compare
from expunge.engine.plans.edit_plan import EditPlan
from expunge.tasks.core.errors import IntegrityError
from expunge.tasks.core.paths import COMPARISON
from expunge.tasks.core.work_order import Order, Ref, Weights


def refuse_unreadable(candidate: Weights) -> None:
    """Open a model from outside once, before anything is drawn. ModelFormatError if it does not open whole."""
    open_model(candidate.folder, candidate.digest)


def compare_with_base(order: Order, candidate: Weights, plan: Path | None) -> Ref:
    """Write how the candidate differs from the order's base, into the order's folder.

    `plan` is the file of the edit that was declared; with None, for a folder from outside, any weight of a denoiser may
    differ. IntegrityError if either folder is no longer the one with its digest.
    """
    for folder, digest in ((candidate.folder, candidate.digest), (order.base_folder, order.base)):
        if folder_digest(folder) != digest:
            raise IntegrityError(f"{folder} is no longer the model with the digest {digest}: start again")
    found = _compared(lambda: compared(candidate.folder, order.base_folder, plan), declared=plan is not None)
    path = order.folder / COMPARISON
    write_whole(path, found.to_json())
    return Ref.of(path)


def compared(model: Path, base: Path, plan: Path | None) -> Comparison:
    """Return how the model differs from its base with the edit in the file `plan`; None for an edit that is not known.

    The edit may reach no further than its editor declares.
    """
    if plan is None:
        return compare(model, base)
    edit = EditPlan.load(plan)
    found = compare(model, base, edit.deltas)
    return replace(found, differences=(*undeclared(edit, base), *found.differences))


def _compared(work: Callable[[], Comparison], declared: bool) -> Comparison:
    """Return the comparison, or why it failed, which is no PASS."""
    try:
        return work()
    except (EngineError, SafetensorError, OSError, ValueError, TypeError, RuntimeError) as error:
        return Comparison(declared, failure=str(error) or type(error).__name__)
