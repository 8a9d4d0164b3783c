"""The draft of a policy that follows from a notice: what is known is filled in, the rest says what to write."""

from __future__ import annotations

import json
from datetime import datetime

from expunge.policies.errors import PolicyError
from expunge.policies.kinds import PRIVATE_KINDS
from expunge.policies.model.policy import Policy
from expunge.policies.model.text import checked_target
from expunge.policies.notices.notice import Notice

HEAD = """\
schema_version: "1"
request_id: {request_id}
kind: {kind}
# The clock of the law runs from this moment: do not move it.
received_at: {received_at}

"""
DRAFT = (
    """\
# Draft of a policy, from a notice that was received. Write over each FILL IN, then run `expunge validate` on it.
{remarks}"""
    + HEAD
    + """\
base:
  # The model: "builtin:emoji", or "file:/absolute/path" of a folder in diffusers layout.
  uri: "FILL IN"
  # Its digest, 64 hex digits: docs/policy.md says how to compute it.
  sha256: "FILL IN"

concepts:
  - id: target-1
    # What the target is called in a prompt. A person decides this: the notice names a work, the model knows words.
    name: {name}
    # object, style, identity, character or explicit
    category: "FILL IN"

retain:
  # What has to stay: best a near twin of the target.
  - id: kept-1
    name: "FILL IN"
    kind: look_alike
    category: "FILL IN"
"""
)


WITHDRAWAL = """\
# Draft of a policy that puts back what {replaced} took out, because a counter-notice answers it.
# By 17 U.S.C. 512(g) submit it not before {opens} and not after {closes}, unless you hear of a court action.
schema_version: "1"
request_id: {request_id}
kind: {kind}
received_at: {received_at}
base:
  uri: {uri}
  sha256: {sha256}
concepts: []
replaces: [{replaced}]
"""


def draft_withdrawal(policy: Policy, request_id: str, received_at: datetime, window: tuple[str, str]) -> str:
    """Return the text of a policy that withdraws `policy`; `window` is when it may be submitted, first and last."""
    return WITHDRAWAL.format(
        request_id=json.dumps(request_id),
        kind=policy.kind,
        received_at=json.dumps(received_at.isoformat(timespec="seconds")),
        uri=json.dumps(policy.base.uri, ensure_ascii=False),
        sha256=json.dumps(policy.base.sha256),
        replaced=json.dumps(policy.request_id),
        opens=window[0],
        closes=window[1],
    )


def draft_policy(notice: Notice, request_id: str, received_at: datetime) -> str:
    """Return the text of a commented policy file, which `expunge validate` refuses until a person filled it in."""
    shown = {} if notice.kind in PRIVATE_KINDS else notice.found
    said = [f"# The notice's {name}: {text}\n" for name, text in shown.items() if text != "stated"]
    return DRAFT.format(
        remarks="".join(said),
        request_id=json.dumps(request_id),
        kind=notice.kind,
        received_at=json.dumps(received_at.isoformat(timespec="seconds")),
        name=json.dumps(_target(notice), ensure_ascii=False),
    )


def _target(notice: Notice) -> str:
    try:
        return checked_target(notice.concept)
    except PolicyError:
        return "FILL IN"
