"""Planning in closed form, which leaves the model as it is.

First each text stream's embeddings of the concepts are gathered, and then each projection gets its change.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from expunge.engine.editors import ConceptEmbeddings, editor_named, settings_for
from expunge.engine.editors.diagnostics import diagnosed
from expunge.engine.errors import EditError
from expunge.engine.families import Projection, projections
from expunge.engine.planning.adaptive_strength import adapted_targets
from expunge.engine.planning.auto_search import AUTO, Judgement, Tuned, least
from expunge.engine.planning.embedding_cache import WordStore
from expunge.engine.planning.text_streams import gathered_from
from expunge.engine.plans.edit_plan import EditPlan, checked, origin
from expunge.engine.spec import EditSpec
from expunge.engine.text.encoder_digest import OFFLOADED


def plan(pipeline: Any, spec: EditSpec, store: WordStore | None = None) -> EditPlan:
    """Plan an edit in closed form; the model is left as it was.

    `expunge.engine.planning.make.make` does so for any editor. What the model makes of its own words is taken from the
    `store`, or put there for later edits.

    Raises:
        SettingError, ConceptError, UnknownArchitecture: the edit cannot be planned as asked.
        EditError: names the layer that failed.
    """
    if spec.editor == AUTO:
        return tuned(pipeline, spec, store=store).plan
    return _draft(pipeline, {}, store, functools.partial(origin, pipeline), spec)


def tuned(
    pipeline: Any,
    spec: EditSpec,
    proof: Judgement | None = None,
    bar: Judgement | None = None,
    store: WordStore | None = None,
) -> Tuned:
    """Plan an edit of `editor: auto`, and return it with the trials that led to it.

    Args:
        pipeline: the model.
        spec: the specification.
        proof: judges a plan by pictures; it may train a model to attack it.
        bar: judges a plan before any picture is drawn.
        store: as for `plan`.
    Raises:
        NothingAccepted: no plan passes.
        SettingError: the specification names an editor itself; further errors as for `plan`.
    """
    once = functools.cache(functools.partial(origin, pipeline))  # the same for every draft, and large to read
    return least(spec, functools.partial(_draft, pipeline, {}, store, once), proof, bar)


@torch.no_grad()
def _draft(
    pipeline: Any,
    gathered: dict[Any, ConceptEmbeddings],
    store: WordStore | None,
    source: Callable[[], dict[str, Any]],
    spec: EditSpec,
) -> EditPlan:
    """Return a plan by the editor that `spec` names; `source` gives the plan's fields of origin.

    `gathered` keeps what was read, for drafts that differ in settings.
    """
    editor = editor_named(spec.editor)
    settings = settings_for(editor, spec.settings)
    found = projections(pipeline)
    whole = {p.name: p.weight.shape[1] for p in found}
    deltas: dict[str, Tensor] = {}
    diagnostics: dict[str, dict[str, float]] = {}
    for streams in sorted({p.streams for p in found}):
        concepts = gathered_from(pipeline, spec, settings, streams, gathered, store)
        weights = {p.name: wide(p, concepts) for p in found if p.streams == streams}
        kinds = {p.name: p.kind for p in found}
        changes = editor.plan(weights, kinds, concepts, settings)
        if settings.adaptive:
            targets = adapted_targets(pipeline, spec, settings, streams, weights, changes)
            changes = editor.plan(weights, kinds, replace(concepts, targets=targets), settings)
        for name, change in changes.items():
            change = checked(name, change.float())
            diagnostics[name] = diagnosed(weights[name], change.double(), concepts)
            deltas[name] = pad(change, (0, whole[name] - change.shape[1]))
    if not deltas:
        raise EditError("projections", f"{editor.name} edits none of {', '.join(whole)} with these settings")
    record = {"editor": editor.name, "settings": asdict(settings), "diagnostics": diagnostics}
    return EditPlan(deltas, spec.digest, **source(), **record)


def wide(projection: Projection, concepts: ConceptEmbeddings) -> Tensor:
    """Return the part of the projection's weight that text feeds, in the type and on the device of the concepts.

    Raises:
        EditError: it is not finite, or not in memory.
    """
    gram = concepts.targets.gram
    try:
        here = projection.spoken.to(gram.device)
    except NotImplementedError as error:
        raise EditError(projection.name, OFFLOADED) from error
    return checked(projection.name, here.to(gram.dtype))  # moved first: not every device has float64
