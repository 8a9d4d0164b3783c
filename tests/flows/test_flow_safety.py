"""A run that is started from Prefect is as safe as one from the command line, and a refusal is one clear line."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter
from prefect.client.schemas.objects import FlowRun
from prefect.settings import temporary_settings

from expunge.flows.takedown import takedown
from expunge.policies import PolicyErrors, read
from expunge.tasks.core.errors import IntegrityError, NothingOnRecord, ServiceUnreachable
from expunge.tasks.core.settings import Settings
from expunge.tasks.core.workflow.steps import refusals_end_plainly, step
from expunge.tasks.ledger.case import Case
from expunge.tasks.ledger.line.lock import alone_on
from expunge.tasks.ledger.queries import line_of, receipts
from expunge.tasks.ledger.state.leases import LineBusy
from expunge.tasks.storage.record_replica import differences
from expunge.tasks.tracking.abandoned_runs import mark_of
from tests.flows.conftest import WritePolicy, prefect_at


def run_named(name: str) -> FlowRun:
    """Return the last run of this name, as the server has it."""
    with get_client(sync_client=True) as client:
        runs = client.read_flow_runs(flow_run_filter=FlowRunFilter.model_validate({"name": {"any_": [name]}}))
    return runs[-1]


def started_from_prefect(path: Path, home: Path) -> Case:
    return takedown(path, hashlib.sha256(path.read_bytes()).hexdigest(), home)


def test_a_refusal_ends_the_run_with_its_reason_and_no_traceback_and_is_on_record_in_s3(
    home: Path, write_policy: WritePolicy, stack: Settings, capfd: pytest.CaptureFixture[str]
) -> None:
    path = write_policy("refused-in-prefect")
    policy = json.loads(path.read_text())
    policy["concepts"][0]["category"] = "identity"
    path.write_text(json.dumps(policy))
    with temporary_settings(prefect_at(stack.variables())):
        with pytest.raises(PolicyErrors, match="the judge knows no category"):
            started_from_prefect(path, home)
        run = run_named("refused-in-prefect")
    told = capfd.readouterr()
    assert "Traceback" not in told.out + told.err
    assert run.state is not None
    assert (run.state.name, "the judge knows no category" in str(run.state.message)) == ("Failed", True)
    known = line_of(read(path), home)
    assert {mark_of(known, home), "takedown", "request:refused-in-prefect"} <= set(run.tags)
    assert [receipt.step for receipt in receipts(home)] == ["refused"]
    assert list(differences(replace(Settings.load(), home=home))) == []


def test_attack_two_runs_from_prefect_work_on_one_line(
    home: Path, write_policy: WritePolicy, stack: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_policy("alone-in-prefect")

    def held(*_: object) -> NoReturn:
        with pytest.raises(LineBusy), alone_on(line_of(read(path), home), home, wait=False):
            pass
        raise NothingOnRecord("this far")

    monkeypatch.setattr("expunge.flows.takedown._carried_out", held)
    with temporary_settings(prefect_at(stack.variables())), pytest.raises(NothingOnRecord, match="this far"):
        started_from_prefect(path, home)


def test_a_service_that_is_gone_for_a_moment_is_asked_again_and_a_refusal_is_final(
    stack: Settings, capfd: pytest.CaptureFixture[str]
) -> None:
    asked = {"service": 0, "refusal": 0}

    @step("ask a service")
    def service() -> str:
        asked["service"] += 1
        if asked["service"] == 1:
            raise ServiceUnreachable("S3 does not answer")
        return "there"

    @step("ask for the impossible")
    def refusal() -> NoReturn:
        asked["refusal"] += 1
        raise IntegrityError("it was changed")

    @flow
    @refusals_end_plainly
    def asking() -> str:
        assert service() == "there"
        return refusal()

    with temporary_settings(prefect_at(stack.variables())), pytest.raises(IntegrityError, match="it was changed"):
        asking()
    told = capfd.readouterr()
    assert asked == {"service": 2, "refusal": 1}
    assert "Traceback" not in told.out + told.err
