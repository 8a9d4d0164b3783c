"""An edit is planned in closed form, without touching the model: what each stream says of the concepts is gathered, and
each projection gets its change."""

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
    """Plan an edit in closed form; the model is left as it was (`expunge.engine.planning.make.make` does so by any
    editor). What the model makes of its own words is taken from the `store`, or left there for later edits.

    SettingError, ConceptError, UnknownArchitecture, or EditError naming the layer.
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
    """Plan an edit of `editor: auto`, with the trials that led to it; `proof` is what pictures say, which may train a
    model to attack it, `bar` what speaks against a plan before any is drawn.

    As `plan`, and NothingAccepted; SettingError where the specification names an editor itself.
    """
    once = functools.cache(functools.partial(origin, pipeline))  # it is undone between drafts, and large to read
    return least(spec, functools.partial(_draft, pipeline, {}, store, once), proof, bar)


@torch.no_grad()
def _draft(
    pipeline: Any,
    gathered: dict[Any, ConceptEmbeddings],
    store: WordStore | None,
    source: Callable[[], dict[str, Any]],
    spec: EditSpec,
) -> EditPlan:
    """A plan by the editor that `spec` names, of what `source` says that it comes from; `gathered` keeps what was read
    for drafts that differ in settings."""
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
    told = {"editor": editor.name, "settings": asdict(settings), "diagnostics": diagnostics}
    return EditPlan(deltas, spec.digest, **source(), **told)


def wide(projection: Projection, concepts: ConceptEmbeddings) -> Tensor:
    """What text feeds of the projection's weight, in the type and place of the concepts; EditError if not finite."""
    gram = concepts.targets.gram
    try:
        here = projection.spoken.to(gram.device)
    except NotImplementedError as error:
        raise EditError(projection.name, OFFLOADED) from error
    return checked(projection.name, here.to(gram.dtype))  # carried first: not every device has float64
