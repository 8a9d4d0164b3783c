"""The provenance of a publication: step by step backwards to its policy; that of a restored base has no verdict."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from expunge.policies import PolicyConflict, PolicyError, PolicyErrors, in_force, withdrawn
from expunge.tasks.core.errors import IntegrityError
from expunge.tasks.ledger.floor_store import kept_floor
from expunge.tasks.ledger.policy_store import kept_policy, published_policies, state_with
from expunge.tasks.ledger.receipt import Receipt, Step, is_of_a_base, is_older, named, of_step

GROUNDS = {
    Step.BUNDLED: ("bundle", "verdict"),
    Step.GATED: ("verdict", "evidence"),
    Step.VERIFIED: ("verdict", "evidence", "candidate"),
    Step.ERASED: ("candidate",),
    Step.PLANNED: ("plan", "state"),
    Step.READ: ("state", "policy"),
}
"""What a publication rests on, step by step backwards, each tied by these digests to what came after it."""

GROUNDS_OF_A_BASE = {Step.BUNDLED: ("bundle",), Step.READ: ("state", "policy")}
"""What the publication of a base rests on, of which there is no verdict."""


SINCE = "0.21.0"
"""The first version of which every withdrawal proves that the concept is back."""
OUTCOMES = {Step.VERIFIED: "PASS", Step.GATED: "open"}


def unfounded(home: Path, published: Receipt, before: Sequence[Receipt]) -> Iterator[str]:
    """Yield what is missing under a publication, or speaks against it."""
    known, own = published.digests, [r for r in before if r.settings == published.settings]
    for step, names in (GROUNDS_OF_A_BASE if is_of_a_base(published) else GROUNDS).items():
        tied = [r for r in own if r.step == step and _says(r, {name: known.get(name) for name in names})]
        if not tied:
            yield f"{named(published)}: no receipt before it is of the step {str(step)!r} that it rests on"
            return
        if step in OUTCOMES and (outcome := tied[-1].outcome) != OUTCOMES[step]:
            yield f"{named(published)}: it rests on {named(tied[-1])}, which says {outcome}"
        known = tied[-1].digests | known
    for problem in _not_back(home, published, before, own, known):
        yield f"{named(published)}: {problem}"
    if is_of_a_base(published):
        for problem in _no_restoration(home, [*before, published], known.get("candidate")):
            yield f"{named(published)}: it rests on no verdict, and {problem}"


def _not_back(
    home: Path, published: Receipt, before: Sequence[Receipt], own: Sequence[Receipt], known: Mapping[str, str]
) -> Iterator[str]:
    """Say how it was not proven of this candidate that what the policy withdraws is back."""
    proofs = [r for r in of_step(own, Step.RETURNED) if r.inputs.get("candidate") == known.get("candidate")]
    if proofs and proofs[-1].outcome != "PASS":
        yield f"it rests on {named(proofs[-1])}, which says {proofs[-1].outcome}"
    if proofs or is_of_a_base(published) or is_older(published, SINCE):
        return
    try:
        policy, others = kept_policy(home, published.inputs["policy"]), published_policies(home, before)
        state = state_with(policy, others, before, kept_floor(home, published.inputs["floor"]))
    except (IntegrityError, KeyError, PolicyError, PolicyErrors):
        return  # which is told for itself
    for gone in withdrawn(policy, others, state):
        yield f"nobody proved that what {gone} had erased is back"


def _no_restoration(home: Path, chain: Sequence[Receipt], model: str | None) -> Iterator[str]:
    """Say how a model published without a verdict is not the base, or that the policies in force erase something."""
    try:
        known = published_policies(home, chain)
        policies = in_force(known)
    except IntegrityError:
        return  # a policy is lost, which is told for itself
    except KeyError:
        yield "a publication before it names no policy, so nobody can tell what is in force"
        return
    except PolicyConflict as error:
        yield f"nobody can tell what is in force: {error}"
        return
    if chain[-1].inputs["policy"] not in {policy.digest for policy in policies}:
        yield "its own policy is not in force"
    if erasing := [policy.request_id for policy in policies if policy.concepts]:
        yield f"in force is {', '.join(erasing)}"
    for base in {policy.base.sha256 for policy in known} - {model}:
        yield f"it is of the model {model}, the base is {base}"


def twofold(chain: Sequence[Receipt]) -> Iterator[str]:
    """Bundles of which two receipts say that they were made of different things: one digest is of one content."""
    first: dict[str | None, Receipt] = {}
    for receipt in of_step(chain, Step.BUNDLED):
        known = first.setdefault(receipt.outputs.get("bundle"), receipt)
        if known.inputs != receipt.inputs:
            yield f"{named(receipt)}: its bundle is that of receipt {known.sequence}, and made of something else"


def _says(receipt: Receipt, digests: dict[str, str | None]) -> bool:
    return all(receipt.digests.get(name) == digest is not None for name, digest in digests.items())
