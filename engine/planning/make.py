"""Edits by any editor that a specification names: in closed form, searched for (`auto`), or trained.

The editor's settings are checked without a model. A stored plan is used again only for the very same specification.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from expunge.engine.editors import EDITORS, checked_settings, editor_named, settings_for, unknown
from expunge.engine.editors.training import TRAINERS, train
from expunge.engine.editors.training.base import Report, unheard
from expunge.engine.errors import EditError
from expunge.engine.planning import closed_form as planning
from expunge.engine.planning.auto_search import AUTO, asked, could_be, ladder, search_digest
from expunge.engine.planning.embedding_cache import WordStore
from expunge.engine.plans.edit_plan import EditPlan
from expunge.engine.spec import EditSpec
from expunge.engine.text.templates import templates_digest

KNOWN = (*EDITORS, AUTO, *TRAINERS)


def settings_of(spec: EditSpec) -> Mapping[str, Any]:
    """Return all settings of the editor, defaults filled in; of `auto`, all settings of its search.

    Raises:
        SettingError: the editor or a setting does not exist, or a value is one that it cannot have.
    """
    if spec.editor not in KNOWN:
        raise unknown(f"editor {spec.editor!r} does not exist", spec.editor, KNOWN)
    if spec.editor in TRAINERS:
        return asdict(checked_settings(spec.editor, TRAINERS[spec.editor].settings, spec.settings))
    if spec.editor == AUTO:
        for rung in ladder(spec):
            settings_for(editor_named(rung.editor), rung.settings)
        return asdict(asked(spec))
    return asdict(settings_for(editor_named(spec.editor), spec.settings))


def make(
    pipeline: Any,
    spec: EditSpec,
    report: Report = unheard,
    store: WordStore | None = None,
    checkpoints: Path | None = None,
) -> EditPlan:
    """Plan the edit; the model is left as it was.

    Args:
        pipeline: the model.
        spec: the specification.
        report: called after every step of an editor that trains.
        store: holds what an editor in closed form need not encode again.
        checkpoints: the folder in which a killed training left its state, from which it goes on.
    Raises:
        SettingError, ConceptError: the specification cannot be followed.
        UnknownArchitecture: the model cannot be edited or trained here.
        EditError: the edit failed.
    """
    settings_of(spec)
    if spec.editor not in TRAINERS:
        return planning.plan(pipeline, spec, store)
    made = train(pipeline, spec, report, checkpoints, planning.plan)
    if not made.deltas:
        raise EditError("unet", f"{spec.editor} changed no weight; raise its rate or train it for longer")
    return made


def is_plan_of(made: EditPlan, spec: EditSpec) -> bool:
    """Return whether planning `spec` today would use the same specification, wordings and settings as `made` did."""
    if made.templates != templates_digest():
        return False
    if spec.editor == AUTO:
        return made.spec == search_digest(spec) and could_be(made.settings, spec)
    return (made.spec, made.settings) == (spec.digest, settings_of(spec))
