"""The specification of an edit: what to erase, what to keep, by which editor and with which settings."""

from __future__ import annotations

import itertools
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from expunge.engine.errors import ConceptError, SettingError
from expunge.engine.files.digests import json_digest

CATEGORIES = ("object", "style", "person")
KINDS = ("look_alike", "general")


@dataclass(frozen=True)
class Target:
    """A concept to erase.

    `names` are its name and aliases. `anchor` is what it becomes, by default what the editor's `default_anchor` says.
    `category`, one of CATEGORIES, chooses the templates for its wordings. `prompts` are further wordings: one with {}
    is a template for the names, one without {} stands for the concept as it is.

    Raises:
        ConceptError: a field has a value that cannot be used.
    """

    id: str
    names: tuple[str, ...]
    category: str = "object"
    anchor: str = ""
    prompts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _freeze(self, "names", "prompts")
        _check_names(self.id, self.names)
        _check_category(self.id, self.category)
        if not isinstance(self.anchor, str):
            raise ConceptError(f"{self.id}: the anchor is {self.anchor!r}; give a name, or leave it out")
        if not all(prompt.strip() for prompt in self.prompts):
            raise ConceptError(f"{self.id}: a prompt is empty, and would erase what the model draws of nothing")


@dataclass(frozen=True)
class Retain:
    """A concept to keep.

    A `look_alike` also serves as a counter-example, which shows what belongs to the target alone. `kin` are names of
    targets that it is a kind of, or that are kinds of it, where its own names do not show that
    (`expunge.engine.text.templates.kinship_of`).

    Raises:
        ConceptError: a field has a value that cannot be used.
    """

    id: str
    names: tuple[str, ...]
    category: str = "object"
    kind: str = "look_alike"
    kin: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _freeze(self, "names", "kin")
        _check_names(self.id, self.names)
        _check_category(self.id, self.category)
        if self.kind not in KINDS:
            raise ConceptError(f"retain {self.id}: kind {self.kind!r} does not exist; use one of {', '.join(KINDS)}")


@dataclass(frozen=True)
class EditSpec:
    """The targets and the retain set in canonical order, so that the order of requests never matters.

    `editor` is one of `expunge.engine.planning.make.KNOWN`. `settings` are those of its settings that differ from its
    defaults. `seed` is the seed of its draws: of vocabulary words, and of all that training draws. `scapre-released`
    has a seed of its own.

    Raises:
        ConceptError: the concepts contradict each other, such as a name that is both erased and kept.
        SettingError: the settings are not given by name.
    """

    targets: tuple[Target, ...]
    retain: tuple[Retain, ...] = ()
    editor: str = "scapre"
    settings: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "targets", _ordered("target", self.targets))
        object.__setattr__(self, "retain", _ordered("retain", self.retain))
        if not isinstance(self.settings, Mapping):
            raise SettingError(f"settings are {self.settings!r}; give them by name, as in {{'strength': 3.0}}")
        object.__setattr__(self, "settings", dict(self.settings))
        erased = _owners(self.targets)
        for target in self.targets:
            if owner := erased.get(spoken(target.anchor)):
                raise ConceptError(
                    f"target {target.id}: the anchor {target.anchor!r} is itself erased ({owner}); name what stays, or "
                    "leave it out"
                )
        for kept in self.retain:
            for name in kept.names:
                if owner := erased.get(spoken(name)):
                    raise ConceptError(f"{name!r} is to be erased ({owner}) and kept ({kept.id}); remove it from one")
            for name in kept.kin:
                if spoken(name) not in erased:
                    raise ConceptError(f"retain {kept.id}: kin {name!r} is no target; name one of those to be erased")

    @property
    def erased(self) -> list[str]:
        """Return every name of every target."""
        return [name for target in self.targets for name in target.names]

    @property
    def digest(self) -> str:
        content = asdict(self)
        for kept in content["retain"]:
            if not kept["kin"]:
                del kept["kin"]  # as it was before the field existed, so that older plans are found again
        return json_digest(content)


def _ordered(what: str, concepts: Iterable[Any]) -> tuple[Any, ...]:
    if isinstance(concepts, str | Target | Retain):
        raise ConceptError(
            f"{what}: {concepts!r} stands alone; give a tuple of {what}s, as in ({what.capitalize()}(...),)"
        )
    ordered = tuple(sorted(concepts, key=lambda concept: concept.id))
    for first, second in itertools.pairwise(ordered):
        if first.id == second.id:
            raise ConceptError(f"{what} {first.id} is given twice; merge their names")
    return ordered


def _owners(targets: Iterable[Target]) -> dict[str, str]:
    """Return the id of the target by each of its names in normal form.

    Raises:
        ConceptError: two targets have the same name.
    """
    owners: dict[str, str] = {}
    for target in targets:
        for name in target.names:
            owner = owners.setdefault(spoken(name), target.id)
            if owner != target.id:
                raise ConceptError(f"{name!r} is a name of two targets, {owner} and {target.id}; leave it to one")
    return owners


def spoken(name: str) -> str:
    """Return a name as encoders read it, whatever the form of its accents, capitals and spaces."""
    return " ".join(unicodedata.normalize("NFC", name).lower().split())


def _freeze(concept: Any, *names: str) -> None:
    for name in names:
        value = getattr(concept, name)
        if isinstance(value, str):  # else each letter would become a name
            raise ConceptError(f"{concept.id}: {name} is the text {value!r}; give a tuple, as in ({value!r},)")
        texts = tuple(value) if isinstance(value, Iterable) else (value,)
        if not all(isinstance(text, str) for text in texts):
            raise ConceptError(f"{concept.id}: {name} are {value!r}; give a tuple of texts")
        object.__setattr__(concept, name, texts)


def _check_category(concept: str, category: str) -> None:
    if category not in CATEGORIES:
        raise ConceptError(f"{concept}: category {category!r} does not exist; use one of {', '.join(CATEGORIES)}")


def _check_names(concept: str, names: tuple[str, ...]) -> None:
    if not names or not all(name.strip() for name in names):
        raise ConceptError(f"{concept}: it needs at least one name, and none may be empty")
