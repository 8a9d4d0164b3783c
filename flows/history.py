"""The record as `expunge status`, `expunge audit` and `expunge report` show it: read from files, without a server."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from expunge.flows.casework.notices import NOTICES, notice_rows, refuse_no_home
from expunge.policies import Policy
from expunge.tasks.core.connection import without_password
from expunge.tasks.core.errors import EXIT_CODE_OF, IntegrityError, NothingOnRecord, ServiceUnreachable, UsageError
from expunge.tasks.core.paths import VERDICT
from expunge.tasks.core.settings import STORE, Settings
from expunge.tasks.core.work_order import Order
from expunge.tasks.ledger import queries as history
from expunge.tasks.ledger.receipt import Receipt
from expunge.tasks.ledger.recorder import journal

if TYPE_CHECKING:
    from expunge.tasks.audit.bundle import Found


def states(home: Path, policy: Policy | None) -> dict[str, Any]:
    """Return the state of all requests, or of one policy's, an empty list of an unknown one.

    It has the problems of lines of which nothing can be said as well. The exit code is another than 0 where there are
    some, and where what is published is suspect, or was not proven again in time.

    Raises:
        NothingOnRecord: the request is on record by a policy that says something else.
    """
    refuse_no_home(home)
    chains, problems = history.read(home)
    requests = history.states_in(home, chains, policy.digest if policy else None)
    notices = notice_rows(home) if NOTICES in chains and policy is None else []
    unproven = any(row["state"] == "suspect" or row["proof_late"] for row in requests)
    database = _database_otherwise(home, chains)
    code = IntegrityError.exit_code if problems or database else EXIT_CODE_OF["FAIL"] if unproven else 0
    if policy and not requests and not problems:
        _refuse_changed(home, policy, history.states_in(home, chains))
    found = {"home": str(home), "notices": notices, "requests": requests}
    return {**found, "problems": problems, "database": database, "exit_code": code}


def _database_otherwise(home: Path, chains: Mapping[str, Sequence[Receipt]]) -> list[str]:
    """Say what the database has otherwise; a server that does not answer keeps nobody from reading the record."""
    from expunge.tasks.ledger.line.rebuild import disagreements

    try:
        return list(disagreements(home, chains))
    except ServiceUnreachable as error:
        logging.getLogger(__name__).warning("%s", error)
        return []


def rebuild(home: Path) -> dict[str, Any]:
    """Write the database anew from the receipts; how many rows it has, and how many lines were otherwise.

    What S3 has of the record and the home lacks is fetched first, so that a new machine has all of it.
    """
    from expunge.tasks.ledger.line.rebuild import rebuild as write_anew
    from expunge.tasks.storage.record.fetching import fetch_or_say

    try:
        fetch_or_say(replace(Settings.load(STORE), home=home))
    except ServiceUnreachable as error:  # no S3 is configured
        fetch_or_say(Settings(home, "", "", ""), error)
    return write_anew(home)


def migrate(old: Path, home: Path, keys: list[Path], noted: list[str]) -> dict[str, Any]:
    """Make a home from one of version 0.19, with the copy of its record in S3 where S3 is configured."""
    from expunge.tasks.audit.migration import migrate as take_over

    try:
        settings = Settings.load(STORE)
    except ServiceUnreachable:  # none is configured, and the answer says what was not compared
        settings = None
    return take_over(old, home, keys, noted, settings)


def _refuse_changed(home: Path, policy: Policy, requests: list[dict[str, Any]]) -> None:
    """On another base the same request is another one."""
    line = history.line_of(policy, home)
    if same := [row for row in requests if (row["request_id"], row["line"]) == (policy.request_id, line)]:
        received, state = same[-1]["policy"], same[-1]["state"]
        raise NothingOnRecord(
            f"{policy.request_id} is on record, {state}, by another policy than this file (digest {received[:12]}, not "
            f"{policy.digest[:12]}): one that was received is never changed; ask by the file that was submitted, or "
            "submit this one under a new request_id that `replaces` it"
        )


def audit(
    home: Path,
    noted: list[str],
    keys: list[Path],
    store: Settings | None,
    index: Settings | None = None,
    fetch: bool = False,
    floors: Sequence[str] = (),
) -> dict[str, Any]:
    """Return every line of the record with its head, and what is wrong with any of it.

    With `fetch` what works left is fetched from S3 where the home lacks it. With `store` or `index` it also says what
    is other than in this S3, or than this MLflow shows it.
    """
    from expunge.tasks.audit.record import audit as read_all
    from expunge.tasks.audit.record import stored_otherwise
    from expunge.tasks.ledger.floor_store import accepted_floors
    from expunge.tasks.storage.record.fetching import fetch_works
    from expunge.tasks.storage.record_replica import place_of

    foreign = fetch_works(home) if fetch else []
    found, places = read_all(home, noted, keys, store is not None, accepted_floors(floors)), []
    problems = [*found.problems, *foreign]
    if store:
        problems += stored_otherwise(home, keys, store)
        places.append(f"s3://{store.bucket}/{place_of(home)} at {store.s3_endpoint_url}")
    if index:
        problems += _shown_otherwise(home, index)
        places.append(f"MLflow at {without_password(index.mlflow_tracking_uri)}")
    code = IntegrityError.exit_code if problems else 0
    return {**asdict(found), "problems": problems, "compared_with": ", ".join(places) or None, "exit_code": code}


def _shown_otherwise(home: Path, index: Settings) -> list[str]:
    from expunge.tasks.audit.mlflow_diff import differences

    chains, _ = history.read(home)
    return list(differences(home, chains, index))


def audit_bundle(folder: Path, noted: list[str], keys: list[Path], compared: bool, base: str | None) -> dict[str, Any]:
    """Return what a bundle says of itself to whoever has a public key, and what is wrong with it.

    With `compared` or a `base`, it says also what is other than in the base with the edit.
    """
    from expunge.tasks.audit.bundle import look
    from expunge.tasks.storage.export import model_folder

    if compared or not keys:
        raise UsageError(
            "--bundle takes no --stored or --indexed and needs a --key: without one anybody could have made it"
        )
    found = look(folder, keys, model_folder(base) if base else None)
    receipt, problems = found.receipt, list(found.problems)
    if noted and receipt.digest not in noted:
        problems.append(f"its receipt {receipt.digest} is none of those noted")
    named = {name: getattr(receipt, name) for name in ("line", "request_id", "at", "who")}
    return {
        "bundle": found.bundle,
        "model": found.model,
        "base": found.base,
        **named,
        "receipt": receipt.digest,
        "verdict": found.verdict.outcome.value if found.verdict else "none: a base as it was",
        "grade": found.verdict.grade if found.verdict else None,
        "limits": asdict(found.verdict.acceptance) if found.verdict else None,
        "version": receipt.versions.get("expunge", ""),
        "rederived": found.rederived,
        "problems": problems,
        "unchecked": _unchecked(found, noted),
        "exit_code": IntegrityError.exit_code if problems else 0,
    }


def _unchecked(found: Found, noted: list[str]) -> list[str]:
    """Say what the look at a bundle could not tell, with what would let it."""
    unchecked = {
        "whether its model is its base with this edit (--base)": found.base is None,
        "whether its verdict follows from its evidence, for another version came to it": not (
            found.rederived or found.verdict is None
        ),
        "whether its receipt is the one that was noted (--noted)": not noted,
        "whether something newer was published": True,
    }
    return [words for words, missing in unchecked.items() if missing]


def write_report(home: Path, policy: Policy, out: Path | None) -> Path:
    """Render the report of the policy's last verification anew, and return where it is."""
    from expunge.tasks.ledger.case import open_case
    from expunge.tasks.report import rerender

    order = _last_order(home, policy)
    if order is None or not (order.folder / VERDICT).exists():
        raise NothingOnRecord(_why_none(home, policy))
    page = rerender(open_case(order))
    try:
        return Path(shutil.copyfile(page, out)) if out else page
    except OSError as error:
        raise UsageError(
            f"--out {out} cannot be written ({error.strerror}); name a file in a folder there is"
        ) from None


