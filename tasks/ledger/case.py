"""The case: all that one run on a line works with. A flow opens it once, and each step hands it to the next.

What is in it is not read again from disk. Read again is only what proves something: the chain of receipts, whenever one
is added to it, and a file that an earlier step made, by its digest.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import expunge.engine
from expunge.policies import Policy
from expunge.tasks.core.settings import Settings
from expunge.tasks.core.work_order import Order
from expunge.tasks.ledger.ledger import Ledger
from expunge.tasks.ledger.line.status import LineStatus
from expunge.tasks.ledger.line.work import bring_back
from expunge.tasks.ledger.policy_store import kept_policies, kept_policy
from expunge.tasks.ledger.receipt import Receipt, Step, of_step
from expunge.tasks.ledger.recorder import journal, note, refusals_noted


@dataclass(frozen=True)
class Case:
    """The work order of a request, with the line's record and the services.

    `policies`: by digest the order's own policy and all that were published on the line, as far as they are kept;
    `lost` says in words, by digest, which are not. `ledger`: the line's, whose `chain` is as of the last receipt.

    Prefect walks through what a task is handed, and would keep what can be pickled. So the policies are no dictionary:
    it goes past them, and nobody can pickle the case.
    """

    order: Order
    policies: MappingProxyType[str, Policy] = field(repr=False)
    ledger: Ledger = field(repr=False)
    settings: Settings = field(repr=False)
    lost: Mapping[str, str] = field(default_factory=dict)

    @property
    def policy(self) -> Policy:
        """The policy that the order is of; IntegrityError if it is not kept as it was received."""
        return self.policies.get(self.order.policy) or kept_policy(self.order.home, self.order.policy)

    @property
    def chain(self) -> Sequence[Receipt]:
        """The line's receipts, those of this run among them."""
        return self.ledger.chain

    @property
    def receipts(self) -> list[Receipt]:
        """The receipts of this work."""
        return [receipt for receipt in self.chain if receipt.work == self.order.key]

    @property
    def version(self) -> str:
        """The version of this software that did the work: the one at hand, if no receipt names another."""
        first = next((receipt.versions for receipt in self.receipts), {})
        return first.get("expunge", expunge.engine.__version__)

    @property
    def status(self) -> LineStatus | None:
        """The status of the line by now; None before its first publication."""
        return LineStatus.among(self.chain, self.policies, self.lost)

    def note(
        self,
        step: str,
        inputs: Mapping[str, str],
        outputs: Mapping[str, str],
        verdict: Mapping[str, Any] | None = None,
    ) -> Receipt:
        """Return the receipt of a step, which is written unless the last one says the same."""
        return note(self.order, step, inputs, outputs, verdict, self.ledger)

    @contextmanager
    def refusals_noted(self, inputs: Mapping[str, str]) -> Iterator[None]:
        """Leave a receipt that says why, where what is done inside is refused."""
        with refusals_noted(self.order, inputs, self.ledger):
            yield

    def counted(self, attempt: int) -> Case:
        """Return the case as this attempt of its request."""
        return Case(self.order.counted(attempt), self.policies, self.ledger, self.settings, self.lost)


def reopen_case(work: str, settings: Settings, ledger: Ledger, bundle: bool = False) -> Case:
    """Open the case of a work that was done before, here or on another machine; with its bundle if that is asked for.

    Raises:
        NothingOnRecord: its order is nowhere.
    """
    bring_back(settings.home, work, ledger.chain, bundle)
    return open_case(Order.load(settings.home, work), settings, ledger)


def open_case(order: Order, settings: Settings | None = None, ledger: Ledger | None = None) -> Case:
    """Open the case of an order again, from what the record has of it; without `settings` no service is at hand.

    Raises:
        LedgerError: the line's chain does not hold.
    """
    ledger = ledger or journal(order.home, order.line)
    published = dict.fromkeys(receipt.inputs.get("policy", "") for receipt in of_step(ledger.chain, Step.PUBLISHED))
    kept, lost = kept_policies(order.home, published)
    own, _ = kept_policies(order.home, {order.policy} - published.keys())
    return Case(order, MappingProxyType(kept | own), ledger, settings or Settings(order.home, "", "", ""), lost)
