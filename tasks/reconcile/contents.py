"""What the receipts of a line name, against what S3 has by these names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from expunge.canonical_json import sha256
from expunge.engine.files.bundle import MANIFEST
from expunge.engine.files.digests import file_digest
from expunge.tasks.core.errors import IntegrityError
from expunge.tasks.ledger.receipt import Receipt, Step, named, of_step
from expunge.tasks.reconcile.finding import S3, Done, Finding, failures
from expunge.tasks.reconcile.look import Look
from expunge.tasks.storage import s3
from expunge.tasks.storage.bundle_store import is_published
from expunge.tasks.storage.manifest import parse
from expunge.tasks.storage.record.named import Named, is_named, of_record, of_work

CURE = "restore an earlier version of it in S3, or run this on the machine that made it"


def reconcile_contents(line: str, chain: Sequence[Receipt], look: Look) -> list[Finding]:
    """Store again what is missing in S3 and the home still has, by its digest; say what is lost, or is another."""
    found, seen = list[Finding](), set[str]()
    for receipt in chain:
        for one in (*of_record(look.home, receipt), *of_work(look.home, receipt)):
            if one.key not in seen:
                seen.add(one.key)
                with failures(found, S3, line):
                    found += _file(line, receipt, one, look)
    for receipt in {one.outputs["bundle"]: one for one in of_step(chain, Step.BUNDLED)}.values():
        with failures(found, S3, line):
            found += _bundle(line, receipt, look)
    return found


def _file(line: str, receipt: Receipt, one: Named, look: Look) -> list[Finding]:
    key = f"{look.place}{one.key}"
    if s3.is_there(look.client, look.bucket, key):
        return [] if _is_as_named(key, one, look) else [_other(line, key, look)]
    words = f"{look.uri(key)}, which {named(receipt)} names, is missing"
    if not _is_here(one):
        return [Finding(S3, line, f"{words}: {CURE}", Done.LEFT)]
    if not look.dry:
        look.record.keep(one)
    return [Finding(S3, line, f"{words}: the home has it", look.repaired)]


def _is_as_named(key: str, one: Named, look: Look) -> bool:
    """Return whether an object is what is named. Where S3 computed no sha256 when it was written, it is read."""
    if one.says:
        return is_named(s3.read(look.client, look.bucket, key), one)
    return s3.stored_sha256(look.client, look.bucket, key) == one.digest


def _is_here(one: Named) -> bool:
    """Return whether the home has it; a later attempt may have written its own file over it."""
    if not one.path.is_file():
        return False
    return one.says(one.path.read_bytes()) if one.says else file_digest(one.path) == one.digest


def _other(line: str, key: str, look: Look) -> Finding:
    what = f"{look.uri(key)} is not what its name says: restore an earlier version of it"
    return Finding(S3, line, what, Done.LEFT)


def _bundle(line: str, receipt: Receipt, look: Look) -> list[Finding]:
    digest = receipt.outputs["bundle"]
    if not (missing := _missing(digest, look)):
        return []
    words = f"{', '.join(missing)} of bundle {digest}, which {named(receipt)} names, missing in S3"
    if not look.dry:
        look.record.keep_bundle(receipt)
        if not is_published(digest, look.settings):
            return [Finding(S3, line, f"{words}: {CURE}", Done.LEFT)]
    elif not look.record.has_bundle(receipt):
        return [Finding(S3, line, f"{words}: {CURE}", Done.LEFT)]
    return [Finding(S3, line, f"{words}: the home has it", look.repaired)]


def _missing(digest: str, look: Look) -> list[str]:
    """Return the names of a bundle's files that S3 lacks. IntegrityError where its manifest is another."""
    key = look.bundle_key(digest, MANIFEST)
    content = s3.find(look.client, look.bucket, key)
    if content is None:
        return [MANIFEST]
    if sha256(content) != digest:
        raise IntegrityError(f"{look.uri(key)} is not what its name says: restore an earlier version of it")
    return _absent(digest, parse(content, f"bundle {digest}"), look)


def _absent(digest: str, names: Iterable[str], look: Look) -> list[str]:
    """Return which of these files are missing. What was stored since the first look is asked for by itself."""
    unseen = sorted(set(names) - look.bundles.get(digest, set()))
    return [name for name in unseen if not s3.is_there(look.client, look.bucket, look.bundle_key(digest, name))]
