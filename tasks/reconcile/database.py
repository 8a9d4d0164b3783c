"""The database against the receipts of a line: it repeats them, so what differs is written anew from them."""

from __future__ import annotations

from collections.abc import Sequence

from expunge.tasks.ledger.line.rebuild import rows_in, wrong_tables
from expunge.tasks.ledger.receipt import Receipt, named
from expunge.tasks.ledger.recorder import journal
from expunge.tasks.ledger.state.heads import adopt, forget_line, head_of, read_rows
from expunge.tasks.ledger.state.leases import turn
from expunge.tasks.reconcile.finding import DATABASE, Finding
from expunge.tasks.reconcile.look import Look


def reconcile_rows(line: str, look: Look) -> list[Finding]:
    """Let the database say what the receipts of a line say, and the record have the receipt that a row promises.

    While the line is held, which a dry look does not.

    Raises:
        LedgerError: the chain does not hold, or a signed row says that receipts are missing.
    """
    ledger = journal(look.home, line)
    chain, problems = ledger.read()
    before = [] if problems or not chain else _wrong(chain, look)
    if not look.dry:
        ledger.finish()
    after = ledger.receipts()
    if not after:
        return _without_receipts(line, look)
    if not look.dry and _wrong(after, look):
        with turn(line, look.home) as lease:
            adopt(look.database, lease, rows_in(look.home, after))
    promised = [
        f"{named(one)} was appended and not stored, as its run was killed: it is stored" for one in after[len(chain) :]
    ]
    wrong = [f"it says otherwise than the receipts in {', '.join(before)}: the receipts count"] if before else []
    return [Finding(DATABASE, line, what, look.repaired) for what in promised or wrong]


def _wrong(chain: Sequence[Receipt], look: Look) -> list[str]:
    with look.database.transaction() as connection:
        rows = read_rows(connection)
    return wrong_tables(look.home, chain, rows)


def _without_receipts(line: str, look: Look) -> list[Finding]:
    """Forget a line that nobody signed a receipt of: a row alone proves nothing."""
    if head_of(look.database, line) is None:
        return []
    if not look.dry:
        with turn(line, look.home) as lease:
            forget_line(look.database, lease, line)
    return [Finding(DATABASE, line, "it has a line of which nobody signed a receipt: its rows go", look.repaired)]
