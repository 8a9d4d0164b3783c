"""The policy of a request as a form: its fields, or its text, checked while they are written."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml
from starlette.datastructures import FormData

from expunge.flows.casework.notices import draft_file
from expunge.flows.desk.login import text_of
from expunge.flows.validation import validate
from expunge.policies import PolicyError, PolicyErrors
from expunge.policies.kinds import PRIVATE_KINDS
from expunge.policies.notices.new_policy import free_id
from expunge.policies.reading.guard import decoded
from expunge.policies.reading.nodes import tree
from expunge.policies.reading.values import read_values
from expunge.tasks.core.base_model import built_in_models
from expunge.tasks.ledger import queries
from expunge.tasks.ledger.policy_store import kept_policies, named_policies

OPEN = "FILL IN"
SOURCE = "the policy"
NUMBERS = {
    "max_target_rate": "At most this share of pictures may still show a target",
    "max_retain_drop": "At most this share may be lost of what has to stay",
    "seeds": "Pictures a prompt",
    "prompts": "Prompts a group",
}
SHARE, COUNT = re.compile(r"[01]?\.?[0-9]{0,6}(?<=[0-9])", re.ASCII), re.compile(r"[1-9][0-9]{0,4}", re.ASCII)
PERSONAL = ("identity", "explicit")
MOST_ROWS, SHOWN = 40, 35
"""Rows that a form may have, and entries that it shows of a policy; what it does not show stays as it is."""


def read_draft(home: Path, request_id: str) -> bytes | None:
    """Return the draft of a request's policy; None if there is none."""
    file = draft_file(home, request_id)
    return file.read_bytes() if file.is_file() and not file.is_symlink() else None


def content_of(data: bytes) -> dict[str, Any] | None:
    """Return the values of a policy's text; None where they cannot be put into a form."""
    try:
        reading = read_values(tree(decoded(data, SOURCE), SOURCE), SOURCE)
        value = _plain(reading.value)
    except (PolicyError, TypeError):
        return None
    return value if isinstance(value, dict) and not reading.errors else None


def written(form: FormData, data: bytes, request_id: str) -> bytes:
    """Return the text of the policy that a form states: its own text, or the draft with its fields put in."""
    if text_of(form, "mode") == "text":
        return (text_of(form, "policy") + "\n").encode()
    return as_text(merged(content_of(data) or {}, form) | {"request_id": request_id})


def merged(policy: dict[str, Any], form: FormData) -> dict[str, Any]:
    """Return a policy with the fields of a form put in; what the form does not show stays."""
    base = text_of(form, "model").split(" ")
    uri, sha256 = base if len(base) == 2 else (text_of(form, "base_uri"), text_of(form, "base_sha256"))
    new = {**policy, "base": {"uri": uri or OPEN, "sha256": sha256 or OPEN}}
    hidden = policy.get("kind") in PRIVATE_KINDS
    new["concepts"] = _rows(form, "target", policy.get("concepts"), ("name", "aliases", "category", "anchor"), hidden)
    new["retain"] = _rows(form, "kept", policy.get("retain"), ("name", "kind", "category"), hidden)
    limits = dict(_mapping(policy.get("acceptance")))
    for name in NUMBERS:
        text = text_of(form, name)
        limits.pop(name, None)
        limits |= {name: _number(name, text)} if text else {}
    new.pop("acceptance", None)
    new.pop("expires_at", None)
    new |= {"expires_at": end} if (end := text_of(form, "expires_at")) else {}
    return new | ({"acceptance": limits} if limits else {})


def as_text(policy: dict[str, Any]) -> bytes:
    """Return a policy as the text of a file."""
    return yaml.safe_dump(policy, sort_keys=False, allow_unicode=True, width=110).encode()


def fields(policy: dict[str, Any]) -> dict[str, Any]:
    """Return what the form shows of a policy, with empty rows to go on."""
    base, limits = _mapping(policy.get("base")), _mapping(policy.get("acceptance"))
    return {
        "uri": _shown(base.get("uri")),
        "sha256": _shown(base.get("sha256")),
        "targets": [*_entries(policy.get("concepts")), *({} for _ in range(2))],
        "kept": [*_entries(policy.get("retain")), *({} for _ in range(3))],
        "expires_at": _shown(policy.get("expires_at")),
        "numbers": {name: _shown(limits.get(name)) for name in NUMBERS},
    }


def check(data: bytes, request_id: str) -> dict[str, Any]:
    """Return what the policy asks for, or its problems, as `expunge validate` finds them."""
    try:
        found = validate(data, SOURCE)
        if found["request_id"] != request_id:
            cure = f"write {request_id}, under which the notice is on record"
            raise PolicyErrors([PolicyError("request_id", "is another one", cure, None, SOURCE)])
        return {"summary": found, "problems": []}
    except PolicyErrors as errors:
        return {"summary": None, "problems": [(one.field, one.line, one.message, one.cure) for one in errors.errors]}


def known_models(home: Path) -> dict[str, str]:
    """Return the digests of the models that need not be typed, by address: built in, or on record already."""
    kept, _ = kept_policies(home, named_policies(queries.receipts(home)))
    return {policy.base.uri: policy.base.sha256 for policy in kept.values()} | built_in_models()


def _plain(value: object) -> Any:
    """Return a value that YAML can write; TypeError on one that readers of YAML do not agree on."""
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, (str, int, float)):
        return value
    raise TypeError(f"{value!r} has no plain value")


def _rows(form: FormData, prefix: str, before: object, names: tuple[str, ...], hidden: bool) -> list[dict[str, Any]]:
    """Return the entries of a form. A new one gets an id by its name, or one that tells nothing of a person."""
    known = {str(one.get("id")): one for one in before if isinstance(one, dict)} if isinstance(before, list) else {}
    rows: list[dict[str, Any]] = []
    for number in range(MOST_ROWS):
        said = {name: text_of(form, f"{prefix}-{number}-{name}") for name in names}
        if not said["name"]:
            continue
        own = text_of(form, f"{prefix}-{number}-id")
        word = prefix if hidden or said["category"] in PERSONAL else said["name"]
        row = {**known.get(own, {}), "id": own or free_id(word, [*known, *(str(one["id"]) for one in rows)])}
        for name, value in said.items():
            row.pop(name, None)
            if name == "aliases":
                row |= {name: words} if (words := [word.strip() for word in value.split(",") if word.strip()]) else {}
            elif value:
                row[name] = value
        rows.append(row)
    return rows + (before[SHOWN:] if isinstance(before, list) else [])


def _mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _entries(value: object) -> list[dict[str, Any]]:
    """Return the entries of a list with what the form can show of each."""
    entries = [one for one in value if isinstance(one, dict)][:SHOWN] if isinstance(value, list) else []
    return [{name: _shown(text) for name, text in one.items()} for one in entries]


def _shown(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(str(one) for one in value)
    return "" if value in (None, OPEN) else str(value)


def _number(name: str, text: str) -> Any:
    """Return a number as people write small ones, and any other text as it is, which the policy then refuses."""
    if not re.fullmatch(SHARE if name.startswith("max_") else COUNT, text):
        return text
    return float(text) if name.startswith("max_") else int(text)
