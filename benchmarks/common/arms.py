"""What the benchmarks compare: editors with settings, as published, as given, and as chosen by trials."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

from benchmarks.common import concepts, measure, tables
from benchmarks.common.concepts import Case
from benchmarks.common.ladders import input_rungs, rungs
from benchmarks.common.results import Results
from expunge.canonical_json import canonical_json
from expunge.engine.files.digests import folder_digest
from expunge.engine.planning.make import settings_of

UNEDITED, RETRAINED = "unedited", "re-trained"


@dataclass(frozen=True)
class Arm:
    """An editor with settings, under the `name` by which it is reported; it is told to retain so many `names` more."""

    name: str
    editor: str
    settings: dict[str, Any] = field(default_factory=dict)
    names: int = 0

    def recorded(self, case: Case) -> str:
        """All of its settings as canonical JSON, defaults included."""
        return canonical_json(self._settings(case)).decode()

    def _settings(self, case: Case) -> dict[str, Any]:
        if self.editor == UNEDITED:
            return {}
        if self.editor == RETRAINED:
            return {"model": folder_digest(self.settings["folder"])}
        return dict(settings_of(measure.spec(case, self.editor, self.settings)))


def ladder(editor: str) -> list[Arm]:
    """Return the editor at each setting that tuning may choose."""
    return [Arm(f"{editor} {canonical_json(rung).decode()}", editor, rung) for rung in rungs(editor)]


def tuned(editor: str, trials: Results, model: str, pictures: int) -> Arm:
    """Return the editor at the settings with the best mean H_o on the tuning cases.

    Raises:
        LookupError: one of them was not tried.
    """
    return Arm(editor + tables.TUNED, editor, best(ladder(editor), trials, model, pictures).settings)


def input_ladder(start: Arm) -> list[Arm]:
    """Return a tuned editor with each choice of wordings, tokens and general words that the default could choose."""
    chosen = [{**start.settings, **more} for more in input_rungs(start.editor)]
    return [Arm(f"{start.editor} {canonical_json(own).decode()}", start.editor, own) for own in chosen]


def with_best_inputs(start: Arm, trials: Results, model: str, pictures: int) -> Arm:
    """Return the best of the tuned editor's `input_ladder`; LookupError if one was not tried."""
    return Arm(start.editor + tables.TOLD, start.editor, best(input_ladder(start), trials, model, pictures).settings)


def best(arms: Sequence[Arm], trials: Results, model: str, pictures: int) -> Arm:
    """Return the arm with the best mean H_o on the tuning cases; LookupError if one was not tried."""
    scored = []
    for arm in arms:
        rows = trials.where(model=model[:12], arm=arm.name, pictures=pictures)
        rows = [row for row in rows if row["settings"] == arm.recorded(concepts.tuning_cases()[0])]
        if len(rows) < len(concepts.tuning_cases()):
            raise LookupError(f"{arm.name} was not tried with {pictures} pictures; choose by --tune first")
        scored.append((fmean(float(row["h_o"] or 0) for row in rows), arm))
    return max(scored, key=lambda pair: pair[0])[1]


def with_settings(editor: str, pairs: Sequence[str], names: int = 0) -> Arm:
    """Return the editor with settings given as NAME=JSON and so many names more to retain, and named by them."""
    settings = {name: json.loads(value) for name, _, value in (item.partition("=") for item in pairs)}
    more = [f"{names} names retained"] if names else []
    parts = [editor, *(f"{name} {value}" for name, value in settings.items()), *more]
    return Arm(", ".join(parts), editor, settings, names)
