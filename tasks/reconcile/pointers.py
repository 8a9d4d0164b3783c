"""The pointers in S3 against the last publications: only a publication moves one, so what differs is for people."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from expunge.tasks.core.errors import IntegrityError
from expunge.tasks.ledger.receipt import LINE, Receipt, Step, of_step
from expunge.tasks.reconcile.finding import S3, Done, Finding, failures
from expunge.tasks.reconcile.look import Look
from expunge.tasks.storage import s3
from expunge.tasks.storage.pointer import approved, check_served, pointer_uri
from expunge.tasks.storage.record.place import RECORDS

LINES = "lines/"


def look_at_pointer(line: str, chain: Sequence[Receipt], look: Look) -> list[Finding]:
    """Say where a line serves something else than was published on it last."""
    found, published = list[Finding](), of_step(chain, Step.PUBLISHED)
    with failures(found, S3, line):
        if published:
            check_served(line, published[-1].outputs["bundle"], look.settings)
        elif served := approved(line, look.settings):
            raise IntegrityError(
                f"{pointer_uri(line, look.settings)} names bundle {served}, and nothing was published on {line}: "
                "submit again what was cut short, or find out who moved it"
            )
    return found


def look_at_other_pointers(known: Collection[str], look: Look) -> list[Finding]:
    """Say which lines serve something that no record in the bucket knows."""
    found = list[Finding]()
    others = set(s3.folders_under(look.client, look.bucket, LINES)) - {*known, *_lines_elsewhere(look)}
    for line in sorted(others):
        with failures(found, S3, line):
            if LINE.fullmatch(line) and (served := approved(line, look.settings)):
                what = f"{pointer_uri(line, look.settings)} names bundle {served}, and no record here has that line"
                found.append(Finding(S3, line, f"{what}: receipts were removed, or somebody wrote it", Done.LEFT))
    return found


def _lines_elsewhere(look: Look) -> set[str]:
    """Return the lines of the other records in the bucket."""
    places = [f"{RECORDS}{number}/" for number in s3.folders_under(look.client, look.bucket, RECORDS)]
    return {line for place in places if place != look.place for line in look.lines_under(place)}
