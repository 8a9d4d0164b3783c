"""An audit allows ten minutes between the last look at an expiry and the receipt, and nothing more."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from expunge.policies import read
from expunge.tasks.ledger.case import open_case
from expunge.tasks.ledger.decisions.expiry import untimely
from expunge.tasks.ledger.receipt import Receipt
from tests.tasks.ledger.test_expiry import ending, publish


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def published(path: Path, home: Path) -> Receipt:
    return open_case(publish(path, home)).chain[-1]


def moved(receipt: Receipt, path: Path, after_its_end: timedelta) -> Receipt:
    """The receipt as if it had been written so long after the policy's end."""
    end = read(path).expires_at
    assert end is not None
    return receipt.model_copy(update={"at": f"{end + after_its_end:%Y-%m-%dT%H:%M:%SZ}"})


@pytest.mark.parametrize(
    ("minutes", "is_late"), [(-60.0, False), (0.0, False), (9.0, False), (10.5, True), (11.5, True), (600.0, True)]
)
def test_a_publication_is_in_time_until_ten_minutes_after_the_end(
    home: Path, tmp_path: Path, minutes: float, is_late: bool
) -> None:
    receipt = published(path := ending(tmp_path, seconds=3600), home)
    said = untimely(home, moved(receipt, path, timedelta(minutes=minutes)), [])
    assert said.startswith("it should not have been published then") == is_late, said


def test_a_policy_that_is_lost_has_no_time(home: Path, tmp_path: Path) -> None:
    receipt = published(path := ending(tmp_path, seconds=3600), home)
    (home / "policies" / f"{receipt.inputs['policy']}.yaml").unlink()
    assert untimely(home, moved(receipt, path, timedelta(days=1)), []) == ""


def test_a_publication_that_names_no_policy_has_no_time(home: Path, tmp_path: Path) -> None:
    receipt = published(path := ending(tmp_path, seconds=3600), home)
    nameless = receipt.model_copy(update={"inputs": {}})
    assert untimely(home, nameless, []) == ""
    assert untimely(home, moved(receipt, path, timedelta(days=1)), [nameless]) == ""
