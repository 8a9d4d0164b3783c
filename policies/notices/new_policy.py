"""The commented text of a policy from a person's answers, which `expunge validate` accepts as it is."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import yaml

from expunge.policies.errors import PolicyError
from expunge.policies.floor import Terms, raised
from expunge.policies.kinds import KINDS, Kind
from expunge.policies.kinds.kind import Element
from expunge.policies.model.schema import Acceptance, Category
from expunge.policies.model.text import checked_anchor, checked_name, checked_target
from expunge.policies.notices.draft import HEAD
from expunge.policies.notices.notice import is_filled

FIRST = Acceptance(max_retain_drop=0.10, sampling="sequential", seeds=32, round_seeds=4)
"""What a first policy asks for: enough pictures that a good edit can be proven."""
SHOWN = ("max_target_rate", "max_retain_drop", "min_control_rate", "confidence", "level", "seeds", "prompts")
"""Limits that a policy states though they are the defaults, since people look for them."""
POLICY = (
    """\
# A policy of the kind {kind}, from answers to `expunge new`. `expunge plan` says what it would change and cost.
"""
    + HEAD
    + """\
{end}# The model that every edit starts from, and the digest of its folder.
base:
  uri: {uri}
  sha256: {sha256}

# What the model must forget. `aliases` are other names of the same thing, `anchor` what it becomes.
concepts:
{concepts}
# What has to stay: near twins of the targets (look_alike), and others (general).
retain:
{retain}
# When the edit counts as proven. These limits are not below the floor of your organisation for this kind.
acceptance:
{acceptance}"""
)


END = """\
# From this moment on it holds no more: what it erased is put back.
expires_at: {}

"""


@dataclass(frozen=True)
class Answers:
    """The answers by which a policy is written; each target has its name first, then its aliases."""

    targets: Sequence[Sequence[str]]
    category: Category
    look_alikes: Sequence[str]
    model: tuple[str, str]
    anchor: str = ""
    general: Sequence[str] = field(default_factory=tuple)
    expires_at: str = ""


def policy_text(answers: Answers, kind: Kind, request_id: str, received_at: datetime, terms: Terms) -> str:
    """Return the text of the policy; `terms` are those of the floor for its kind."""
    taken = list[str]()
    concepts = [_concept(answers, names, taken) for names in answers.targets]
    retain = [
        {"id": _take_id(name, taken), "name": name, "kind": role, "category": answers.category}
        for role, names in (("look_alike", answers.look_alikes), ("general", answers.general))
        for name in names
    ]
    wanted = raised(FIRST, terms)
    limits = {name: getattr(wanted, name) for name in SHOWN} | wanted.model_dump(mode="json", exclude_defaults=True)
    return POLICY.format(
        kind=kind,
        request_id=json.dumps(request_id),
        received_at=json.dumps(received_at.isoformat(timespec="seconds")),
        end=END.format(json.dumps(answers.expires_at)) if answers.expires_at else "",
        uri=json.dumps(answers.model[0], ensure_ascii=False),
        sha256=json.dumps(answers.model[1]),
        concepts=_yaml(concepts),
        retain=_yaml(retain),
        acceptance=_yaml(limits),
    )


def notice_text(kind: Kind, elements: Mapping[str, str], target: str) -> str:
    """Return a notice in our own form, as `expunge receive` takes it."""
    content = {"notice_version": "1", "kind": kind, "concept": target, "elements": dict(elements)}
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True, default_style='"', width=1000)


def checked_element(kind: Kind, name: str, text: str) -> str:
    """Return what a notice says for an element that its kind must contain; "" where it does not say it.

    Raises PolicyError, with the field and the cure, where the kind has no such element, or the text is no answer.
    """
    known = {element.name: element for element in KINDS[kind].elements}
    if name not in known:
        cure = f"a request of the kind {kind} has {', '.join(known)}"
        raise PolicyError(f"element {name}", "is unknown", cure)
    text = text.strip()
    if known[name].statement:
        return _stated(known[name], text)
    if text and not is_filled(text):
        raise PolicyError(f"element {name}", "is a blank of a form", "write what the notice says, or nothing")
    if name == "due_at" and text:
        _moment(text, "element due_at")
    return text


def checked_end(text: str) -> str:
    """Return until when a policy holds; "" where it has no end. PolicyError names the field."""
    if text := text.strip():
        _moment(text, "expires_at")
    return text


def checked_names(text: str, field_name: str, target: bool = False) -> list[str]:
    """Return the names in a text, with semicolons between. PolicyError names the field."""
    try:
        names = [name.strip() for name in text.split(";") if name.strip()]
        return [checked_target(name) if target else checked_name(name) for name in names]
    except PolicyError as error:
        raise error.at(field_name, None, "") from None


def checked_anchor_name(text: str) -> str:
    """Return what a target becomes; "" leaves it to the editor. PolicyError names the field."""
    try:
        return checked_anchor(text.strip())
    except PolicyError as error:
        raise error.at("anchor", None, "") from None


def free_id(name: str, taken: Collection[str]) -> str:
    """Return an id for a name that is not taken."""
    stem = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:50] or "entry"
    return next(one for one in (stem, *(f"{stem}-{number}" for number in range(2, len(taken) + 3))) if one not in taken)


def _stated(element: Element, text: str) -> str:
    if text.lower() in ("y", "yes"):
        return "stated"
    if text.lower() in ("", "n", "no"):
        return ""
    raise PolicyError(f"element {element.name}", "is neither yes nor no", "answer yes if the notice states it, or no")


def _moment(text: str, field_name: str) -> None:
    try:
        known = datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        known = False
    if not known:
        cure = 'write date, time and zone, such as "2026-01-31T17:00:00+01:00"'
        raise PolicyError(field_name, "is no moment", cure)


def _concept(answers: Answers, names: Sequence[str], taken: list[str]) -> dict[str, Any]:
    aliases = {"aliases": list(names[1:])} if names[1:] else {}
    anchor = {"anchor": answers.anchor} if answers.anchor else {}
    return {"id": _take_id(names[0], taken), "name": names[0], **aliases, "category": answers.category, **anchor}


def _take_id(name: str, taken: list[str]) -> str:
    """Return an id for a name that no entry has yet, and count it as taken."""
    taken.append(own := free_id(name, taken))
    return own


def _yaml(value: Any) -> str:
    """Return a list or a mapping as lines of YAML, indented; text that YAML could misread is in quotes."""
    text = yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=1000)
    return "".join(f"  {line}\n" for line in text.splitlines())
