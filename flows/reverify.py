"""Verification of what every line serves, again and again on a schedule, for as long as it is published."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

from prefect import flow
from pydantic import Field

from expunge.errors import ExpungeError
from expunge.flows.casework.expiry import withdraw_expired
from expunge.flows.casework.notify import VARIABLE, notify
from expunge.flows.remote.give_way import must_give_way, wait_again
from expunge.tasks.catch_up import catch_up
from expunge.tasks.core.errors import EXIT_CODE_OF, ChecksFailed, NothingOnRecord, exit_code_of
from expunge.tasks.core.machine.private_home import private
from expunge.tasks.core.paths import VERDICT
from expunge.tasks.core.settings import Settings
from expunge.tasks.core.work_order import Ref
from expunge.tasks.core.workflow.run_progress import progress_of
from expunge.tasks.core.workflow.steps import refusals_end_plainly
from expunge.tasks.ledger.ledger import Ledger
from expunge.tasks.ledger.line.lock import alone_on
from expunge.tasks.ledger.line.proof import doubts_of
from expunge.tasks.ledger.line.status import LineStatus
from expunge.tasks.ledger.queries import is_to_check, lines_to_check, summary
from expunge.tasks.ledger.receipt import LINE, Receipt
from expunge.tasks.ledger.recorder import journal
from expunge.tasks.ledger.state.leases import LineBusy
from expunge.tasks.preflight import check_here, prefect_staying, reach, secured
from expunge.tasks.record import is_of_a_person
from expunge.tasks.restore import look_task
from expunge.tasks.reverify import (
    Check,
    conclude_task,
    fetch_task,
    finding_task,
    is_changed,
    open_task,
    question_task,
    refuse,
)
from expunge.tasks.storage.record.fetching import fetch_if_possible
from expunge.tasks.tracking.abandoned_runs import close_abandoned, mark_run
from expunge.tasks.views.run_page import show_base, show_sheets, show_verdict

LineName = Annotated[str, Field(pattern=f"^{LINE.pattern}$")]
AnyLine = Annotated[str, Field(pattern=f"^({LINE.pattern})?$")]
# What falls due within it is checked: a check takes its time, and the night after may fail.
AHEAD = timedelta(days=2)
STEPS = 5
"""How many steps the check of an edited model takes."""


@flow(name="reverify", flow_run_name="{line}", persist_result=False)
@refusals_end_plainly
def reverify(line: LineName, home: Path) -> str:
    """Question the bundle that a line serves again, with seeds of its own; returns the key of the work order.

    Ends Failed, with the exception that says why, if what is served is not what was published, or is proven no more;
    it is suspect then. A base that was restored is only looked at. The flow holds its line, checks the services and
    copies the record, whoever starts it.
    """
    settings = replace(Settings.load(), home=home)
    with private(home), secured(line, settings) as ledger:
        mark_run(line, home, "reverify")
        with progress_of(line, STEPS):
            return _questioned(ledger, settings)


def _questioned(ledger: Ledger, settings: Settings) -> str:
    status = LineStatus.by(settings.home, ledger.chain)
    if status is not None and status.restored:
        key = look_task(ledger, settings)
        show_base(ledger.line, status.proof.bundle)
        catch_up(ledger, settings)
        return key
    check = open_task(ledger, settings)
    model = fetch_task(check)
    evidence = question_task(check, model)
    receipt = conclude_task(check, model, evidence)
    _show(check, receipt)
    try:
        finding_task(check, receipt, evidence)
    except Exception:
        refuse(ledger.line, receipt)  # what was found goes before what MLflow says
        raise
    refuse(ledger.line, receipt)
    return check.order.key


def _show(check: Check, receipt: Receipt) -> None:
    named = not is_of_a_person(check.case)
    show_verdict(check.order, Ref.of(check.order.folder / VERDICT), named, doubts_of(receipt))
    show_sheets(check.order, named)


@flow(name="reverify what is due", persist_result=False)
@refusals_end_plainly
def reverify_due(line: AnyLine = "", due: bool = True) -> Any:
    """Check every line that is due within two days, each by a flow of its own; a schedule runs this every night.

    Before that it withdraws what has expired, or asks people where the floor wants it. It also checks every other line
    of which S3 serves something else than was published on it last. On a worker it
    gives way between two lines: what is not checked by then is still due, and the run that goes on finds it so.

    Args:
        line: A model line as `expunge status` names it; empty: all.
        due: Check only what is due within two days, and restored bases always.

    Returns the lines that were due. Ends Failed, after all of them, as long as any line is suspect or could not be
    checked, and where nothing is published: then this is not the home that is meant.
    """
    settings = Settings.load()
    settings.export()
    with private(settings.home):
        fetch_if_possible(settings)
        known = lines_to_check(settings.home)
        expired = withdraw_expired([each for each in known if line in ("", each)], settings) if due else []
        lines = chosen(settings.home, line, due)
        found = check(lines, settings, due, stop=must_give_way if due else None)
        if len(found) < len(lines):
            return wait_again()
        found += expired
        if due and not line:
            found += look_at_others(settings, lines)
        tell_people(settings.home)
    if bad := [each for each in found if each["exit_code"]]:
        raise ChecksFailed({each["line"]: each["problem"] for each in bad}, [each["exit_code"] for each in bad])
    return lines


def tell_people(home: Path) -> None:
    """Tell people what is new, where `EXPUNGE_NOTIFY` names addresses; what cannot be sent changes no check."""
    addresses = os.environ.get(VARIABLE, "").split()
    try:
        problems = notify(home, addresses)["problems"] if addresses else []
    except (ExpungeError, OSError) as error:
        problems = [str(error)]
    for problem in problems:
        logging.getLogger(__name__).warning("nobody was told: %s", problem)


def chosen(home: Path, line: str, due: bool) -> list[str]:
    """Return this line, or all that serve something.

    With `due` they are only those due within two days, and restored bases always.

    Raises:
        NothingOnRecord: nothing is published on the line, or on any.
    """
    known = lines_to_check(home)
    if not known or line not in ("", *known):
        raise NothingOnRecord(f"nothing is published {f'on a line {line!r}' if line else 'here'}: see `expunge status`")
    wanted = lines_to_check(home, datetime.now(UTC) + AHEAD) if due else known
    return [each for each in wanted if line in ("", each)]


def check(
    lines: Sequence[str], settings: Settings, due: bool = False, stop: Callable[[], bool] | None = None
) -> list[dict[str, Any]]:
    """Check these lines one after the other; one that fails keeps no other from it. Returns what each came to.

    With `due` not those that another run has checked meanwhile. `stop` is asked between two lines, so at least one is
    checked. ServiceUnreachable if a service does not answer before the first.
    """
    reach(settings)
    check_here(settings.home)
    found = list[dict[str, Any]]()
    for line in lines:
        if found and stop and stop():
            break
        found.append(_checked(line, settings, due))
    return found


def look_at_others(settings: Settings, checked: Sequence[str]) -> list[dict[str, Any]]:
    """Look at what else is published, and check it now if S3 serves something else than was published last.

    Returns what is wrong. What is suspect is told every time until it is proven, and MLflow hears what it missed.
    """
    others = [line for line in lines_to_check(settings.home) if line not in checked]
    return [found for line in others if (found := _looked_at(line, settings))["exit_code"]]


def _looked_at(line: str, settings: Settings) -> dict[str, Any]:
    known = _told(line, settings)
    with _failure() as failed:
        if not known["suspect"] and is_changed(line, settings):  # one receipt is enough, not one a night
            return _checked(line, settings, due=True)
    return {**known, **failed} if failed["exit_code"] else known


def _told(line: str, settings: Settings) -> dict[str, Any]:
    """Why a line is suspect, or MLflow could not hear of it."""
    # a takedown or check that is under way tells MLflow itself; after a dry run the next night does
    with _failure() as failed, suppress(LineBusy), alone_on(line, settings.home, wait=False):
        close_abandoned(line, settings.home)
        catch_up(journal(settings.home, line), settings)
    known = summary(settings.home, line)
    if known["suspect"]:
        failed = _suspicion(known)
    return {**known, **failed}


def _checked(line: str, settings: Settings, due: bool) -> dict[str, Any]:
    with _failure() as failed, secured(line, settings) as ledger:
        until = datetime.now(UTC) + AHEAD if due else None
        if is_to_check(settings.home, line, until) or is_changed(line, settings):
            with prefect_staying(settings.prefect_api_url):
                reverify(line, settings.home)
            catch_up(ledger, settings)
    known = summary(settings.home, line)
    if known["suspect"] and not failed["exit_code"]:  # another run found it so while this one waited
        failed = _suspicion(known)
    return {**known, **failed}


def _suspicion(known: dict[str, Any]) -> dict[str, Any]:
    return {"problem": "; ".join(known["suspect"]), "exit_code": EXIT_CODE_OF["FAIL"]}


@contextmanager
def _failure() -> Iterator[dict[str, Any]]:
    """Yield what keeps the work inside from its end, in words and as an exit code; Prefect has the traceback."""
    failed: dict[str, Any] = {"problem": "", "exit_code": 0}
    try:
        yield failed
    except Exception as error:
        failed |= {"problem": str(error) or type(error).__name__, "exit_code": exit_code_of(error)}
