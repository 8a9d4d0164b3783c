"""Submissions in processes of their own, which can be killed; and what a home and its services look like in the end."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import sys
import traceback
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import NoReturn

import psutil
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter
from prefect.settings import temporary_settings

from expunge.deployments.processes import MARK
from expunge.deployments.stack import servers
from expunge.flows.submission import submit
from expunge.policies import read
from expunge.tasks.audit.record import audit, stored_otherwise
from expunge.tasks.core.errors import exit_code_of
from expunge.tasks.core.settings import Settings
from expunge.tasks.ledger.ledger import Ledger
from expunge.tasks.ledger.line.proof import weights_by_bundle
from expunge.tasks.ledger.queries import publications, states
from expunge.tasks.ledger.receipt import Receipt
from expunge.tasks.ledger.recorder import journal
from expunge.tasks.storage.pointer import approved
from expunge.tasks.tracking.abandoned_runs import mark_of
from tests.flows.conftest import prefect_at

SECONDS = 1500
"""What ends later hangs. A client of Prefect asks for up to a quarter of an hour before it gives up."""

DRAWN = ("pictures", "words", "attacks", "quality")
"""What a home keeps and a later run draws no more."""


@dataclass(frozen=True)
class End:
    """How a home ended: the state of each request, the bundle that the line serves and the model in it, and what is
    wrong."""

    states: Mapping[str, str]
    served: str
    model: str
    published: Collection[str]
    problems: Collection[str]
    still_running: int


def start(settings: Settings, policy: Path, die_at: str = "") -> BaseProcess:
    """Submit a policy file in a process of its own, which kills itself right after it stored the receipt of a step."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    process = context.Process(target=_submit, args=(dict(os.environ), settings, policy, die_at))
    process.start()
    return process


def ended(process: BaseProcess, seconds: float = SECONDS) -> int:
    """Return the exit code of a process, a negative one if a signal ended it."""
    process.join(seconds)
    if process.exitcode is None:
        process.kill()
        process.join()
        raise AssertionError(f"it did not end within {seconds} seconds")
    return process.exitcode


def _submit(environ: dict[str, str], settings: Settings, policy: Path, die_at: str) -> None:
    os.environ.clear()
    os.environ.update({**environ, **settings.variables()})
    if die_at:
        _die_after(die_at)
    submit_and_exit(policy, settings)


def submit_and_exit(policy: Path, settings: Settings) -> NoReturn:
    """Submit a policy file as the command does, and end this process with the exit code."""
    try:
        with temporary_settings(prefect_at(os.environ)):
            code = submit(policy, read(policy), settings)["exit_code"]
    except Exception as error:
        traceback.print_exc()
        code = exit_code_of(error)
    sys.stderr.flush()
    os._exit(code)  # at once: what a library would still do in the end is no part of this


def _die_after(step: str) -> None:
    store = Ledger._store

    def store_and_die(ledger: Ledger, receipt: Receipt, envelope: bytes) -> None:
        store(ledger, receipt, envelope)
        if receipt.step == step:
            os.kill(os.getpid(), signal.SIGKILL)

    Ledger._store = store_and_die  # type: ignore[method-assign]


def harm(home: Path, name: str, how: signal.Signals) -> None:
    """Send a signal to all processes of a server of the stack."""
    mark = servers(home)[name].mark
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == mark:
                process.send_signal(how)
        except (psutil.Error, OSError):
            continue  # another user's, or gone


def furnish(home: Path, drawn: Path) -> None:
    """Give an empty home what another one has drawn."""
    for name in DRAWN:
        if (drawn / name).is_dir():
            shutil.copytree(drawn / name, home / name, copy_function=os.link)


def end_of(settings: Settings) -> End:
    """Look at all that there is of a home, in which nothing runs any more."""
    chains = {line.line: journal(settings.home, line.line).receipts() for line in audit(settings.home).lines}
    (line,) = chains
    rows = states(settings.home)
    assert len({row["request_id"] for row in rows}) == len(rows), "a request has one state"
    with temporary_settings(prefect_at(settings.variables())), get_client(sync_client=True) as client:
        running = {
            "tags": {"all_": [mark_of(line, settings.home)]},
            "state": {"type": {"any_": ["RUNNING", "PENDING"]}},
        }
        runs = client.read_flow_runs(flow_run_filter=FlowRunFilter.model_validate(running))
    return End(
        states={row["request_id"]: row["state"] for row in rows},
        served=approved(line, settings) or "",
        model=weights_by_bundle(chains[line]).get(approved(line, settings) or "", ""),
        published=[receipt.outputs["bundle"] for receipt in publications(settings.home, line)],
        problems=[*audit(settings.home).problems, *stored_otherwise(settings.home, [], settings)],
        still_running=len(runs),
    )
