"""Verification once more: what every line serves is questioned again, on a schedule, for as long as it is published."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from prefect import flow

from tasks.errors import ChecksFailed, NothingOnRecord, ServiceUnreachable
from tasks.exit_codes import UNEXPECTED, exit_code_of
from tasks.health import reach
from tasks.history import lines_due, served, standing
from tasks.line import alone_on
from tasks.reverify import conclude_task, fetch_task, finding_task, open_task, question_task, refuse
from tasks.settings import Settings
from tasks.signing import check_key
from tasks.vault import stored

A_DAY = timedelta(days=1)


@flow(name="reverify", persist_result=False)
def reverify(line: str, home: str) -> str:
    """Question the bundle that a line serves again, with seeds of its own; returns the key of the work order.

    Ends Failed, with the exception that says why, if what is served is not what was published, or is proven no more;
    it is suspect then.
    """
    check = open_task(line, home)
    model = fetch_task(check)
    evidence = question_task(check, model)
    receipt = conclude_task(check, model, evidence)
    finding_task(check, receipt)
    refuse(line, receipt)
    return check.order.key


@flow(name="reverify what is due", persist_result=False)
def reverify_due() -> list[str]:
    """What a schedule runs every day: check every line whose proof would be too old by tomorrow, each by its own flow.

    Returns the lines. Ends Failed, after all of them, if any is suspect or could not be checked.
    """
    settings = Settings.load()
    settings.export()
    due = lines_due(settings.home, lead=A_DAY)
    found = check(due, settings)
    if failed := [each for each in found if each["exit_code"]]:
        raise ChecksFailed({each["line"]: each["problem"] for each in failed}, [each["exit_code"] for each in failed])
    return due


def chosen(home: Path, line: str, due: bool) -> list[str]:
    """This line, or all that serve something; with `due` only of those that are due by tomorrow.

    NothingOnRecord if nothing is published on the line, or on any.
    """
    known = sorted(served(home))
    if not known or line not in ("", *known):
        raise NothingOnRecord(f"nothing is published {f'on a line {line!r}' if line else 'here'}: see `expunge status`")
    wanted = [line] if line else known
    return [each for each in wanted if each in lines_due(home, lead=A_DAY)] if due else wanted


def check(lines: Sequence[str], settings: Settings) -> list[dict[str, Any]]:
    """Check these lines one after the other; one that fails keeps no other from it. Returns what each came to.

    ServiceUnreachable ends all, for none could be checked.
    """
    if lines:
        reach(settings)
        check_key(settings.home)
    return [_checked(line, settings) for line in lines]


def _checked(line: str, settings: Settings) -> dict[str, Any]:
    try:
        with alone_on(line, settings.home), stored(settings):
            reverify(line, str(settings.home))
        problem, code = "", 0
    except ServiceUnreachable:
        raise
    except Exception as error:
        problem, code = str(error), exit_code_of(error)
        if code == UNEXPECTED:
            raise
    return {**standing(line, settings.home), "problem": problem, "exit_code": code}
