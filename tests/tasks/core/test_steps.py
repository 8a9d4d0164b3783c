"""An expected error is logged without a traceback, a bug with one; only a service's failure is tried again."""

from __future__ import annotations

import logging
import sys

import pytest
from prefect.states import Failed

from expunge.tasks.core.errors import IntegrityError, ServiceUnreachable
from expunge.tasks.core.workflow.steps import ENGINE, RUNS, STEPS, PlainErrors, is_service_error, refusals_end_plainly


def logged(name: str, error: Exception) -> logging.LogRecord:
    try:
        raise error
    except Exception:
        return logging.LogRecord(name, logging.ERROR, __file__, 1, "it failed: %r", (error,), sys.exc_info())


@pytest.mark.parametrize(("name", "shown"), [(STEPS, True), (RUNS, False), (ENGINE, False)])
def test_a_refusal_is_one_line(name: str, shown: bool) -> None:
    record = logged(name, IntegrityError("it was changed"))
    assert PlainErrors().filter(record) is shown
    assert (record.exc_info, record.getMessage()) == (None, "it was changed")
    assert any(isinstance(each, PlainErrors) for each in logging.getLogger(name).filters)


@pytest.mark.parametrize("name", [STEPS, RUNS, ENGINE])
def test_a_bug_keeps_its_traceback(name: str) -> None:
    record = logged(name, KeyError("a bug"))
    assert PlainErrors().filter(record)
    assert record.exc_info is not None


def test_only_a_service_is_asked_again() -> None:
    assert is_service_error(None, None, Failed(data=ServiceUnreachable("S3 does not answer")))
    for error in (IntegrityError("changed"), KeyError("a bug"), None):
        assert not is_service_error(None, None, Failed(data=error))


def test_a_flow_ends_as_failed_with_the_reason_and_a_bug_is_raised() -> None:
    @refusals_end_plainly
    def ended(error: Exception) -> str:
        raise error

    state: object = ended(IntegrityError("it was changed"))
    assert (getattr(state, "name", ""), getattr(state, "message", "")) == ("Failed", "it was changed")
    with pytest.raises(KeyError):
        ended(KeyError("a bug"))
