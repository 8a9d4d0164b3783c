"""A home of version 0.19 becomes one of today, and one that somebody changed does not."""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from expunge.engine.files.digests import file_digest
from expunge.tasks.audit.migration import migrate
from expunge.tasks.core.errors import IntegrityError, LedgerError, NothingOnRecord, UsageError
from expunge.tasks.core.work_order import Order
from expunge.tasks.ledger.line.lock import alone_on
from expunge.tasks.ledger.line.rebuild import disagreements
from expunge.tasks.ledger.queries import read, states
from expunge.tasks.ledger.recorder import journal
from expunge.tasks.ledger.state.leases import LineBusy
from tests.tasks.ledger.signatures.keys import write_key

GOLDEN = Path(__file__).parents[2] / "golden" / "home-0.19"
NAME = "emoji-0103c2fdff9b"
LEFT_OUT = ("deltas.safetensors", "bundle")
"""Weights, which the golden home does not have."""


@pytest.fixture
def old(tmp_path: Path) -> Path:
    return shutil.copytree(GOLDEN, tmp_path / "old")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def content(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): file_digest(path) for path in folder.rglob("*") if path.is_file()}


def receipt(old: Path, number: int, folder: str = "receipts") -> Path:
    (path,) = (old / folder / NAME).glob(f"{number:06d}-*.json")
    return path


def refused(old: Path, home: Path, error: type[Exception], words: str, **options: Any) -> None:
    """It is refused, says so, changes nothing of the old home and leaves nothing of the new one."""
    before = content(old)
    with pytest.raises(error, match=words):
        migrate(old, home, **options)
    assert not home.exists()
    assert content(old) == before
    assert {path.name for path in home.parent.iterdir() if path.name.startswith(".")} == set()


