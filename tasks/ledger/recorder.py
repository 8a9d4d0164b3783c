"""Write receipts: each step of a work order has one, however often it runs."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

from securesystemslib.signer import SSlibKey

import expunge.engine
from expunge.engine.errors import EngineError, MissingExtra
from expunge.policies import Policy, PolicyError, PolicyErrors
from expunge.tasks.core.errors import IntegrityError, LimitExceeded
from expunge.tasks.core.paths import receipts_folder
from expunge.tasks.core.settings import actor
from expunge.tasks.ledger.ledger import Ledger
from expunge.tasks.ledger.line.head import LineHead, SharedRecord
from expunge.tasks.ledger.receipt import Receipt, Step, of_step
from expunge.tasks.ledger.signatures.timestamps import stamping
from expunge.tasks.ledger.signatures.trust import Signatures

PACKAGES = ("torch", "diffusers", "transformers", "safetensors", "prefect")
REFUSALS = (LimitExceeded, IntegrityError, EngineError, PolicyError, PolicyErrors)


class Work(Protocol):
    """The subject of a receipt: a work order, or a policy that is none yet."""

    @property
    def home(self) -> Path: ...
    @property
    def line(self) -> str: ...
    @property
    def key(self) -> str: ...
    @property
    def request_id(self) -> str: ...


@dataclass(frozen=True)
class AtTheDoor:
    """A policy that was received and is no work order yet; until it is, its own digest is its key."""

    home: Path
    line: str
    policy: Policy

    @property
    def key(self) -> str:
        return self.policy.digest

    @property
    def request_id(self) -> str:
        return self.policy.request_id


def journal(
    home: Path,
    line: str,
    keys: Sequence[SSlibKey] | None = None,
    noted: Collection[str] = (),
    record: SharedRecord | None = None,
) -> Ledger:
    """Return the ledger of a line, by which every receipt is written and read.

    What is written is signed, and what no trusted key signed does not count. `keys` and `noted` as `Signatures` has
    them, `record` as `LineHead`.
    """
    return Ledger(receipts_folder(home), line, Signatures(home, line, keys, noted), LineHead(home, line, record))


def note(
    work: Work,
    step: str,
    inputs: Mapping[str, str],
    outputs: Mapping[str, str],
    verdict: Mapping[str, Any] | None = None,
    ledger: Ledger | None = None,
) -> Receipt:
    """Return the receipt of this step: the last one there is, if it says the same, or a new one.

    `ledger`: the line's, by who holds it.

    Only the last receipt counts: what was done since an earlier one is undone by this step, and the record must show
    that. For a bundle and its publication it is the last of the line, for any other step the last of this work.
    """
    line, settings = ledger or journal(work.home, work.line), {"work": work.key}
    same = (settings, dict(inputs), dict(outputs), verdict)

    def said(_: Sequence[Receipt]) -> Receipt | None:
        last = line.last(step, None if step in (Step.BUNDLED, Step.PUBLISHED) else settings)
        return last if last and (last.settings, last.inputs, last.outputs, last.verdict) == same else None

    return line.append(
        step,
        request_id=work.request_id,
        who=actor(),
        inputs=inputs,
        outputs=outputs,
        settings=settings,
        versions={"expunge": expunge.engine.__version__, **{name: version(name) for name in PACKAGES}, **stamping()},
        verdict=verdict,
        unless=said,
    )


@contextmanager
def refusals_noted(work: Work, inputs: Mapping[str, str], ledger: Ledger | None = None) -> Iterator[None]:
    """Leave a receipt that says why, where the policy, its limits, the model or the mathematics refuse a step.

    No refusal is what the next run may find gone: a service that does not answer, a library that is not installed, a
    full disk. And what was published stays so, whatever a later run of the same work meets.
    """
    try:
        yield
    except MissingExtra:
        raise
    except REFUSALS as error:
        line = ledger or journal(work.home, work.line)
        if not _is_published(work, line.chain):
            note(work, Step.REFUSED, inputs, {}, {"outcome": "refused", "reasons": [str(error)]}, line)
        raise


def _is_published(work: Work, chain: Sequence[Receipt]) -> bool:
    """Return whether this order was published, or, of a policy at the door, any order that it came to."""
    return any(work.key in (receipt.work, receipt.inputs["policy"]) for receipt in of_step(chain, Step.PUBLISHED))
