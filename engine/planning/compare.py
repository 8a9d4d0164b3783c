"""Figures of plans by different editors on the same tokens. A plan's own figures are of its own editor's tokens."""

from __future__ import annotations

from typing import Any

import torch

from expunge.engine.editors.base import ConceptEmbeddings, Settings
from expunge.engine.editors.diagnostics import diagnosed
from expunge.engine.families import projections
from expunge.engine.planning.closed_form import wide
from expunge.engine.planning.text_streams import gathered_from
from expunge.engine.plans.edit_plan import EditPlan, planned_on
from expunge.engine.spec import EditSpec

EVERY_TOKEN = Settings(general_words=0)


@torch.no_grad()
def figures(pipeline: Any, spec: EditSpec, plan: EditPlan, read: Settings = EVERY_TOKEN) -> dict[str, dict[str, float]]:
    """Return `change`, `residual` and `drift` (see EditPlan) of each text projection that the plan changes.

    `read` says which tokens of the concepts of `spec` count: by default all tokens of all wordings, and no vocabulary
    beside them. A target that names no anchor counts as moved to the empty prompt, unless `read` has another.

    Raises:
        DigestMismatch: the plan was made on other weights.
        ConceptError: as for any plan.
    """
    planned_on(pipeline, plan)
    found = [projection for projection in projections(pipeline) if projection.name in plan.deltas]
    known: dict[Any, ConceptEmbeddings] = {}
    measured = {}
    for streams in sorted({projection.streams for projection in found}):
        concepts = gathered_from(pipeline, spec, read, streams, known)
        for projection in found:
            if projection.streams == streams:
                weight = wide(projection, concepts)
                change = plan.deltas[projection.name][:, : weight.shape[1]].to(weight)
                measured[projection.name] = diagnosed(weight, change, concepts)
    return measured