def test_a_home_of_version_0_19_becomes_one_of_today(old: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EXPUNGE_FLOOR")  # the built-in one, not that of the tests
    before = content(old)
    found = migrate(old, home)
    assert content(old) == before
    after = content(home)
    assert {name: before[name] for name in before if not name.endswith(".lock")}.items() <= after.items()
    assert found["copied"] == len(before) - 1  # all but the lock
    assert after.keys() - before.keys() == {"expunge.db"}
    private = (home, home / "private", home / "private" / "signing.pem")
    assert [path.stat().st_mode & 0o777 for path in private] == [0o700, 0o700, 0o600]
    assert [(row["request_id"], row["state"], row["verdict"]) for row in states(home)] == [
        ("bicycle-2026", "published", "PASS"),
        ("piano-2026", "rejected", "INCONCLUSIVE"),
    ]
    (line,) = found["lines"]
    assert (line["line"], line["receipts"], line["signed"], line["published"]) == (NAME, 13, 13, 1)
    assert (found["versions"], found["database"]["requests"]) == (["0.19.0"], 2)
    assert found["problems"], "the golden home has no weights, and that is said"
    assert all(any(name in problem for name in LEFT_OUT) for problem in found["problems"])
    assert any("who could write to the old home" in doubt for doubt in found["unchecked"])
    assert any("bicycle-2026 asks for less than the floor" in note for note in found["notes"])


def test_a_new_takedown_goes_on_where_the_old_line_ended(old: Path, home: Path) -> None:
    migrate(old, home)
    before = journal(home, NAME).receipts()
    with alone_on(NAME, home) as lease:
        added = journal(home, NAME).append("read", request_id="new", who="x", inputs={}, outputs={})
    assert (added.sequence, added.previous, added.fencing_token) == (14, before[-1].digest, lease.token)
    chains, problems = read(home)
    assert (chains[NAME][:13], problems) == (before, [])
    assert list(disagreements(home, chains)) == []
    again = migrate(old, home)  # also after work has gone on
    assert (again["copied"], again["lines"][0]["receipts"], again["database"]["changed"]) == (0, 14, 0)


def test_the_orders_of_version_0_19_are_read(old: Path, home: Path) -> None:
    migrate(old, home)
    for row in states(home):
        order = Order.load(home, row["work"])
        assert (order.home, order.floor, order.attempt) == (home, "", 0)
        assert order.base_folder.is_dir()
        assert order.judge_folder.is_dir()
        assert order.desired.digest == order.state


def edit_receipt(old: Path) -> None:
    path = receipt(old, 7)
    path.write_bytes(path.read_bytes().replace(b"officer", b"nobody1"))


def edit_receipt_and_name(old: Path) -> None:
    path = receipt(old, 13)
    path.write_bytes(path.read_bytes().replace(b"officer", b"nobody1"))
    path.rename(path.with_name(f"000013-{file_digest(path)}.json"))


def remove_receipt(old: Path) -> None:
    receipt(old, 5).unlink()


def remove_last_receipt(old: Path) -> None:
    receipt(old, 13).unlink()


def remove_signature(old: Path) -> None:
    receipt(old, 7, "signatures").unlink()


def remove_all_signatures(old: Path) -> None:
    shutil.rmtree(old / "signatures")


def swap_policy(old: Path) -> None:
    first, second = sorted((old / "policies").iterdir())
    shutil.copyfile(second, first)


def edit_policy(old: Path) -> None:
    for path in (old / "policies").iterdir():
        path.write_bytes(path.read_bytes().replace(b"bicycle", b"unicorn"))


def remove_policy(old: Path) -> None:
    next((old / "policies").iterdir()).unlink()


def exchange_key(old: Path) -> None:
    private, _ = write_key(old.parent, "stranger")
    shutil.copyfile(private, old / "private" / "signing.pem")


def remove_key(old: Path) -> None:
    shutil.rmtree(old / "private")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (edit_receipt, "altered"),
        (edit_receipt_and_name, "has no signature|signature of a receipt that is not there"),
        (remove_receipt, "000005 to 000005: deleted"),
        (remove_last_receipt, "signature of a receipt that is not there"),
        (remove_signature, "has no signature"),
        (remove_all_signatures, "has no signature"),
        (swap_policy, "is not the published policy that was received"),
        (edit_policy, "is not the published policy that was received"),
        (remove_policy, "is not the published policy that was received"),
        (exchange_key, "signed by none of the keys"),
        (remove_key, "signed by none of the keys"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_attack_the_old_record_was_changed(old: Path, home: Path, change: Callable[[Path], None], words: str) -> None:
    change(old)
    refused(old, home, LedgerError, words)


def test_attack_another_operators_record(old: Path, home: Path, tmp_path: Path) -> None:
    _, public = write_key(tmp_path, "operator")
    refused(old, home, LedgerError, "signed by none of the keys", keys=[public])


def test_attack_the_end_was_cut_off_with_its_signature(old: Path, home: Path) -> None:
    head = receipt(old, 13).stem.partition("-")[2]
    for folder in ("receipts", "signatures"):
        receipt(old, 13, folder).unlink()
    found = migrate(old, home, noted=[head])
    assert any(head in problem for problem in found["problems"])
    assert found["exit_code"] == 6
    unknown = migrate(old, home)
    assert any("was cut off (--noted or --stored)" in doubt for doubt in unknown["unchecked"])


def test_attack_evidence_of_the_old_home_was_changed(old: Path, home: Path) -> None:
    for path in (old / "work").glob("*/evidence.parquet"):
        path.write_bytes(b"nothing was seen")
    found = migrate(old, home)
    assert sum("evidence.parquet has changed" in problem for problem in found["problems"]) == 3
    assert found["exit_code"] == 6


@pytest.mark.parametrize("place", ["work/secret", "policies/secret.yaml", "receipts"])
def test_attack_a_link_leads_out_of_the_old_home(old: Path, home: Path, tmp_path: Path, place: str) -> None:
    (tmp_path / "secret").mkdir()
    shutil.rmtree(old / place) if (old / place).exists() else None
    (old / place).symlink_to(tmp_path / "secret")
    with pytest.raises(IntegrityError, match="neither a file nor a folder"):
        migrate(old, home)
    assert not home.exists()


def test_version_0_19_at_work_keeps_its_home(old: Path, home: Path) -> None:
    with (old / ".0103c2fdff9b.lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        refused(old, home, LineBusy, "version 0.19 works in")


def test_the_stack_of_version_0_19_is_stopped_first(old: Path, home: Path) -> None:
    (old / "stack").mkdir()
    (old / "stack" / "env.json").write_text("{}")
    refused(old, home, UsageError, "make down")


def test_folders_that_are_not_fit_are_named_with_the_cure(old: Path, home: Path, tmp_path: Path) -> None:
    refused(tmp_path / "none", home, NothingOnRecord, "has no receipts: name the folder")
    for unfit in (old, old / "inside", tmp_path):
        with pytest.raises(UsageError, match="set EXPUNGE_HOME to a new folder"):
            migrate(old, unfit)
    home.mkdir()
    (home / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="has files and no receipts"):
        migrate(old, home)
    assert [path.name for path in home.iterdir()] == ["notes.txt"]


def test_a_home_that_goes_on_from_another_is_left_alone(old: Path, home: Path) -> None:
    migrate(old, home)
    (old / "receipts" / NAME / f"000014-{'ab' * 32}.json").write_bytes(b"{}")
    before = content(home)
    with pytest.raises(LedgerError, match=r"version 0\.19 went on since"):
        migrate(old, home)
    assert content(home) == before


def test_attack_the_database_serves_another_record(
    old: Path, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EXPUNGE_DATABASE", f"sqlite:///{tmp_path / 'shared.db'}")
    other = journal(tmp_path / "other", "theirs")
    other.append("read", request_id="r", who="x", inputs={}, outputs={})
    with pytest.raises(UsageError, match="has the line theirs of another record: set EXPUNGE_DATABASE"):
        migrate(old, home)
    assert journal(tmp_path / "other", "theirs").receipts() == other.receipts()
