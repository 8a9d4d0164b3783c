"""The status of a line: its proof, by when that is due again, and which requests were replaced by which."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from expunge.policies import Policy, in_force
from expunge.tasks.ledger.line.proof import Proof
from expunge.tasks.ledger.policy_store import kept_policies
from expunge.tasks.ledger.receipt import Receipt, Step, of_step

A_DAY = timedelta(days=1)


@dataclass(frozen=True)
class LineStatus:
    """The status of a line on which something is published.

    `in_force`: the requests that erase something and that no other took the place of; `days`: how old the proof may
    become, by the shortest time of these, None if there are none or all are lost; `replaced`: by request id the
    publication that took its place; `lost`: what is missing of the published policies.
    """

    proof: Proof
    in_force: tuple[str, ...]
    days: int | None
    replaced: Mapping[str, Receipt]
    lost: tuple[str, ...]

    @classmethod
    def by(cls, home: Path, chain: Sequence[Receipt]) -> LineStatus | None:
        """Return the status of a line whose receipts were read."""
        published = dict.fromkeys(receipt.inputs.get("policy", "") for receipt in of_step(chain, Step.PUBLISHED))
        return cls.among(chain, *kept_policies(home, published))

    @classmethod
    def among(
        cls, chain: Sequence[Receipt], policies: Mapping[str, Policy], lost: Mapping[str, str]
    ) -> LineStatus | None:
        """Return the status of a line from its receipts and its policies by digest.

        A published policy that is not among them is missing; `lost` says so in words, by digest.
        """
        proof = Proof.of(chain)
        if proof is None:
            return None
        digests = dict.fromkeys(receipt.inputs.get("policy", "") for receipt in proof.published)
        kept = {digest: policies[digest] for digest in digests if digest in policies}
        replaced: dict[str, Receipt] = {}
        for receipt in proof.published:
            policy = kept.get(receipt.inputs.get("policy", ""))
            for gone in policy.replaces if policy else ():
                replaced.setdefault(gone, receipt)
        erasing = [policy for policy in in_force(kept.values()) if policy.concepts]
        days = min((policy.reverify.max_age_days for policy in erasing), default=None)
        missing = tuple(lost.get(digest, f"policy {digest} is not at hand") for digest in digests if digest not in kept)
        return cls(proof, tuple(policy.request_id for policy in erasing), days, replaced, missing)

    @property
    def restored(self) -> bool:
        """Return whether nothing is erased any more, so that there is nothing to prove."""
        return self.days is None and not self.lost

    @property
    def proof_due(self) -> datetime | None:
        """Return by when what is served has to be proven again; None if it cannot be told."""
        return self._after(self.proof.proven_by)

    @property
    def check_due(self) -> datetime | None:
        """Return by when it has to be checked again.

        A check that failed counts as made: repeated every night until one passes by chance it would prove nothing.
        """
        return self._after(self.proof.check or self.proof.proven_by)

    @property
    def doubts(self) -> list[str]:
        """Why what is served is suspect."""
        return [*self.proof.doubts, *self.lost]

    def _after(self, receipt: Receipt) -> datetime | None:
        """Return the moment `days` after the receipt; a day ago where it was written by a clock that ran ahead."""
        if self.days is None:
            return None
        at, now = datetime.fromisoformat(receipt.at), datetime.now(UTC)
        return now - A_DAY if at > now + A_DAY else at + timedelta(self.days)
