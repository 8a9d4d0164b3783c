"""A work in the home, which is a cache: what its steps left is fetched by their receipts, and its order made anew."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from expunge.canonical_json import sha256
from expunge.engine.files.reading.strict_json import SMALL, parse_json
from expunge.tasks.core.base_model import named_folders
from expunge.tasks.core.errors import IntegrityError
from expunge.tasks.core.paths import IDENTITY, work_folder
from expunge.tasks.core.work_order import Order
from expunge.tasks.ledger.line.head import shared_record
from expunge.tasks.ledger.policy_store import kept_policy
from expunge.tasks.ledger.receipt import Receipt, Step, of_step


def bring_back(home: Path, work: str, chain: Sequence[Receipt], bundle: bool = False) -> None:
    """Fetch what the steps of a work left where the home lacks it, and its bundle if that is asked for.

    Within `sharing` alone, for elsewhere no other place is known. What is nowhere stays missing.

    Raises:
        IntegrityError: what is fetched is not what a receipt names.
    """
    record, own = shared_record(home), [receipt for receipt in chain if receipt.work == work]
    if record is None:
        return
    for receipt in reversed(own):  # what a later step made takes the place of the earlier
        record.fetch_work(receipt)
        if bundle and receipt.step == Step.BUNDLED:
            record.fetch_bundle(receipt)
    if not Order.is_kept(home, work) and (order := _order_on_record(home, work, chain)):
        order.save()


def _order_on_record(home: Path, work: str, chain: Sequence[Receipt]) -> Order | None:
    """Return the order of a work by its receipts; None of a check, or where the home does not know what the work is."""
    own = [receipt for receipt in chain if receipt.work == work]
    read, identity = next(iter(reversed(of_step(own, Step.READ))), None), _identity(home, work)
    if read is None or identity is None:
        return None
    policy, attempts = kept_policy(home, read.inputs["policy"]), of_step(own, Step.ATTEMPTED)
    base, judge = named_folders(policy)
    before = of_step(chain[: chain.index(read)], Step.PUBLISHED)
    return Order(
        request_id=policy.request_id,
        line=read.line,
        key=work,
        home=home,
        policy=policy.digest,
        state=read.outputs["state"],
        base=policy.base.sha256,
        base_folder=base,
        judge=identity["judge"],
        judge_folder=judge,
        follows=before[-1].outputs["bundle"] if before else "",
        floor=read.inputs["floor"],
        attempt=int((attempts[-1].verdict or {})["attempt"]) if attempts else 0,
    )


def _identity(home: Path, work: str) -> dict[str, str] | None:
    """Return what the key of a work stands for, None where the home lacks it. IntegrityError if it is another's."""
    file = work_folder(home, work) / IDENTITY
    if not file.is_file():
        return None
    if sha256(content := file.read_bytes()) != work:
        raise IntegrityError(f"{file} is not what work {work} is: remove it, and it is fetched again")
    return parse_json(content, SMALL)
