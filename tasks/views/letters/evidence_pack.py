"""The evidence of one publication as an archive that shows nothing: digests, verdict, receipts, and the public policy.

Only what is listed here goes in, so no picture can. A line serves several requests: what names the targets of another
one stays here, and the archive says that it does. The same record gives the same bytes.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Iterator
from typing import Any

from expunge.canonical_json import canonical_json
from expunge.policies import DesiredState, Policy
from expunge.policies.notices import public_form
from expunge.tasks.core.errors import IntegrityError, NothingOnRecord
from expunge.tasks.core.paths import VERDICT, work_folder
from expunge.tasks.core.work_order import Ref
from expunge.tasks.ledger.receipt import Receipt
from expunge.tasks.ledger.signatures.signing import envelope
from expunge.tasks.views.letters.facts import OnRecord
from expunge.tasks.views.letters.names import id_names_target, names_target
from expunge.tasks.views.letters.proof import own_entries, published_state

BEGINNING = (1980, 1, 1, 0, 0, 0)
"""The date of every file in the archive: the earliest that the format has."""
OTHER = "[of another request]"
BY_CONCEPT = ("targets", "retained", "claims", "reasons")
"""The lists of a verdict whose entries are each about one concept."""


def evidence_pack(found: OnRecord, readme: str) -> bytes:
    """Return the archive for a published request, with `readme` as its first file.

    Raises:
        IntegrityError: the verdict is not the one that was signed, or a receipt has no signature.
        NothingOnRecord: an original names a person who must not be named.
    """
    publication, policy = found.publication, found.policy
    assert publication is not None, "an evidence pack is written of what is published"
    assert policy is not None, "what is published has a policy"
    state = published_state(found.home, publication)
    files = {"README.txt": readme.encode(), **dict(_files(found, publication, policy, state))}
    if found.names_a_person:
        _refuse_named(found, policy, state, files)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name, BEGINNING), content, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def _files(found: OnRecord, publication: Receipt, policy: Policy, state: DesiredState) -> Iterator[tuple[str, bytes]]:
    others = _ids_of_others(policy, state)
    own = [one for one in found.chain if one.work == publication.work and one.request_id == publication.request_id]
    shown = [one for one in own if not _mentions([one.verdict, one.settings], others)]
    folder = work_folder(found.home, publication.work)
    verdict = Ref(str(folder / VERDICT), publication.inputs["verdict"], 0).path.read_bytes()
    yield "policy.json", canonical_json(public_form(policy))
    yield ("verdict-extract.json", _extract(verdict, others)) if others else ("verdict.json", verdict)
    yield "digests.json", canonical_json({name: sha for one in own for name, sha in one.digests.items()})
    if withheld := [one.digest for one in own if one not in shown]:
        yield "withheld.json", canonical_json({"receipts": withheld})
    for one in shown:
        yield f"receipts/{one.file_name}", one.content
    for one in shown:
        if (signed := envelope(found.home, one)) is None:
            raise IntegrityError(f"receipt {one.sequence} of {found.reference} has no signature: see `expunge audit`")
        yield f"signatures/{one.file_name}", signed


def _ids_of_others(policy: Policy, state: DesiredState) -> set[str]:
    """Return the ids of what other requests of the line want erased or kept, and the ids of these requests."""
    own = [*own_entries(state.concepts, policy.concepts), *own_entries(state.retain, policy.retain)]
    ids = {one.id for one in (*state.concepts, *state.retain)} - {one.id for one in own}
    return ids | set(state.request_ids) - {policy.request_id}


def _extract(verdict: bytes, others: set[str]) -> bytes:
    """Return a verdict without the entries about what other requests want erased or kept."""
    content: dict[str, Any] = json.loads(verdict)
    for name in BY_CONCEPT:
        content[name] = [one for one in content[name] if one["concept"] not in others]
    for group in content["groups"]:
        group["worst"] = OTHER if group["worst"] in others else group["worst"]
    return canonical_json(content)


def _mentions(value: Any, others: set[str]) -> bool:
    """Return whether a text in a value has one of these ids as a word."""
    if isinstance(value, dict | list):
        return any(_mentions(one, others) for one in (value.values() if isinstance(value, dict) else value))
    return isinstance(value, str) and any(re.search(rf"(?<!\w){re.escape(one)}(?!\w)", value) for one in others)


def _refuse_named(found: OnRecord, policy: Policy, state: DesiredState, files: dict[str, bytes]) -> None:
    entries = [*own_entries(state.concepts, policy.concepts), *own_entries(state.retain, policy.retain)]
    ids = [one for one in (policy.request_id, *(entry.id for entry in entries)) if id_names_target(one, policy)]
    named = [name for name, content in files.items() if names_target(content.decode(), policy)]
    if named or ids:
        where = ", ".join(named) or "the receipts"
        raise NothingOnRecord(
            f"the evidence of {found.reference} cannot be handed out: the ids in {where} name the person, and what is "
            "signed cannot be changed; choose ids that name nobody"
        )
