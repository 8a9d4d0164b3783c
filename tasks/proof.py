"""The proof of what a line serves: when it was given, whether it still holds, and by when it is due again.

It is given by the verification before a publication, and again by each check since (`tasks.reverify`). A check asks
with seeds that none before it had, so each is evidence of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from engine.digests import json_digest
from policies import DesiredState, Policy, desired_state, in_force
from tasks.errors import IntegrityError
from tasks.journal import journal
from tasks.kept import kept_policy, published_policies
from tasks.receipts import Receipt

CHECKED = "reverified"
SEEDS = 2**62


@dataclass(frozen=True)
class Proof:
    """The last publication of a line, all of its publications, and the last check since, if there was one."""

    publication: Receipt
    published: tuple[Receipt, ...]
    check: Receipt | None

    @classmethod
    def of(cls, chain: Sequence[Receipt]) -> Proof | None:
        """That of a line with these receipts; None before its first publication."""
        published = tuple(receipt for receipt in chain if receipt.step == "published")
        if not published:
            return None
        since = [one for one in chain if one.step == CHECKED and one.sequence > published[-1].sequence]
        return cls(published[-1], published, since[-1] if since else None)

    @property
    def bundle(self) -> str:
        """The digest of what the line has to serve."""
        return self.publication.outputs["bundle"]

    @property
    def doubts(self) -> list[str]:
        """Why what is served is suspect; nothing, if it was proven last time."""
        return doubts_of(self.check) if self.check else []

    def due(self, home: Path) -> datetime | None:
        """By when it is due again, by the shortest time of the policies in force; None if all of these are lost."""
        days = [policy.reverify.max_age_days for policy in in_force(self._kept(home)) if policy.concepts]
        given = datetime.fromisoformat((self.check or self.publication).at)
        return given + timedelta(min(days)) if days else None

    def replaced(self, home: Path) -> dict[str, str]:
        """The requests that another one took the place of, and which."""
        return {gone: policy.request_id for policy in self._kept(home) for gone in policy.replaces}

    def _kept(self, home: Path) -> list[Policy]:
        """The published policies but those that are lost: that is told for itself, and the others still count."""
        kept = []
        for digest in {receipt.inputs["policy"] for receipt in self.published}:
            with suppress(IntegrityError):
                kept.append(kept_policy(home, digest))
        return kept


def suspect(home: Path, line: str) -> list[str]:
    """Why what a line serves is suspect; nothing, if its last proof holds, or nothing is published."""
    proof = Proof.of(journal(home, line).receipts())
    return proof.doubts if proof else []


def doubts_of(check: Receipt) -> list[str]:
    """What a check found, in words; nothing, if it proved what is served once more."""
    told = check.verdict or {}
    lists = [told.get(name) for name in ("reasons", "doubts")]
    found = [str(each) for listed in lists if isinstance(listed, list) for each in listed]
    return [] if told.get("outcome") == "PASS" and not found else found or [f"it came to {told.get('outcome')}"]


def state_to_check(home: Path, chain: Sequence[Receipt]) -> DesiredState:
    """What the next check of a line with these receipts asks for: the policies in force, with a seed of its own.

    IntegrityError if a policy in force is not as it was received, ValueError if none is in force.
    """
    state = desired_state(published_policies(home, [receipt for receipt in chain if receipt.step == "published"]))
    number = 1 + sum(receipt.step == CHECKED for receipt in chain)
    seed = int(json_digest({"state": state.digest, "check": number}), 16) % SEEDS
    return state.model_copy(update={"seed": seed})
