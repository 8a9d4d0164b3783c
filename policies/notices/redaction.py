"""The form of a policy that may be shown to anybody."""

from __future__ import annotations

from typing import Any

from expunge.policies.kinds import PRIVATE_KINDS
from expunge.policies.model.policy import Policy
from expunge.policies.notices.notice import PRIVATE, cleared

NAMES = ("id", "name", "aliases", "prompts", "kin", "anchor")


def hides_names(policy: Policy) -> bool:
    """Return whether a person asks about himself, or a target is a person: then no name and no picture is shown."""
    return policy.kind in PRIVATE_KINDS or any(one.category in ("identity", "explicit") for one in policy.concepts)


def public_form(policy: Policy) -> dict[str, Any]:
    """Return a policy's content without what names a person.

    Where a person asks about himself, or the target is a person, no name, alias or wording is shown. Prose is cleared
    of e-mail addresses and telephone numbers, or left out. The digest says which policy it is, and is left out with the
    names: whoever guesses a name could confirm the guess by it.
    """
    content = policy.model_dump(mode="json")
    hidden = hides_names(policy)
    for name in ("title", "description"):
        content[name] = PRIVATE if hidden and content[name] else cleared(content[name])
    if hidden:
        content["request_id"] = PRIVATE
        content |= {"replaces": [PRIVATE for _ in policy.replaces]} if policy.replaces else {}
        for entry in [*content["concepts"], *content["retain"]]:
            entry |= {name: _private(entry[name]) for name in NAMES if entry.get(name)}
    content["base"]["uri"] = "builtin" if policy.base.uri.startswith("builtin:") else "file"
    return content if hidden else {**content, "digest": policy.digest}


def _private(value: Any) -> Any:
    return [PRIVATE for _ in value] if isinstance(value, list) else PRIVATE
