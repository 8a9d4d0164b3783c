"""A home is closed to all but its owner, whatever rights new files get elsewhere, and no shared folder is taken."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from expunge.tasks.core.errors import UsageError
from expunge.tasks.core.machine.private_home import private


@pytest.fixture(autouse=True)
def open_to_all() -> Iterator[None]:
    """A umask that takes no right away."""
    before = os.umask(0)
    yield
    os.umask(before)


def rights(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("is_new", [True, False])
def test_whoever_shares_the_machine_reads_nothing_of_a_home(tmp_path: Path, is_new: bool) -> None:
    home, beside = tmp_path / "home", tmp_path / "beside"
    if not is_new:
        home.mkdir(mode=0o777)
    with private(home):
        (home / "receipts").mkdir(parents=True)
        (home / "receipts" / "one").touch()
    beside.touch()
    assert (rights(home), rights(home / "receipts"), rights(home / "receipts" / "one")) == (0o700, 0o700, 0o600)
    assert rights(beside) == 0o666, "afterwards all is as before"


def test_a_folder_that_all_share_is_no_home_and_keeps_its_rights(tmp_path: Path) -> None:
    tmp_path.chmod(0o1777)
    with pytest.raises(UsageError, match="a folder that users share: name one of your own"), private(tmp_path):
        pass
    assert rights(tmp_path) == 0o1777


def test_the_home_of_another_user_is_refused_only_where_all_can_read_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "chmod", refused)
    (shared := tmp_path / "shared").mkdir(mode=0o770)
    with private(shared):
        pass
    (open_one := tmp_path / "open").mkdir(mode=0o755)
    with pytest.raises(UsageError, match=r"others can read.*Operation not permitted.*its owner"), private(open_one):
        pass
