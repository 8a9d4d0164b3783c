"""A dry run plans in the folder of the submission it stands for, so it is alone on its line."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

import pytest

from expunge.flows.dry import dry_run
from expunge.policies import read
from expunge.tasks.core.errors import NothingOnRecord
from expunge.tasks.ledger.line.lock import alone_on
from expunge.tasks.ledger.queries import line_of
from expunge.tasks.ledger.state.leases import LineBusy
from tests.flows.conftest import policy_file


def test_nobody_else_works_on_the_line_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home, policy = tmp_path / "home", read(policy_file(tmp_path, "cd" * 32, "dry"))

    def planned(*_: object) -> NoReturn:
        with pytest.raises(LineBusy), alone_on(line_of(policy, home), home, wait=False):
            pass
        raise NothingOnRecord("this far")

    monkeypatch.setattr("expunge.flows.dry.locate", lambda policy: None)
    monkeypatch.setattr("expunge.tasks.intake.intake", planned)
    with pytest.raises(NothingOnRecord, match="this far"):
        dry_run(policy, home)
    with alone_on(line_of(policy, home), home, wait=False):
        pass
