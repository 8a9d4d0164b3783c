"""What a person writes into a letter or a decision: held against what no letter and no record may hold."""

from __future__ import annotations

from expunge.policies.kinds import PRIVATE_KINDS
from expunge.policies.notices.notice import MAIL_ADDRESS
from expunge.tasks.core.errors import UsageError
from expunge.tasks.ledger.decisions.kinds import related_policies
from expunge.tasks.ledger.notices import KIND_UNKNOWN
from expunge.tasks.views.letters.facts import OnRecord
from expunge.tasks.views.letters.names import names_target
from expunge.tasks.views.letters.plain_text import MOST_TEXT, plain


def checked(field: str, text: str, found: OnRecord, most: int = MOST_TEXT) -> str:
    """Return what a person wrote as it is printed.

    Raises UsageError if it is too long, or names whom the request protects; also where nobody can tell, because no
    policy has come of the notice, which alone has the name.
    """
    if len(text) > most:
        raise UsageError(f"{field} has {len(text)} characters, {most} are allowed: shorten it")
    related = related_policies(found.home, found.chain, found.policy).values() if found.policy else ()
    policies = [policy for group in related for policy in group]
    if text and not policies and (found.names_a_person or _is_of_no_kind(found)):
        raise UsageError(
            f"{field} could name the person whom the request protects, and before a policy is submitted nobody can "
            "tell: leave it out until then"
        )
    kinds = {policy.kind for policy in policies}
    people = any(one.category == "identity" for policy in policies for one in policy.concepts)
    if (found.names_a_person or people or not PRIVATE_KINDS.isdisjoint(kinds)) and any(
        names_target(text, policy) for policy in policies
    ):
        raise UsageError(f"{field} names the person whom the request protects: write it without the name")
    return plain(text)


def refuse_address(field: str, text: str) -> None:
    """Raise UsageError where a text for the record has an e-mail address: the record has contacts by reference only."""
    if MAIL_ADDRESS.search(text):
        raise UsageError(f"{field} has an e-mail address, which must not be on record: leave it out")


def _is_of_no_kind(found: OnRecord) -> bool:
    return bool(found.notice) and KIND_UNKNOWN in (found.notice.verdict or {}).get("reasons", [])  # pyright: ignore
