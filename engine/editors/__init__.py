"""The editors by name. Every file here that defines `EDITOR` is one."""

from __future__ import annotations

import dataclasses
import difflib
import math
from collections.abc import Collection, Mapping
from typing import Any, TypeVar

from expunge.engine.discover import discover
from expunge.engine.editors.base import ConceptEmbeddings, Editor, Moments, Settings
from expunge.engine.errors import SettingError

EDITORS: dict[str, Editor] = discover(__name__, "EDITOR")

__all__ = [
    "EDITORS",
    "ConceptEmbeddings",
    "Editor",
    "Moments",
    "Settings",
    "checked_settings",
    "editor_named",
    "settings_for",
    "unknown",
]
S = TypeVar("S")


def editor_named(name: str) -> Editor:
    """Return the editor of that name.

    Raises:
        SettingError: there is none; the message lists those there are.
    """
    if name not in EDITORS:
        raise unknown(
            f"editor {name!r} is none in closed form (expunge.engine.planning.make.make takes any)", name, EDITORS
        )
    return EDITORS[name]


def settings_for(editor: Editor, overrides: Mapping[str, Any]) -> Settings:
    """Return the editor's settings with `given` in place of its defaults.

    Raises:
        SettingError: a name is unknown, or a value is one that it cannot have.
    """
    return checked_settings(editor.name, editor.settings, overrides)


def checked_settings(owner: str, settings: type[S], overrides: Mapping[str, Any]) -> S:
    """Return what `settings_for` returns, for any frozen dataclass of settings of `owner`."""
    fields = {field.name: field for field in dataclasses.fields(settings)}  # type: ignore[arg-type]
    for name, value in overrides.items():
        if name not in fields:
            raise unknown(f"{owner} has no setting {name!r}", name, fields)
        _check(owner, fields[name], value)
    return settings(**overrides)


def _check(editor: str, field: dataclasses.Field, value: Any) -> None:
    label, kind = f"{editor}.{field.name}", type(field.default)
    if (choices := field.metadata.get("choices")) and value not in choices:
        raise SettingError(f"{label} is {value!r}; use one of {', '.join(choices)}")
    if value in (words := field.metadata.get("words", ())):
        return
    allowed = (int, float) if kind is float else (kind,)
    if isinstance(value, bool) is not (kind is bool) or not isinstance(value, allowed):
        raise SettingError(f"{label} is {value!r}; use a value of type {' or '.join([kind.__name__, *words])}")
    if isinstance(value, int | float) and not (math.isfinite(value) and value >= 0):
        raise SettingError(f"{label} is {value!r}; use a finite number that is not negative")


def unknown(problem: str, name: str, known: Collection[str]) -> SettingError:
    """Return the error that `name` is not among the `known` names, with the one nearest to it."""
    near = difflib.get_close_matches(name, list(known), n=1)
    meant = f" (did you mean {near[0]!r}?)" if near else ""
    return SettingError(f"{problem}{meant}; known: {', '.join(known)}")
