"""The kinds of notices. Each file of this folder that defines `KIND` adds one, and no list names it."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Literal

from expunge.policies.kinds.kind import KindOfNotice


def _found() -> dict[str, KindOfNotice]:
    """Return each kind by its name, sorted by file; the name of a kind is that of its file."""
    modules = (import_module(f"{__name__}.{found.name}") for found in iter_modules(__path__))
    kinds = [(module.__name__.rpartition(".")[2], module.KIND) for module in modules if hasattr(module, "KIND")]
    for file, kind in kinds:
        if kind.name != file:
            raise TypeError(f"{file}.py defines the kind {kind.name!r}; give both the same name")
    return {kind.name: kind for _, kind in kinds}


KINDS = _found()
"""All kinds by name: requests, and what answers one or takes it back."""
REQUESTS = tuple(kind.name for kind in KINDS.values() if kind.asks)
PRIVATE_KINDS = frozenset(kind.name for kind in KINDS.values() if kind.protects_a_person)
"""Kinds that keep a person out of pictures. Of their notices no text is kept, for it would name the person, and of
their work no picture leaves the home."""

if TYPE_CHECKING:
    Kind = NoticeKind = str
else:
    Kind = Literal[REQUESTS]
    NoticeKind = Literal[tuple(KINDS)]
