"""The models under examination: unedited, edited, and where that differs its denoiser in the base's pipeline.

It follows from the files of base and model alone, so the gate works out again how many arms there had to be.
"""

from __future__ import annotations

from functools import lru_cache

from expunge.engine.errors import DigestMismatch
from expunge.engine.files.digests import folder_digest
from expunge.engine.files.exchanged import parts_unlike, write_exchanged
from expunge.engine.models.format import DENOISERS
from expunge.engine.stats.evidence.table import ARMS, DENOISER, EVERY_ARM
from expunge.tasks.core.paths import EXCHANGED
from expunge.tasks.core.work_order import Order, Weights


def models_of(order: Order, candidate: Weights) -> list[tuple[str, Weights]]:
    """Return (arm, model) of all that is asked, the unedited one first."""
    base = Weights(order.base_folder, order.base)
    made: list[tuple[str, Weights]] = [(ARMS[0], base), (ARMS[1], candidate)]
    if DENOISER in arms_of(order, candidate):
        made.append((DENOISER, exchange(order, candidate)))
    return made


def arms_of(order: Order, model: Weights) -> tuple[str, ...]:
    """Return the arms that evidence on this model must have."""
    return EVERY_ARM if _unlike(Weights(order.base_folder, order.base), model) else ARMS


def exchange(order: Order, candidate: Weights) -> Weights:
    """Write the base's pipeline with the candidate's denoiser into the work folder, and return it.

    DigestMismatch if the candidate's files are no longer those with its digest.
    """
    folder = order.folder / EXCHANGED
    write_exchanged(order.base_folder, candidate.folder, DENOISERS, folder)
    if (found := folder_digest(candidate.folder)) != candidate.digest:
        cure = "leave its files alone while it is examined, and examine it again"
        raise DigestMismatch(f"model folder {candidate.folder.name}", candidate.digest, found, cure)
    return Weights(folder, folder_digest(folder))


def exchanged(order: Order) -> Weights | None:
    """Return what `exchange` left in the work folder; None if it left nothing, or it was cleared away."""
    folder = order.folder / EXCHANGED
    return Weights(folder, folder_digest(folder)) if folder.is_dir() else None


@lru_cache(maxsize=16)
def _unlike(base: Weights, model: Weights) -> tuple[str, ...]:
    return tuple(parts_unlike(base.folder, model.folder, DENOISERS))
