"""What happened, receipt by receipt: each step of a work order is written once, however often it runs."""

from __future__ import annotations

import getpass
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import engine
from engine.errors import EngineError, MissingExtra
from policies import PolicyError, PolicyErrors
from tasks.errors import IntegrityError, LimitExceeded
from tasks.order import Order
from tasks.receipts import Ledger, Receipt, step_key

PACKAGES = ("torch", "diffusers", "transformers", "safetensors", "prefect")
REFUSALS = (LimitExceeded, IntegrityError, EngineError, PolicyError, PolicyErrors)


def journal(home: Path, line: str) -> Ledger:
    return Ledger(home / "receipts", line)


def note(
    order: Order,
    step: str,
    inputs: Mapping[str, str],
    outputs: Mapping[str, str],
    verdict: Mapping[str, Any] | None = None,
) -> Receipt:
    """The receipt of this step for these inputs: the one there is with the same outcome, or a new one."""
    ledger, settings = journal(order.home, order.line), {"work": order.key}
    found = ledger.find(step, step_key(inputs, settings))
    if found is not None and (found.outputs, found.verdict) == (dict(outputs), verdict):
        return found
    return ledger.append(
        step,
        request_id=order.request_id,
        who=os.environ.get("EXPUNGE_ACTOR") or getpass.getuser(),
        inputs=inputs,
        outputs=outputs,
        settings=settings,
        versions={"expunge": engine.__version__, **{name: version(name) for name in PACKAGES}},
        verdict=verdict,
    )


@contextmanager
def refusals_noted(order: Order, inputs: Mapping[str, str]) -> Iterator[None]:
    """Leave a receipt that says why, where the policy, its limits, the model or the mathematics refuse a step.

    No refusal is what the next run may find gone: a service that does not answer, a library that is not installed, a
    full disk. And what was published stays so, whatever a later run of the same order meets.
    """
    try:
        yield
    except MissingExtra:
        raise
    except REFUSALS as error:
        if not _is_published(order):
            note(order, "refused", inputs, {}, {"outcome": "refused", "reasons": [str(error)]})
        raise


def _is_published(order: Order) -> bool:
    chain = journal(order.home, order.line).receipts()
    return any((receipt.step, receipt.settings["work"]) == ("published", order.key) for receipt in chain)
