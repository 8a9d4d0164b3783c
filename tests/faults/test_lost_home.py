"""The home is a cache: deleted between any two steps of a takedown, with all but the key, it costs nothing."""

from __future__ import annotations

import shutil
import signal
from dataclasses import dataclass
from pathlib import Path

import pytest

from expunge.tasks.core.settings import Settings
from expunge.tasks.ledger.queries import lines
from expunge.tasks.ledger.recorder import journal
from tests.faults.conftest import NewHome
from tests.faults.runs import ended, furnish, start
from tests.faults.test_kills import STEPS, ends_well
from tests.flows.conftest import Finished, run_cli
from tests.tasks.ledger.signatures.keys import write_key
from tests.tasks.ledger.test_decisions import floor_for

pytestmark = pytest.mark.slow


@dataclass
class Machine:
    """A machine whose home can be lost, the database in it too; it need not draw what another one has drawn."""

    settings: Settings
    drawn: Path

    def lose(self) -> None:
        shutil.rmtree(self.settings.home)
        self.settings.home.mkdir(mode=0o700)
        furnish(self.settings.home, self.drawn)

    def run(self, *words: str, **variables: str) -> Finished:
        return run_cli(*words, **self.settings.variables(), **variables)

    def steps(self) -> list[str]:
        """The steps on record, once it is fetched."""
        assert self.run("status").code == 0
        (line,) = lines(self.settings.home)
        return [receipt.step for receipt in journal(self.settings.home, line).receipts()]


@pytest.fixture
def machine(
    new_home: NewHome, undisturbed: str, drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Machine:
    monkeypatch.setenv("EXPUNGE_SIGNING_KEY", str(write_key(tmp_path, "operator")[0]))
    return Machine(new_home(), drawn)


def test_the_home_is_lost_after_each_receipt(machine: Machine, policies: dict[str, Path], undisturbed: str) -> None:
    """The same bundle is published in the end, with the same verdict, and no step is on record twice."""
    for number, step in enumerate(STEPS, 1):
        assert ended(start(machine.settings, policies["one"], die_at=step)) == -signal.SIGKILL
        machine.lose()
        assert machine.steps() == list(STEPS[:number])
        machine.lose()
    assert ended(start(machine.settings, policies["one"])) == 0
    whole = machine.run("audit", "--stored", "--indexed", "--json")  # which fetches what the last run did not need
    assert (whole.code, whole.data["problems"]) == (0, []), whole.err
    ends_well(machine.settings, undisturbed)
    machine.lose()
    assert machine.steps() == list(STEPS)
    machine.lose()
    again = machine.run("submit", str(policies["one"]), "--json")
    assert (again.code, again.data["repeated"], again.data["verdict"]) == (0, True, "PASS"), again.err
    machine.lose()
    assert machine.run("report", str(policies["one"])).code == 0


def test_the_home_is_lost_before_and_after_the_decision(
    machine: Machine, policies: dict[str, Path], tmp_path: Path
) -> None:
    write_key(tmp_path, "bea")
    people = {"EXPUNGE_FLOOR": str(floor_for(tmp_path, "asks", {"trademark": ["bea"]})), "EXPUNGE_ACTOR": "ada"}
    assert machine.run("submit", str(policies["one"]), **people).code == 7
    machine.lose()
    approved = machine.run("approve", "one", "--key", str(tmp_path / "bea.pem"), "--later", **people)
    assert approved.code == 0, approved.err
    machine.lose()
    published = machine.run("publish", "one", "--json", **people)
    assert (published.code, published.data["verdict"]) == (0, "PASS"), published.err
    machine.lose()
    assert machine.steps() == [*STEPS[:-1], "awaiting-approval", "approved", "published"]
    whole = machine.run("audit", "--stored", "--indexed", "--json", **people)
    assert (whole.code, whole.data["problems"]) == (0, []), whole.err
