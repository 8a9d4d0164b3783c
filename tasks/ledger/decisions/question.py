"""The question to people whether a bundle may be published: whom it is for, and whether it is still open.

The floor asks it, by kind. All the kinds of a request count, see `kinds`: else one that a person has to decide on could
be submitted, or withdrawn, as of a kind that nobody decides on.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from expunge.policies import Floor, Policy
from expunge.policies.kinds import Kind
from expunge.tasks.core.errors import UsageError
from expunge.tasks.ledger.decisions.kinds import kinds_of
from expunge.tasks.ledger.floor_store import kept_floor
from expunge.tasks.ledger.receipt import Receipt, Step, of_step

ASKING = (Step.READ, Step.AWAITING)
"""The steps whose receipts name the floor that a publication is held to."""


@dataclass(frozen=True)
class Deciders:
    """The people who may decide, each with a public key in Base64, and for how many hours their approval holds.

    `floor` is the digest of the floor that names them.
    """

    floor: str
    approvers: Mapping[str, str]
    hours: int


def deciders_in(floor: Floor, kinds: Collection[Kind]) -> Deciders | None:
    """Return who decides on requests of all these kinds; None if the floor asks for no approval of any.

    UsageError where several kinds ask, and nobody is named for all of them.
    """
    asked = [floor.approval[kind] for kind in sorted(kinds) if kind in floor.approval]
    if not asked:
        return None
    common = {
        name: key
        for name, key in asked[0].approvers.items()
        if all(key in other.approvers.values() for other in asked[1:])
    }
    if not common:
        raise UsageError(
            f"the floor names nobody who may approve requests of all of the kinds {', '.join(sorted(kinds))}: name one"
        )
    return Deciders(floor.digest, common, min(one.hours for one in asked))


def deciders_on_record(
    home: Path, chain: Sequence[Receipt], policy: Policy, notices: Sequence[Receipt]
) -> Deciders | None:
    """Return who decides by the last floor on record for this policy that asks for an approval; None if none asks.

    A floor that asks no more does not release what an earlier one asked for. IntegrityError if a floor is lost.
    """
    kinds, known = kinds_of(home, chain, policy, notices), dict[str, Deciders | None]()
    for receipt in of_step(chain, *ASKING):
        digest = receipt.inputs.get("floor")
        if digest and receipt.inputs.get("policy") == policy.digest:
            known.pop(digest, None)
            known[digest] = deciders_in(kept_floor(home, digest), kinds)
    return next((found for found in reversed(known.values()) if found), None)


def open_question(chain: Sequence[Receipt], request_id: str) -> Receipt | None:
    """Return the receipt by which a request waits for a decision; None if it does not wait.

    It does not once it was published or refused, or was submitted again and came to another work.
    """
    own = [receipt for receipt in chain if receipt.request_id == request_id]
    asked = next(iter(reversed(of_step(own, Step.AWAITING))), None)
    if asked is None:
        return None
    later = own[own.index(asked) + 1 :]
    ended = of_step(later, Step.PUBLISHED, Step.REFUSED)
    other = [receipt for receipt in of_step(later, Step.READ, Step.BUNDLED) if _is_other(receipt, asked)]
    return None if ended or other else asked


def open_questions(chain: Sequence[Receipt]) -> Iterator[Receipt]:
    """Yield the receipts of all questions of a line that are open."""
    for request_id in dict.fromkeys(receipt.request_id for receipt in of_step(chain, Step.AWAITING)):
        if asked := open_question(chain, request_id):
            yield asked


def last_answer(chain: Sequence[Receipt], asked: Receipt) -> Receipt | None:
    """Return the last receipt of an approval of this question."""
    later = [one for one in of_step(chain, Step.APPROVED) if one.sequence > asked.sequence and one.work == asked.work]
    return later[-1] if later else None


def _is_other(receipt: Receipt, asked: Receipt) -> bool:
    made = receipt.outputs.get("bundle", asked.inputs["bundle"])
    return receipt.work != asked.work or made != asked.inputs["bundle"]
