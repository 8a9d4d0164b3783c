"""What a receipt names by digest, where it lies in a home and in S3, and whether some bytes are what is named.

Files of a work are named by their sha256. A policy, a floor and a state are named by the digest of what they say, so
whoever reads one works that out anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from expunge.canonical_json import sha256
from expunge.policies import DesiredState, PolicyErrors, parse
from expunge.policies.reading.reader import parse_floor
from expunge.tasks.core.paths import FILES_OF_RECEIPTS, IDENTITY, STATE, work_folder
from expunge.tasks.ledger.receipt import Receipt, Step
from expunge.tasks.ledger.signatures.timestamps import FOLDER as TIMESTAMPS
from expunge.tasks.ledger.signatures.timestamps import LIBRARY

Check = Callable[[bytes], bool]


@dataclass(frozen=True)
class Named:
    """A file by its `key` after the record's place, and by its `path` in the home.

    `says`: whether small content is what is meant; None where the file has `digest` as its sha256, however large.
    """

    key: str
    path: Path
    digest: str = ""
    says: Check | None = None


def of_record(home: Path, receipt: Receipt) -> Iterator[Named]:
    """Yield what every copy of the record has: policy, floor, notice, decision and time stamp."""
    kinds = {"policy": ("policies", "yaml", _policy), "floor": ("floors", "yaml", _floor)}
    for name, (folder, suffix, digest_of) in kinds.items():
        if digest := receipt.inputs.get(name):
            key = f"{folder}/{digest}.{suffix}"
            yield Named(key, home / key, says=_digest_is(digest, digest_of))
    for name, folder in (("notice", "notices"), ("approval", "decisions"), ("refusal", "decisions")):
        if digest := receipt.inputs.get(name):
            key = f"{folder}/{digest}.json"
            yield Named(key, home / key, digest)
    if LIBRARY in receipt.versions:
        key = f"{TIMESTAMPS}/{receipt.line}/{receipt.file_name.replace('.json', '.tsr')}"
        yield Named(key, home / key, says=bool)  # the audit holds it against the root


def of_work(home: Path, receipt: Receipt) -> Iterator[Named]:
    """Yield what a step left in the folder of its work: what the work is, the desired state, each file that it made."""
    folder = work_folder(home, receipt.work)
    if receipt.step == Step.READ:
        yield Named(f"files/{receipt.work}", folder / IDENTITY, receipt.work)
    if state := receipt.digests.get("state"):
        yield Named(f"states/{state}.json", folder / STATE, says=_digest_is(state, _state))
    for name in FILES_OF_RECEIPTS.keys() & receipt.outputs.keys():
        digest = receipt.outputs[name]
        yield Named(f"files/{digest}", folder / FILES_OF_RECEIPTS[name], digest)


def _digest_is(digest: str, digest_of: Callable[[bytes], str]) -> Check:
    def says(content: bytes) -> bool:
        try:
            return digest_of(content) == digest
        except (ValueError, PolicyErrors):
            return False

    return says


def _policy(content: bytes) -> str:
    return parse(content, "policy").digest


def _floor(content: bytes) -> str:
    return parse_floor(content, "floor").digest


def _state(content: bytes) -> str:
    return DesiredState.model_validate_json(content).digest


def is_named(content: bytes, named: Named) -> bool:
    """Return whether small content is what is named."""
    return named.says(content) if named.says else sha256(content) == named.digest
