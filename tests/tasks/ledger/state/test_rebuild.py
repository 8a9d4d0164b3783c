"""The database repeats what receipts say: a row that says otherwise is not believed, what is lost is written anew."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, insert, select, update

from expunge.tasks.core.errors import LedgerError, NothingOnRecord
from expunge.tasks.ledger.line.lock import alone_on
from expunge.tasks.ledger.line.rebuild import rebuild
from expunge.tasks.ledger.queries import states
from expunge.tasks.ledger.recorder import journal
from expunge.tasks.ledger.state.database import FILE, Database
from expunge.tasks.ledger.state.heads import read_rows
from expunge.tasks.ledger.state.leases import LineBusy, acquire, is_fenced, lease_name, leased
from expunge.tasks.ledger.state.tables import CHECKS, LINES, REQUESTS
from tests.flows.conftest import run_cli
from tests.tasks.records import LINE, WORK, Record, published


@pytest.fixture
def home(tmp_path: Path, server: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home in which something is published, and another request was refused."""
    record = published(tmp_path)
    monkeypatch.setenv("EXPUNGE_HOME", str(record.home))
    told = {"inputs": {"policy": record.chain[0].inputs["policy"]}, "outputs": {}, "settings": {"work": "ef" * 32}}
    verdict = {"outcome": "refused", "reasons": ["too much"]}
    journal(record.home, LINE).append("refused", request_id="refused", who="x", verdict=verdict, **told)
    return record.home


def rows(home: Path) -> dict[str, list[dict[str, Any]]]:
    with Database.of(home).transaction() as connection:
        return read_rows(connection)


def change(home: Path, *statements: Any) -> None:
    with Database.of(home).transaction() as connection:
        for statement in statements:
            connection.execute(statement)


def test_rows_are_written_where_a_receipt_is_appended(home: Path) -> None:
    found, chain = rows(home), Record(home).chain
    assert [(row["id"], row["head"], row["sequence"]) for row in found["lines"]] == [
        (LINE, chain[-1].digest, len(chain))
    ]
    told = {row["work"]: row["state"] for row in states(home)}
    assert (
        {row["work"]: row["state"] for row in found["requests"]} == told == {WORK: "published", "ef" * 32: "rejected"}
    )
    assert [(row["line"], row["suspect"]) for row in found["checks"]] == [(LINE, False)]
    assert all(row["received"] for row in found["requests"])


def test_a_database_that_was_lost_is_rebuilt_to_the_same_states(home: Path) -> None:
    before, database = rows(home), Database.of(home)
    assert all(before.values()), "each table has rows"
    earlier = acquire(database, "elsewhere")
    if database.file:
        (home / FILE).unlink()
    else:
        change(home, *map(delete, (REQUESTS, CHECKS, LINES)))
    done = run_cli("rebuild", "--json")
    assert (done.code, done.data["changed"]) == (0, 1), done.err
    assert rows(home) == before
    assert run_cli("rebuild", "--json").data == {"lines": 1, "requests": 2, "checks": 1, "changed": 0}
    with leased(database, lease_name(LINE)) as lease:
        assert earlier
        assert lease.token > earlier.token
        assert not is_fenced(database, lease), "who worked here before, the lost database knew"


@pytest.mark.parametrize(
    "forged",
    [
        update(REQUESTS).where(REQUESTS.c.state == "rejected").values(state="published"),
        delete(REQUESTS),
        update(CHECKS).values(suspect=True),
        update(LINES).values(head="0" * 64, envelope=b"{}"),
        update(LINES).values(sequence=9999),
        update(LINES).values(envelope=b"\xff"),
        insert(LINES).values(id="emoji-ffff", head="0" * 64, sequence=1, envelope=b"{}"),
    ],
    ids=["published", "no requests", "suspect", "head", "sequence", "envelope", "another line"],
)
def test_attack_a_row_says_otherwise_than_the_receipts(home: Path, forged: Any) -> None:
    before, told = rows(home), run_cli("status", "--json").data
    assert (told["database"], told["exit_code"]) == ([], 0)
    change(home, forged)
    done = run_cli("status", "--json")
    assert done.data["requests"] == told["requests"], "states are those of the receipts"
    assert (done.code, "rebuild" in done.data["database"][0]) == (6, True)
    assert "rebuild" in run_cli("status").out
    assert run_cli("rebuild", "--json").data["changed"] == 1
    assert rows(home) == before
    assert run_cli("status").code == 0


def test_attack_the_end_of_the_record_is_cut_off_and_its_signature_is_in_the_database(home: Path) -> None:
    chain = Record(home).chain
    for folder in ("receipts", "signatures"):
        (home / folder / LINE / chain[-1].file_name).unlink()
    assert "says otherwise" in run_cli("status").out
    with alone_on(LINE, home):
        assert Record(home).chain == chain, "the next run puts it back"
    for receipt in chain[-2:]:
        for folder in ("receipts", "signatures"):
            (home / folder / LINE / receipt.file_name).unlink()
    with pytest.raises(LedgerError, match="receipts were removed, or this is an older copy"):
        rebuild(home)
    assert [row["sequence"] for row in rows(home)["lines"]] == [len(chain)], "what it knows is kept"


def test_attack_a_head_is_set_back_to_an_earlier_receipt(home: Path) -> None:
    """It is signed and on record; what follows it is so, too."""
    chain = Record(home).chain
    envelope = (home / "signatures" / LINE / chain[1].file_name).read_bytes()
    change(home, update(LINES).values(head=chain[1].digest, sequence=2, envelope=envelope))
    journal(home, LINE).append("refused", request_id="next", who="x", inputs={}, outputs={})
    assert [receipt.sequence for receipt in Record(home).chain] == list(range(1, len(chain) + 2))
    with Database.of(home).transaction() as connection:
        assert connection.execute(select(LINES.c.sequence)).scalar_one() == len(chain) + 1


def test_a_line_on_which_work_is_under_way_is_not_rebuilt(home: Path) -> None:
    with alone_on(LINE, home), pytest.raises(LineBusy):
        rebuild(home)


def test_a_home_without_receipts_has_nothing_to_rebuild_from(tmp_path: Path) -> None:
    with pytest.raises(NothingOnRecord, match="no receipts to rebuild from"):
        rebuild(tmp_path)
