"""A counter-notice stops what has the same target, and nothing else; where nobody can tell, it stops."""

from __future__ import annotations

from pathlib import Path

import pytest

from expunge.flows.casework.counter import counter
from expunge.policies import read
from expunge.tasks.ledger.decisions.counters import Countered
from expunge.tasks.ledger.decisions.stopping import OTHERS
from tests.tasks.ledger.test_counters import asked, contested, letter, stop, taken_in, wait_past


def test_only_who_has_the_same_target_is_told_how_another_owner_goes_on(tmp_path: Path) -> None:
    home = tmp_path / "home"
    first = contested(tmp_path, home)
    chain = taken_in(other := asked(tmp_path, "other"), home)
    with pytest.raises(Countered) as found:
        stop(home, other, chain)
    assert OTHERS in str(found.value)
    with pytest.raises(Countered) as own:
        stop(home, tmp_path / f"{first}.yaml", chain)
    assert OTHERS not in str(own.value)
    assert "has the same target" not in str(own.value)


def test_another_target_on_the_same_line_goes_on(tmp_path: Path) -> None:
    home = tmp_path / "home"
    contested(tmp_path, home)
    chain = taken_in(other := asked(tmp_path, "another-target", "umbrella"), home)
    stop(home, other, chain)


def test_attack_the_policy_of_the_countered_request_is_removed(tmp_path: Path) -> None:
    """Nobody can tell then what it asked for."""
    home = tmp_path / "home"
    first = contested(tmp_path, home)
    chain = taken_in(other := asked(tmp_path, "other"), home)
    (home / "policies" / f"{read(tmp_path / f'{first}.yaml').digest}.yaml").unlink()
    with pytest.raises(Countered):
        stop(home, other, chain)


def test_attack_an_earlier_publication_of_another_request_lets_this_one_through(tmp_path: Path) -> None:
    home = tmp_path / "home"
    chain = taken_in(asked(tmp_path, "earlier", "umbrella"), home, publish=True)
    wait_past(chain[-1])
    taken_in(asked(tmp_path), home)
    counter("first", letter(tmp_path, "reply"), None, home)
    chain = taken_in(other := asked(tmp_path, "other"), home)
    with pytest.raises(Countered):
        stop(home, other, chain)
