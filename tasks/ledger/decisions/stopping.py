"""What a counter-notice stops: the request that it is about, and any other by which the same would be taken down.

Another owner has rights of his own, and a court or a person in a picture is bound by no counter-notice. So what has a
complete notice of its own, from another sender or of such a kind, goes on. Where nobody can tell, it does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from expunge.policies import Policy, counting_key
from expunge.policies.kinds import KINDS
from expunge.tasks.core.errors import IntegrityError
from expunge.tasks.ledger.decisions.counters import Countered, open_counters, requests_in, rescissions, window_of
from expunge.tasks.ledger.notices import kept_notice, senders_of
from expunge.tasks.ledger.policy_store import kept_policy
from expunge.tasks.ledger.receipt import Receipt, Step, of_step

UNBOUND = tuple(kind.name for kind in KINDS.values() if kind.goes_on)
"""Kinds of notices that a counter-notice under copyright law does not answer, whoever sends them."""
NAMING = ("work", "mark")
"""Elements of a notice that name what it is about, where no policy has come of it."""
OTHERS = (
    "A court order, or the notice of another owner, goes on: take it in by `expunge receive`, and give its policy the "
    "number of that notice as request_id"
)


def refuse_countered(home: Path, policy: Policy, chain: Sequence[Receipt], notices: Sequence[Receipt]) -> None:
    """Raise Countered where a counter-notice stops the publication of this policy.

    It stops that of the request that it is about, of one that takes its place, and of any other with one of its
    targets, unless that is another's. What is withdrawn is published, as the counter-notice asks.
    """
    if not policy.concepts:
        return
    if policy.request_id in rescissions(notices):
        raise Countered(f"nothing is published: the sender of {policy.request_id} took the notice back")
    for about, counter in open_counters(notices).items():
        if _is_stopped(home, policy, about, chain, notices) and not _was_first(policy, about, counter, chain):
            window, own = window_of(counter), about == policy.request_id
            raise Countered(
                f"nothing is published: a counter-notice against {about} is on record"
                f"{'' if own else f', and {policy.request_id} has the same target'}. What was taken down is put back "
                f"from {window['opens']} until {window['closes']}, by a policy that `replaces` it, unless the "
                f"sender tells of a court action: `expunge counter {about} FILE --court-action`"
                f"{'' if own else f'. {OTHERS}'}"
            )


def _is_stopped(home: Path, policy: Policy, about: str, chain: Sequence[Receipt], notices: Sequence[Receipt]) -> bool:
    if about == policy.request_id:
        return True
    if not _has_the_target(home, policy, about, chain, notices):
        return False
    return about in policy.replaces or not _is_anothers(home, policy.request_id, about, notices)


def _was_first(policy: Policy, about: str, counter: Receipt, chain: Sequence[Receipt]) -> bool:
    """Return whether a policy of another request was in force when the counter-notice came: that has to name it."""
    published = [one for one in of_step(chain, Step.PUBLISHED) if one.inputs.get("policy") == policy.digest]
    return about not in (policy.request_id, *policy.replaces) and any(one.at < counter.at for one in published)


def _has_the_target(
    home: Path, policy: Policy, about: str, chain: Sequence[Receipt], notices: Sequence[Receipt]
) -> bool:
    """Return whether a policy erases what the request of this id asks for; also where nobody knows what that is."""
    digests = {one.inputs["policy"] for one in chain if one.request_id == about and "policy" in one.inputs}
    try:
        theirs = {key for digest in sorted(digests) for key in kept_policy(home, digest).counting_keys}
        if not theirs:
            theirs = _named(home, about, notices)
    except IntegrityError:
        return True
    ours = policy.counting_keys | _named(home, policy.request_id, notices)
    return not theirs or not ours.isdisjoint(theirs)


def _is_anothers(home: Path, request_id: str, about: str, notices: Sequence[Receipt]) -> bool:
    """Return whether a complete notice of the request is of a kind or a sender that the counter-notice does not bind.

    Whoever cannot be told apart from the first sender is the first sender.
    """
    own = [one for one in requests_in(notices) if one.request_id == request_id]
    if not own or own[-1].outcome != "received":
        return False
    if own[-1].settings["kind"] in UNBOUND:
        return True
    first, notice = senders_of(home, about), kept_notice(home, own[-1].inputs["notice"])
    return bool(first and notice.senders) and first.isdisjoint({*notice.senders, *notice.contacts})


def _named(home: Path, request_id: str, notices: Sequence[Receipt]) -> set[str]:
    own = [kept_notice(home, one.inputs["notice"]) for one in requests_in(notices) if one.request_id == request_id]
    texts = [text for notice in own for text in (notice.concept, *(notice.found.get(name, "") for name in NAMING))]
    return {counting_key(text) for text in texts if text}
