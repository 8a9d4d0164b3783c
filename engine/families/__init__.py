"""The model families that the engine knows. Every file here that defines `FAMILY` is one."""

from __future__ import annotations

from typing import Any

from expunge.engine.discover import discover
from expunge.engine.errors import UnknownArchitecture
from expunge.engine.families.base import (
    Arguments,
    Family,
    Predict,
    Projection,
    plain_name,
    refuse_replaced,
    submodules,
    uncompiled,
)

FAMILIES: tuple[Family, ...] = tuple(discover(__name__, "FAMILY").values())

__all__ = [
    "FAMILIES",
    "Arguments",
    "Family",
    "Predict",
    "Projection",
    "family_named",
    "family_of",
    "matrices",
    "plain_name",
    "projections",
    "refuse_replaced",
    "submodules",
    "uncompiled",
]


def family_named(pipeline_class: str) -> Family:
    """Return the family that covers a diffusers pipeline class.

    Raises:
        UnknownArchitecture: no family covers it; the message lists the known classes.
    """
    for family in FAMILIES:
        if pipeline_class in family.covers:
            return family
    known = ", ".join(name for family in FAMILIES for name in family.covers)
    raise UnknownArchitecture(f"{pipeline_class} is not a model this engine can edit; known pipelines: {known}")


def family_of(pipeline: Any) -> Family:
    """Return the family that covers a pipeline."""
    return family_named(type(pipeline).__name__)


def projections(pipeline: Any) -> list[Projection]:
    """Return the matrices of a pipeline that can be planned for.

    Raises:
        UnknownArchitecture: what feeds them cannot be known, or the denoiser does not multiply by them.
    """
    family_of(pipeline).check(pipeline)
    return matrices(pipeline)


def matrices(pipeline: Any) -> list[Projection]:
    """Return every text key and value matrix of the pipeline's denoiser, in module order.

    Raises:
        UnknownArchitecture: the denoiser does not multiply by these.
    """
    found = family_of(pipeline).projections(pipeline)
    for component in sorted({projection.name.partition(".")[0] for projection in found}):
        refuse_replaced(uncompiled(getattr(pipeline, component)))
    return found
