"""The evidence of one publication as an archive that shows nothing: digests, verdict, receipts, and the public policy.

Only what is listed here goes in, so no picture can. The same record gives the same bytes.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator

from expunge.canonical_json import canonical_json
from expunge.policies.notices import public_form
from expunge.tasks.core.errors import IntegrityError, NothingOnRecord
from expunge.tasks.core.paths import VERDICT, work_folder
from expunge.tasks.core.work_order import Ref
from expunge.tasks.ledger.signatures.signing import envelope
from expunge.tasks.views.letters.facts import OnRecord
from expunge.tasks.views.letters.plain_text import names_target

BEGINNING = (1980, 1, 1, 0, 0, 0)
"""The date of every file in the archive: the earliest that the format has."""


def evidence_pack(found: OnRecord, readme: str) -> bytes:
    """Return the archive for a published request, with `readme` as its first file.

    Raises:
        IntegrityError: the verdict is not the one that was signed, or a receipt has no signature.
        NothingOnRecord: an original names a person who must not be named.
    """
    files = {"README.txt": readme.encode(), **dict(_files(found))}
    if found.names_a_person and found.policy:
        named = [name for name, content in files.items() if names_target(content.decode(), found.policy)]
        if named:
            raise NothingOnRecord(
                f"the evidence of {found.reference} cannot be handed out: the ids in {', '.join(named)} name the "
                "person, and what is signed cannot be changed; choose ids that name nobody"
            )
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name, BEGINNING), content, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def _files(found: OnRecord) -> Iterator[tuple[str, bytes]]:
    publication, policy = found.publication, found.policy
    assert publication is not None, "an evidence pack is written of what is published"
    assert policy is not None, "what is published has a policy"
    receipts = [one for one in found.chain if one.work == publication.work]
    folder = work_folder(found.home, publication.work)
    yield "policy.json", canonical_json(public_form(policy))
    yield "verdict.json", Ref(str(folder / VERDICT), publication.inputs["verdict"], 0).path.read_bytes()
    yield "digests.json", canonical_json({name: sha for one in receipts for name, sha in one.digests.items()})
    for one in receipts:
        yield f"receipts/{one.file_name}", one.content
    for one in receipts:
        if (signed := envelope(found.home, one)) is None:
            raise IntegrityError(f"receipt {one.sequence} of {found.reference} has no signature: see `expunge audit`")
        yield f"signatures/{one.file_name}", signed
