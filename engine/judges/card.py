"""The card of a judge's folder, read without loading a weight, and the judge that it names.

`judge.json` names the `kind`; a folder with a `labels.json` alone is a CLIP judge. Every file here that defines `JUDGE`
is a kind. It says which further fields its card has, and what they mean.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from expunge.engine.discover import discover
from expunge.engine.errors import ModelFormatError
from expunge.engine.files.reading import strict_json
from expunge.engine.judges.base import Judge
from expunge.engine.spec import spoken

CARD, LABELS, REFERENCES = "judge.json", "labels.json", "references.safetensors"
Known = dict[str, frozenset[str] | None]
LEAST_LABELS = 3  # of a category: what is asked for, and two rivals


@dataclass(frozen=True)
class Card:
    """The content of a `judge.json`."""

    kind: str
    version: str = ""
    threshold: float = 0.0
    categories: tuple[str, ...] = ()
    concepts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    members: tuple[str, ...] = ()
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    nothing: str = ""
    thresholds: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


@dataclass(frozen=True)
class Kind:
    """One kind of judge, as its own file declares it.

    `needs` are the fields that its card must have beside the kind, `optional` those that it may have. `opens` takes the
    folder and the device to compute on, `knows` the folder and its card. `lists` gives names that the judge chooses
    among where it takes any name. A kind that `recognises` says of a picture of nothing that it shows nothing.
    """

    name: str
    opens: Callable[[Path, str], Judge]
    knows: Callable[[Path, Card], Known]
    needs: frozenset[str] = frozenset()
    optional: frozenset[str] = frozenset()
    lists: Callable[[Path], dict[str, list[str]]] | None = None
    recognises: bool = False


@cache
def kinds() -> dict[str, Kind]:
    """Return the kinds of judges by name."""
    return discover(__name__.rpartition(".")[0], "JUDGE")


def open_judge(folder: str | Path, device: str = "cpu") -> Judge:
    """Return the judge in `folder`, of the class that its card names; its digest is the folder's.

    Args:
        folder: the judge's card and weights.
        device: where torch computes for it.
    Raises:
        ModelFormatError, MissingExtra: the folder is unfit or a package is missing; the message has the cure.
    """
    folder = Path(folder)
    return kinds()[read_card(folder).kind].opens(folder, device)


def read_card(folder: Path) -> Card:
    """Return the folder's card; ModelFormatError names the field at fault and what it must be."""
    if not (folder / CARD).exists() and (folder / LABELS).exists():
        return Card("clip")
    raw = read_json(folder / CARD)
    kind = raw.get("kind")
    if not isinstance(kind, str) or kind not in kinds():
        raise ModelFormatError(f"{folder / CARD}: kind is {kind!r}; use one of {', '.join(kinds())}")
    needs = kinds()[kind].needs
    if raw.keys() - {"kind"} - kinds()[kind].optional != needs:
        wanted = ", ".join(sorted(needs)) or "no other field"
        raise ModelFormatError(f"{folder / CARD}: a {kind} has {wanted}; found {', '.join(sorted(raw)) or 'nothing'}")
    _check_values(folder, raw)
    lists = {name: tuple(raw[name]) for name in ("categories", "members") if name in raw}
    concepts = {name: tuple(labels) for name, labels in raw.get("concepts", {}).items()}
    own = raw.get("categories")
    labels = {name: tuple(texts) for name, texts in own.items()} if isinstance(own, dict) else {}
    return Card(**{**raw, **lists, "concepts": concepts, "labels": labels})


def known(folder: Path) -> Known:
    """Return the categories a judge's folder can judge, each with the names it knows; None where it takes any name."""
    card = read_card(folder)
    return kinds()[card.kind].knows(folder, card)


def recognises(folder: Path) -> bool:
    """Tell whether the judge says of a picture of nothing that there is nothing to recognise."""
    card = read_card(folder)
    return kinds()[card.kind].recognises or bool(card.nothing)


def categories(folder: Path) -> frozenset[str]:
    """Return the kinds of concept that the judge in `folder` can judge ("object", "style"). No weight is loaded."""
    return frozenset(known(folder))


def names(folder: Path) -> dict[str, list[str]]:
    """Return for each category the names among which the judge chooses, or all that it knows, sorted.

    Of several judges return the names that all of them know.
    """
    card = read_card(folder)
    if card.members:
        lists = [names(folder / member) for member in card.members]
        together = known_to_all([{category: frozenset(own) for category, own in each.items()} for each in lists])
        return {category: sorted(own or ()) for category, own in together.items()}
    if lists := kinds()[card.kind].lists:
        return lists(folder)
    return {category: sorted(own or ()) for category, own in known(folder).items()}


def read_labels(folder: Path) -> dict[str, dict[str, list[str]]]:
    """Return the `labels` and `wordings` of each category of a CLIP judge.

    Raises ModelFormatError where there are fewer than `LEAST_LABELS`. Without a choice the judge would see in every
    picture the concept that it is asked for.
    """
    found = read_json(folder / LABELS)
    for category, entry in found.items():
        if not (isinstance(entry, dict) and _texts(entry.get("labels")) and _texts(entry.get("wordings"))):
            raise ModelFormatError(f"{folder / LABELS}: {category!r} needs lists of texts, labels and wordings")
        if len({spoken(label) for label in entry["labels"]}) < LEAST_LABELS:
            raise ModelFormatError(
                f"{folder / LABELS}: {category!r} has {len(entry['labels'])} labels; give {LEAST_LABELS} or more, or "
                "the judge would see whatever it is asked for"
            )
    return found


def read_json(path: Path) -> dict[str, Any]:
    try:
        value = strict_json.read_json(path)
    except (OSError, ValueError) as error:
        raise ModelFormatError(f"{path} cannot be read as JSON; a judge's folder needs it") from error
    if not isinstance(value, dict):
        raise ModelFormatError(f"{path} holds a {type(value).__name__}; it must be a JSON object")
    return value


def known_to_all(members: list[Known]) -> Known:
    """Each category of any member, with the names that all members of the category know."""
    together: Known = {}
    for member in members:
        for category, names in member.items():
            before = together.get(category)
            together[category] = names if before is None else before if names is None else before & names
    return together


def _check_values(folder: Path, raw: dict[str, Any]) -> None:
    for name, value in raw.items():
        if name == "kind":
            continue
        holds, must = RULES[name]
        if not holds(value):
            raise ModelFormatError(f"{folder / CARD}: {name} is {value!r}; it must be {must}")


def _texts(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(text, str) for text in value)


def _lists_of_texts(value: Any) -> bool:
    return isinstance(value, dict) and bool(value) and all(map(_texts, value.values()))


def _shares(value: Any) -> bool:
    return isinstance(value, dict) and bool(value) and all(map(_share, value.values()))


def _share(value: Any) -> bool:
    return isinstance(value, float) and 0 < value < 1


RULES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "version": (lambda value: isinstance(value, str), "text"),
    "threshold": (_share, "a number above 0 and below 1"),
    "categories": (
        lambda value: _texts(value) or _lists_of_texts(value),
        "a list of texts, or a list of labels for each category",
    ),
    "concepts": (_lists_of_texts, "a list of labels for each concept"),
    "nothing": (lambda value: isinstance(value, str) and bool(value), "the label of pictures that show nothing"),
    "thresholds": (
        lambda value: isinstance(value, dict) and bool(value) and all(map(_shares, value.values())),
        "for each category a number above 0 and below 1 for each member",
    ),
    "members": (
        lambda value: _texts(value) and all(Path(text).name == text for text in value),
        "a list of names of folders inside this one",
    ),
}
