"""The proof of what a line serves: when it was given, and whether it still holds. From receipts alone.

It is given by the verification before a publication, and again by each check since (`expunge.tasks.reverify`). A check
asks with seeds that none before it had, so each is evidence of its own; to publish the same weights again is no new
proof.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from expunge.engine.files.digests import json_digest
from expunge.policies import DesiredState, Floor, Policy, desired_state, held_to
from expunge.tasks.ledger.receipt import Receipt, Step, of_step

SEEDS = 2**62


@dataclass(frozen=True)
class Proof:
    """The proof of what a line serves.

    It has the last `publication` and all that were `published`, the last `check` of the weights that it serves, if
    there was one, and the receipt that proved these weights last, a check or their first publication (`proven_by`).
    """

    publication: Receipt
    published: tuple[Receipt, ...]
    check: Receipt | None
    proven_by: Receipt

    @classmethod
    def of(cls, chain: Sequence[Receipt]) -> Proof | None:
        """Return the proof of a line with these receipts; None before its first publication."""
        published = tuple(of_step(chain, Step.PUBLISHED))
        if not published:
            return None
        weights, last = weights_by_bundle(chain), published[-1]
        served = _weights(last, weights)
        first = next(one for one in published if _weights(one, weights) == served)
        # one that found no model to question tells of the publication before it, and of no weights
        checks = [
            one
            for one in of_step(chain, Step.CHECKED)
            if (_weights(one, weights) == served if "candidate" in one.inputs else one.sequence > last.sequence)
        ]
        proofs = [one for one in checks if not doubts_of(one)]
        return cls(last, published, checks[-1] if checks else None, proofs[-1] if proofs else first)

    @property
    def bundle(self) -> str:
        """The digest of what the line has to serve."""
        return self.publication.outputs.get("bundle", "")

    @property
    def doubts(self) -> list[str]:
        """Why what is served is suspect; nothing, if it was proven last time."""
        return doubts_of(self.check) if self.check else []


def weights_by_bundle(chain: Sequence[Receipt]) -> dict[str, str]:
    """Return the digest of the model in each bundle, as its receipt has it."""
    made = of_step(chain, Step.BUNDLED)
    return {one.outputs.get("bundle", ""): one.inputs.get("candidate", "") for one in made}


def _weights(receipt: Receipt, weights: Mapping[str, str]) -> str:
    """Return the weights in a receipt's bundle; the bundle's own digest where nothing says how it was made."""
    bundle = receipt.digests.get("bundle", "")
    return weights.get(bundle, bundle)


def doubts_of(check: Receipt) -> list[str]:
    """Return what a check found, in words.

    That is nothing if it proved what is served once more, and says so without a doubt.
    """
    verdict = check.verdict or {}
    lists = [verdict.get(name) for name in ("reasons", "doubts")]
    if check.outcome == "PASS" and lists == [[], []]:
        return []
    found = [str(each) for listed in lists if isinstance(listed, list) for each in listed]
    return found or [f"it came to {check.outcome}"]


def state_to_check(published: Sequence[Policy], chain: Sequence[Receipt], floor: Floor) -> DesiredState:
    """Return the state that the next check of a line with these receipts asks for.

    It is that of the policies in force, none of them below the floor, with a seed of its own.

    Raises:
        IntegrityError: a published policy is not as it was received.
        ValueError: none is published.
    """
    state = desired_state([held_to(policy, floor) for policy in published])
    number = 1 + len(of_step(chain, Step.CHECKED))
    seed = int(json_digest({"state": state.digest, "check": number}), 16) % SEEDS
    return state.model_copy(update={"seed": seed})
