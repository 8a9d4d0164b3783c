"""Orphans: what lies in S3 and no receipt names. What is old enough is deleted, if nobody can need it any more.

A takedown stores what a receipt names before the receipt. So an orphan may be of a run that is under way, and a run
that is killed and submitted again finds what it had stored. Therefore nothing is deleted that is younger than
`EXPUNGE_ORPHAN_DAYS`, and nothing at all while anybody holds a lease, or where something was appended since the look.
Nor is anything deleted while anything else of the record is left to people or was not looked at. Else somebody who
removes the receipts of a line would have its files removed, too.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from expunge.engine.files.bundle import DIGEST, MANIFEST, VOUCHER
from expunge.tasks.core.errors import IntegrityError
from expunge.tasks.ledger.queries import lines, read
from expunge.tasks.ledger.receipt import LINE, Receipt
from expunge.tasks.ledger.state.heads import heads_in
from expunge.tasks.ledger.state.leases import free_abandoned, nobody_at_work
from expunge.tasks.reconcile.finding import DATABASE, S3, Done, Finding, failures
from expunge.tasks.reconcile.look import BUNDLES, Look
from expunge.tasks.reconcile.named_here import bundles_named, digests_elsewhere, files_of_bundle, keys_named
from expunge.tasks.storage import s3
from expunge.tasks.storage.pointer import get_pointer
from expunge.tasks.storage.record.place import HEADS

MADE = re.compile(r"files/[0-9a-f]{64}|states/[0-9a-f]{64}\.json")
"""What a run makes, and would make again."""
OURS = re.compile(r"number|keys/[0-9a-f]{64}\.pem|(?:receipts|signatures)/.*")
"""What belongs to a record and is named by no receipt; earlier versions copied receipts into the last two."""
SLOT = re.compile(rf"{HEADS}({LINE.pattern})/[^/]+")
"""What `slots.py` looks at."""
BATCH = 500
"""So many objects are deleted by one request, while nobody can begin to work."""


@dataclass(frozen=True)
class Orphans:
    """Objects that no receipt names: `made` by a run, with the time of writing; `others`, with the cure of each."""

    made: Mapping[str, datetime]
    others: Mapping[str, str]


def reconcile_orphans(before_it: Sequence[Finding], look: Look) -> list[Finding]:
    """Delete what no receipt names, or say why it stays. `before_it` are the findings on the lines and pointers."""
    unsolved = any(one.place in (DATABASE, S3) and one.done not in (Done.REPAIRED, Done.CAN_BE) for one in before_it)
    found = list[Finding]()
    with failures(found, S3, look.uri(look.place)):
        busy = [] if look.dry else free_abandoned(look.database)
        before = _heads(look)
        look.record.fetch()
        chains, problems = read(look.home)
        if problems or not chains.keys() >= set(lines(look.home)):
            raise IntegrityError("nobody can tell what is an orphan, as the receipts of a line do not hold")
        orphans = _listed([receipt for chain in chains.values() for receipt in chain], look)
        found += [Finding(S3, look.uri(key), what, Done.LEFT) for key, what in sorted(orphans.others.items())]
        old, young = _by_age(orphans.made, look)
        if young:
            what = f"{len(young)} objects that no receipt names are not {look.settings.orphan_days} days old yet"
            found.append(Finding(S3, look.uri(min(young)), f"{what}: they may be of a run that goes on", Done.WAITS))
        found += _removed(old, before, busy, unsolved or bool(orphans.others), look)
    return found


def _heads(look: Look) -> dict[str, tuple[int, str]]:
    with look.database.transaction() as connection:
        return heads_in(connection)


def _listed(receipts: Sequence[Receipt], look: Look) -> Orphans:
    made, others = dict[str, datetime](), dict[str, str]()
    named = keys_named(receipts, look)
    for key, at in s3.written_under(look.client, look.bucket, look.place).items():
        name = key.removeprefix(look.place)
        if MADE.fullmatch(name) and name not in named:
            made[key] = at
        elif name not in named and not OURS.fullmatch(name) and not SLOT.fullmatch(name):
            others[key] = "no receipt names it, and no run made it: see who wrote it, and remove it if nobody needs it"
    there = dict[str, dict[str, datetime]]()
    for key, at in s3.written_under(look.client, look.bucket, BUNDLES).items():
        there.setdefault(key.removeprefix(BUNDLES).partition("/")[0], {})[key] = at
    bundles = bundles_named(receipts)
    made |= dict(_beside_bundles(there, bundles, look))
    unnamed = {digest: keys for digest, keys in there.items() if digest not in bundles}
    for digest, keys in _nobodys(unnamed, others, look).items():
        made |= keys if DIGEST.fullmatch(digest) else {}
    return Orphans(made, others)


def _beside_bundles(
    there: Mapping[str, Mapping[str, datetime]], named: Collection[str], look: Look
) -> Iterator[tuple[str, datetime]]:
    """Yield what lies beside the files of bundles on record; of one that is not whole nobody can tell what is."""
    for digest in there.keys() & set(named):
        if look.bundle_key(digest, MANIFEST) not in there[digest]:
            continue
        files = {look.bundle_key(digest, name) for name in files_of_bundle(digest, look)}
        yield from ((key, at) for key, at in there[digest].items() if key not in files)


def _nobodys(
    unnamed: Mapping[str, dict[str, datetime]], others: dict[str, str], look: Look
) -> dict[str, dict[str, datetime]]:
    """Return those of these bundles that no other record may name, no pointer names and nobody vouched for."""
    if not unnamed:
        return {}
    elsewhere, pointed = digests_elsewhere(look), _pointed(look)
    free = {digest: keys for digest, keys in unnamed.items() if digest not in elsewhere}
    for digest in sorted(free):
        voucher = look.bundle_key(digest, VOUCHER)
        if digest in pointed:
            others[look.bundle_key(digest, "")] = "a pointer names it, and no receipt: see which line serves it"
        elif voucher in free[digest]:
            others[voucher] = (
                "it lies beside a bundle that no receipt names: its receipt was removed, or the record is another's; "
                "see who signed it"
            )
        else:
            continue
        del free[digest]
    return free


def _pointed(look: Look) -> set[str]:
    """Return the bundles that pointers name, or named before. IntegrityError where one cannot be read."""
    found = set[str]()
    for line in s3.folders_under(look.client, look.bucket, "lines/"):
        pointer = get_pointer(look.client, look.bucket, line)
        found |= {pointer.bundle} if pointer and pointer.bundle else set()
    return found


def _by_age(made: Mapping[str, datetime], look: Look) -> tuple[list[str], list[str]]:
    """Return which of these are old enough, and which are not; on zero days all are."""
    days = look.settings.orphan_days
    if not made or not days:
        return sorted(made), []
    since = s3.clock(look.client, look.bucket) - timedelta(days)
    return sorted(key for key in made if made[key] <= since), sorted(key for key in made if made[key] > since)


def _removed(
    old: Sequence[str], before: Mapping[str, tuple[int, str]], busy: Sequence[str], doubted: bool, look: Look
) -> list[Finding]:
    """Delete these, the manifests first: with a manifest a bundle counts as whole."""
    locked = [key for key in old if s3.is_withheld(look.client, look.bucket, key)]
    found = [Finding(S3, look.uri(key), "no receipt names it, and a lock keeps it", Done.WAITS) for key in locked]
    doomed = sorted({*old} - {*locked}, key=lambda key: (not key.endswith(f"/{MANIFEST}"), key))
    if doomed and (busy or doubted):
        reason = f"work is under way on {', '.join(busy)}" if busy else "a missing one may have named them, see above"
        what = f"{len(doomed)} files stay that no receipt names: {reason}"
        return [*found, Finding(S3, look.uri(doomed[0]), what, Done.WAITS)]
    for first in range(0, len(doomed), BATCH):
        found += _batch(doomed[first : first + BATCH], before, look)
    return found


def _batch(keys: Sequence[str], before: Mapping[str, tuple[int, str]], look: Look) -> list[Finding]:
    """Delete these while nobody can begin to work, if nobody does and nothing was appended since the look."""
    refused = dict[str, str]()
    if not look.dry:
        with nobody_at_work(look.database) as connection:
            if connection is None or heads_in(connection) != before:
                what = f"{len(keys)} objects that no receipt names stay: work began meanwhile; look again later"
                return [Finding(S3, look.uri(keys[0]), what, Done.WAITS)]
            refused = s3.remove(look.client, look.bucket, keys)
    said = {key: f"no receipt names it, and S3 does not delete it ({why}): remove it" for key, why in refused.items()}
    return [
        Finding(S3, look.uri(key), said.get(key, "no receipt names it"), Done.LEFT if key in said else look.repaired)
        for key in keys
    ]
