"""Receipts: what a receipt says, what its file is called, and when a file is one."""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Annotated

from packaging.version import InvalidVersion, Version
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from expunge.canonical_json import canonical_json, sha256
from expunge.engine.files.reading.strict_json import SMALL, JsonError, parse_json
from expunge.tasks.core.errors import LedgerError

Name = Annotated[str, Field(pattern=r"^[a-z0-9-]{1,64}$")]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
FILE_NAME = re.compile(r"(?P<sequence>\d{6})-(?P<digest>[0-9a-f]{64})\.json")
LINE = re.compile(r"[a-z0-9-]{1,63}")  # shorter than a digest, so that the two are never taken for each other


class Step(StrEnum):
    """The step that a receipt is of.

    A takedown has steps from reading its policy to its publication. A refusal ends it, and so does the finding that
    another request has published the same. What is published is checked. An attempt begins before anything is drawn of
    the candidate. What a withdrawal gives back is
    asked for before the bundle is made. Where people decide, the publication waits until one of them has approved it.
    """

    RECEIVED = "received"
    READ = "read"
    PLANNED = "planned"
    ERASED = "erased"
    ATTEMPTED = "attempted"
    VERIFIED = "verified"
    GATED = "gated"
    RETURNED = "returned"
    BUNDLED = "bundled"
    AWAITING = "awaiting-approval"
    APPROVED = "approved"
    PUBLISHED = "published"
    REFUSED = "refused"
    REPEATED = "repeated"
    CHECKED = "reverified"


class Receipt(BaseModel):
    """The record of one step: who did what, when (UTC), from which inputs to which outputs, by digest."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    line: Name
    sequence: int = Field(ge=1, le=999_999)
    step: Name
    request_id: str = Field(min_length=1, max_length=200)
    at: str = Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
    who: str = Field(min_length=1, max_length=200)
    inputs: dict[str, Digest]
    outputs: dict[str, Digest]
    settings: dict[str, JsonValue]
    versions: dict[str, str]
    verdict: dict[str, JsonValue] | None
    previous: str = Field(pattern=r"^([0-9a-f]{64})?$")
    fencing_token: int | None = Field(default=None, ge=1)

    @classmethod
    def of(cls, content: bytes) -> Receipt:
        """Return the receipt that these bytes say. ValueError if they say none, or more than any does."""
        parse_json(content, SMALL)
        return cls.model_validate_json(content)

    @cached_property
    def content(self) -> bytes:
        """The canonical JSON that is stored. A receipt from before fencing tokens has none."""
        plain = self.model_dump()
        return canonical_json({name: plain[name] for name in plain if name != "fencing_token" or plain[name]})

    @cached_property
    def digest(self) -> str:
        return sha256(self.content)

    @property
    def file_name(self) -> str:
        return f"{self.sequence:06d}-{self.digest}.json"

    @property
    def work(self) -> str:
        """The key of its work; "" where it names none."""
        return str(self.settings.get("work", ""))

    @property
    def digests(self) -> dict[str, str]:
        """All that went in and came out, by name."""
        return {**self.inputs, **self.outputs}

    @property
    def outcome(self) -> str | None:
        """Return what was decided, if anything was."""
        outcome = (self.verdict or {}).get("outcome")
        return None if outcome is None else str(outcome)


def open_receipt(path: Path, line: str) -> Receipt:
    """Return the receipt in a file of a line's folder; LedgerError says why it counts for nothing."""
    name = FILE_NAME.fullmatch(path.name)
    if name is None or path.is_symlink() or not path.is_file():
        raise LedgerError("foreign file")
    if path.stat().st_size > SMALL:
        raise LedgerError(f"has {path.stat().st_size} bytes, more than any receipt")
    content = path.read_bytes()
    if sha256(content) != name["digest"]:
        raise LedgerError("altered: its content does not have the digest of its name")
    try:
        receipt = Receipt.of(content)
    except ValidationError as error:
        raise LedgerError(f"not a receipt: {error.errors()[0]['loc']} {error.errors()[0]['msg']}") from error
    except JsonError as error:
        raise LedgerError(f"not a receipt: {error}") from None
    if receipt.content != content:
        raise LedgerError("not canonical JSON")
    if receipt.line != line:
        raise LedgerError(f"belongs to the line {receipt.line}")
    if receipt.sequence != int(name["sequence"]):
        raise LedgerError(f"reordered: inside it is number {receipt.sequence}")
    return receipt


def of_step(chain: Iterable[Receipt], *steps: str) -> list[Receipt]:
    """Return the receipts of these steps, in order."""
    return [receipt for receipt in chain if receipt.step in steps]


OF_A_BASE = (Step.BUNDLED, Step.PUBLISHED)


def is_of_a_base(receipt: Receipt) -> bool:
    """Return whether it is of a bundle, or its publication, in which nothing was examined: that of the base itself."""
    return receipt.step in OF_A_BASE and not {"verdict", "evidence"} & receipt.inputs.keys()


def is_older(receipt: Receipt, version: str) -> bool:
    """Return whether a receipt says that an earlier version wrote it; what is no version is none of the earlier."""
    try:
        return Version(receipt.versions.get("expunge", "0")) < Version(version)
    except InvalidVersion:
        return False


def named(receipt: Receipt) -> str:
    """Return what a message calls this receipt: its number, its step and its request."""
    return f"receipt {receipt.sequence} ({receipt.step} {receipt.request_id})"
