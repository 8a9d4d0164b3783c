"""Take over a home of version 0.19: a copy of it, proven as far as it can be, becomes a home of today.

No byte of the old home is written. Receipts, signatures and policies are copied as they are, for each is named by its
digest. What is new since then is made from them: the rows of the database, and the slots of the record in S3.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, replace
from itertools import chain as joined
from pathlib import Path
from typing import Any

from expunge.engine.files.atomic import whole_folder
from expunge.policies import held_to, in_force
from expunge.tasks.audit.record import audit, stored_otherwise
from expunge.tasks.core.errors import IntegrityError, LedgerError, NothingOnRecord, UsageError
from expunge.tasks.core.paths import receipts_folder
from expunge.tasks.core.settings import Settings, stack_file
from expunge.tasks.ledger.floor_store import floor_in_force
from expunge.tasks.ledger.line.rebuild import rebuild
from expunge.tasks.ledger.policy_store import kept_policies, named_policies, published_policies
from expunge.tasks.ledger.queries import lines
from expunge.tasks.ledger.receipt import Receipt
from expunge.tasks.ledger.recorder import journal
from expunge.tasks.ledger.signatures.keys import KEY, public_key
from expunge.tasks.ledger.state.database import Database
from expunge.tasks.ledger.state.heads import read_rows
from expunge.tasks.ledger.state.leases import LineBusy
from expunge.tasks.ledger.state.record_number import agree_on
from expunge.tasks.storage.record.place import NUMBER, known_here
from expunge.tasks.storage.record_replica import RECORD, removed_here, store

COPIED = (NUMBER, "receipts", *RECORD, "work", "private", "stack")
"""What a home of today has, too. All else is a cache, which is made again, or nothing of ours."""

Chains = Mapping[str, Sequence[Receipt]]


def migrate(
    old: Path, home: Path, keys: Collection[Path] = (), noted: Collection[str] = (), settings: Settings | None = None
) -> dict[str, Any]:
    """Make a home from an old one, or finish one that was begun, and say what was done and what was not proven.

    Args:
        old: the old home, which is read only.
        home: the new home: not there yet, empty, or made from this old home before.
        keys: files of public keys of which one must have signed each receipt; those that the home trusts without any.
        noted: digests of receipts that must be on record.
        settings: S3, where it is up; the old copy of the record there is compared, and today's is made.
    Raises:
        NothingOnRecord: the old home has no receipts.
        UsageError: one of the folders is not fit for it, or the database serves another record.
        LineBusy: version 0.19 works in the old home.
        LedgerError, IntegrityError: its record does not hold. Nothing is left of the new home then.
        ServiceUnreachable: S3 or the database cannot be used.
    """
    old, home = old.resolve(), home.resolve()
    _refuse_unfit(old, home)
    again = home.is_dir() and any(home.iterdir())
    with _nobody_at_work(old):
        copied = 0 if again else _copied(old, home, keys, settings)
        chains = _proven(home, keys)
        _refuse_other(old, home, chains)
    rows = _enter(home, chains)
    stored = store(replace(settings, home=home)) if settings else None
    found = audit(home, noted, keys, settings is not None)
    problems = [*found.problems, *(stored_otherwise(home, keys, replace(settings, home=home)) if settings else ())]
    return {
        "old": str(old),
        "home": str(home),
        "copied": copied,
        "left": sorted(path.name for path in old.iterdir() if path.name not in COPIED),
        "lines": [asdict(line) for line in found.lines],
        "versions": sorted({one.versions.get("expunge", "") for one in joined.from_iterable(chains.values())}),
        "database": rows,
        "stored": stored,
        "notes": [*found.remarks, *_below_floor(home, chains)],
        "unchecked": [*found.unchecked, *_own_key(home)],
        "problems": problems,
        "exit_code": IntegrityError.exit_code if problems else 0,
    }


def _refuse_unfit(old: Path, home: Path) -> None:
    if not receipts_folder(old).is_dir():
        raise NothingOnRecord(f"{old} has no receipts: name the folder that EXPUNGE_HOME was with version 0.19")
    if home == old or home in old.parents or old in home.parents:
        raise UsageError(
            f"EXPUNGE_HOME is {home}, and the old home is {old}: set EXPUNGE_HOME to a new folder elsewhere"
        )
    if home.is_dir() and any(home.iterdir()) and not receipts_folder(home).is_dir():
        raise UsageError(f"EXPUNGE_HOME is {home}, which has files and no receipts: set it to a new folder")
    if stack_file(old).exists():
        raise UsageError(f"the local stack of {old} is up: stop it first, with `make down` of version 0.19")
    for path in _files(old):
        mode = path.lstat().st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise IntegrityError(f"{path} is neither a file nor a folder, and no version made it: take it out first")


def _files(old: Path) -> Iterator[Path]:
    """Yield all that is copied, a folder before what is in it. No link is followed."""
    for path in (old / name for name in COPIED):
        if path.is_symlink() or path.exists():
            yield path
        if path.is_dir() and not path.is_symlink():
            yield from (Path(folder, name) for folder, names, files in os.walk(path) for name in (*names, *files))


@contextmanager
def _nobody_at_work(old: Path) -> Iterator[None]:
    """Hold the locks by which version 0.19 works on its lines, without writing to them. LineBusy where it does."""
    with ExitStack() as stack:
        for path in sorted(old.glob(".*.lock")):
            lock = stack.enter_context(path.open("rb"))
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                raise LineBusy(f"version 0.19 works in {old} ({path.name}): wait until it has ended") from None
        yield


def _copied(old: Path, home: Path, keys: Collection[Path], settings: Settings | None) -> int:
    """Copy what counts, prove the copy, and let it become the home; return how many files that were."""
    count = 0
    with whole_folder(home) as scratch:
        scratch.mkdir(mode=0o700, parents=True)
        for path in _files(old):
            place = scratch / path.relative_to(old)
            if path.is_dir():
                place.mkdir()
            else:
                shutil.copy2(path, place)
                count += 1
            if place.is_relative_to(scratch / "private"):
                place.chmod(0o700 if place.is_dir() else 0o600)
        _proven(scratch, keys)
        if settings and (removed := list(removed_here(replace(settings, home=scratch)))):
            raise LedgerError(f"{old} is not migrated: " + "; ".join(removed))
    return count


def _proven(home: Path, keys: Collection[Path]) -> Chains:
    """Return the receipts of all lines, whose chain and signatures hold and whose policies are what was received."""
    trusted = [public_key(path) for path in keys] or None
    read = {line: journal(home, line, trusted).read() for line in lines(home)}
    problems = [f"{line}: {problem}" for line, (_, wrong) in read.items() for problem in wrong]
    chains = {line: chain for line, (chain, _) in read.items()}
    _, lost = kept_policies(home, named_policies(joined.from_iterable(chains.values())))
    if problems := [*problems, *lost.values()]:
        raise LedgerError(
            "the old record does not hold, and nothing was migrated; restore it from its copy in S3 or a backup: "
            + "; ".join(problems)
        )
    return chains


def _refuse_other(old: Path, home: Path, chains: Chains) -> None:
    """Refuse a home that does not go on from each line of the old one."""
    for folder in sorted(receipts_folder(old).iterdir()):
        begun = {one.file_name for one in chains.get(folder.name, ())}
        if other := sorted(path.name for path in folder.glob("*.json") if path.name not in begun):
            raise LedgerError(
                f"{home} has no {folder.name}/{other[0]}, which is in {old}: it was made from another home, or version "
                "0.19 went on since; keep one of them, and set EXPUNGE_HOME to a new folder to migrate again"
            )


def _enter(home: Path, chains: Chains) -> dict[str, Any]:
    """Let the database have the record's number and what its receipts say. UsageError where it serves another."""
    database, number = Database.of(home), known_here(home)
    with database.transaction() as connection:
        known = {row["id"] for row in read_rows(connection)["lines"]}
    if other := sorted(known - chains.keys()):
        raise UsageError(f"{database.shown} has the line {other[0]} of another record: set EXPUNGE_DATABASE anew")
    if number:
        agree_on(database, number)
    return rebuild(home)


def _below_floor(home: Path, chains: Chains) -> Iterator[str]:
    floor = floor_in_force()
    for chain in chains.values():
        for policy in in_force(published_policies(home, chain)):
            if held_to(policy, floor) != policy:
                yield f"{policy.request_id} asks for less than the floor: each new check holds it to the floor"


def _own_key(home: Path) -> Iterator[str]:
    if not os.environ.get(KEY):
        yield f"who could write to the old home, for its key lies in it ({KEY})"