def _last_order(home: Path, policy: Policy) -> Order | None:
    """Return the last work order of a policy, with what its steps left; that is fetched where the home lacks it."""
    from expunge.tasks.ledger.line.work import bring_back
    from expunge.tasks.storage.record.fetching import fetching

    if not (requests := history.states(home, policy.digest)):
        return None
    line, work = requests[-1]["line"], requests[-1]["work"]
    with fetching(home):
        bring_back(home, work, journal(home, line).receipts())
    return history.last_order(home, policy.digest)


def _why_none(home: Path, policy: Policy) -> str:
    """Say that there is no verification to report, how far the policy came, and what to do about it."""
    journal(home, history.line_of(policy, home)).receipts()  # of a line whose chain does not hold there may be one
    none = f"{policy.request_id} has no verification on record here"
    if not (requests := history.states(home, policy.digest)):
        _refuse_changed(home, policy, history.states(home))
        return f"{none}: submit it first"
    published = history.publication(home, requests[-1]["line"], policy.digest)
    if published and published.work == requests[-1]["work"]:
        lost = "verdict" in published.inputs
        return f"{none}{': it was lost, see `expunge audit`' if lost else ', for it published the base'}"
    state, reasons = requests[-1]["state"], "; ".join(requests[-1]["reasons"])
    if state == "rejected":
        return f"{none}: it was rejected, {reasons}"
    if state == "repeated":
        return f"{none}: {reasons} and has the report"
    if state == "replaced":
        return f"{none}: it was replaced {reasons}"
    return f"{none}: it is {state}, submit it again to go on with it"
