"""How a line stands: its proof by the terms of the policies in force, and which requests others took the place of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from expunge.policies import Policy, in_force
from expunge.tasks.core.errors import LedgerError
from expunge.tasks.core.paths import REPORT, work_folder
from expunge.tasks.ledger.line.proof import Proof
from expunge.tasks.ledger.policy_store import kept_policies
from expunge.tasks.ledger.receipt import Receipt, Step, of_step
from expunge.tasks.ledger.recorder import journal

A_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Standing:
    """Of a line on which something is published.

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
    def of(cls, home: Path, line: str) -> Standing | None:
        """None before the line's first publication. LedgerError where its chain does not hold."""
        return cls.by(home, journal(home, line).receipts())

    @classmethod
    def by(cls, home: Path, chain: Sequence[Receipt]) -> Standing | None:
        """Return the status of a line whose receipts were read."""
        published = dict.fromkeys(receipt.inputs.get("policy", "") for receipt in of_step(chain, Step.PUBLISHED))
        return cls.among(chain, *kept_policies(home, published))

    @classmethod
    def among(cls, chain: Sequence[Receipt], policies: Mapping[str, Policy], lost: Sequence[str]) -> Standing | None:
        """Return how a line stands whose receipts and policies were read, the latter by digest.

        What is missing of the published ones is `lost`, in words.
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
        return cls(proof, tuple(policy.request_id for policy in erasing), days, replaced, tuple(lost))

    @property
    def restored(self) -> bool:
        """Return whether nothing is erased any more, so that there is nothing to prove."""
        return self.days is None and not self.lost

    @property
    def proof_due(self) -> datetime | None:
        """Return by when what is served has to be proven again; None if it cannot be told."""
        return self._after(self.proof.given)

    @property
    def check_due(self) -> datetime | None:
        """Return by when it has to be checked again.

        A check that failed counts as made: repeated every night until one passes by chance it would prove nothing.
        """
        return self._after(self.proof.check or self.proof.given)

    @property
    def doubts(self) -> list[str]:
        """Why what is served is suspect."""
        return [*self.proof.doubts, *self.lost]

    def _after(self, receipt: Receipt) -> datetime | None:
        """So many days after the receipt; a day ago where it was written by a clock that ran ahead."""
        if self.days is None:
            return None
        at, now = datetime.fromisoformat(receipt.at), datetime.now(UTC)
        return now - A_DAY if at > now + A_DAY else at + timedelta(self.days)


def is_restored(home: Path, line: str) -> bool:
    """Return whether a line serves its base, for all requests on it are withdrawn."""
    standing = Standing.of(home, line)
    return standing is not None and standing.restored


def summary(home: Path, line: str) -> dict[str, Any]:
    """Return what a line serves, whether it is suspect and why, and by when it has to be proven again, as data."""
    try:
        standing = Standing.of(home, line)
    except LedgerError:
        standing = None
    if standing is None:
        unknown = dict.fromkeys(("bundle", "checked", "report", "proof_due"))
        return {"line": line, **unknown, "suspect": [], "restored": False}
    proof, due = standing.proof, standing.proof_due
    report = work_folder(home, (proof.check or proof.publication).work) / REPORT
    return {
        "line": line,
        "bundle": proof.bundle,
        "checked": proof.check and proof.check.at,
        "report": str(report) if report.exists() else None,
        "suspect": standing.doubts,
        "restored": standing.restored,
        "proof_due": due and due.isoformat(),
    }
