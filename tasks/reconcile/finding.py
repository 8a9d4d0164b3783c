"""A finding: what some place has otherwise than the receipts say, and what was done about it or is left to people."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum

from expunge.tasks.core.errors import IntegrityError, LedgerError, NothingOnRecord, ServiceUnreachable
from expunge.tasks.ledger.state.leases import LeaseLost, LineBusy

DATABASE, S3, MLFLOW, PREFECT = "database", "S3", "MLflow", "Prefect"
OTHERWISE = (IntegrityError, LedgerError, NothingOnRecord)


class Done(StrEnum):
    """The outcome of a finding. `CAN_BE`: a run that is not dry repairs it. `WAITS`: nothing is wrong, it is early."""

    REPAIRED = "repaired"
    CAN_BE = "can be repaired"
    WAITS = "waits"
    LEFT = "left to people"
    UNREACHED = "not looked at"


CODES = {
    Done.CAN_BE: IntegrityError.exit_code,
    Done.LEFT: IntegrityError.exit_code,
    Done.UNREACHED: ServiceUnreachable.exit_code,
}


@dataclass(frozen=True)
class Finding:
    """One finding: `place` is a service, `where` a line or an object in it, `what` is wrong, with the cure."""

    place: str
    where: str
    what: str
    done: Done

    @property
    def exit_code(self) -> int:
        return CODES.get(self.done, 0)


@contextmanager
def failures(found: list[Finding], place: str, where: str) -> Iterator[None]:
    """Make findings of what keeps the work inside from its end, so that it keeps nothing else from it."""
    try:
        yield
    except (LineBusy, LeaseLost) as error:
        found.append(Finding(place, where, f"{error}: look again when it has ended", Done.WAITS))
    except OTHERWISE as error:
        found.append(Finding(place, where, str(error), Done.LEFT))
    except ServiceUnreachable as error:
        found.append(Finding(place, where, str(error), Done.UNREACHED))
