"""Decisions of people: each is an envelope (DSSE) that the person's own key signed, kept under its digest in the home.

An approval is of one bundle, made by one policy, for one line. Its nonce is the digest of the receipt that asked for
it, which nobody knows before that receipt is written. So an approval is of one question, and holds until it expires.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import load_der_public_key
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import UnverifiedSignatureError
from securesystemslib.signer import CryptoSigner, SSlibKey

from expunge.canonical_json import canonical_json, sha256
from expunge.engine.files.atomic import write_whole
from expunge.engine.files.reading.strict_json import SMALL, parse_json
from expunge.tasks.core.errors import IntegrityError, UsageError
from expunge.tasks.ledger.receipt import Digest

TYPE = "application/vnd.expunge.decision+json"
MOST_REASON = 2000


class Decision(BaseModel):
    """The decision of one person on one question; `nonce` is the digest of the receipt that asked."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    outcome: Literal["approved", "refused"]
    by: str = Field(min_length=1, max_length=200)
    line: str
    request_id: str
    policy: Digest
    bundle: Digest
    nonce: Digest
    expires: AwareDatetime
    reason: str = Field(default="", max_length=MOST_REASON)

    @property
    def content(self) -> bytes:
        return canonical_json(self.model_dump(mode="json"))


def registered_keys(approvers: Mapping[str, str]) -> dict[str, SSlibKey]:
    """Return the public keys of people by name, as a floor has them in Base64. UsageError if one is no key."""
    keys = {}
    for name, text in approvers.items():
        try:
            keys[name] = SSlibKey.from_crypto(load_der_public_key(base64.b64decode(text)))
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise UsageError(f"the floor's key of {name} is no public key that can be used ({error})") from None
    return keys


def sign_decision(decision: Decision, key: PrivateKeyTypes) -> bytes:
    """Return a decision in an envelope that this key signed."""
    envelope = Envelope(decision.content, TYPE, {})
    envelope.sign(CryptoSigner(key))
    return json.dumps(envelope.to_dict(), sort_keys=True).encode()


def open_decision(signed: bytes, keys: Mapping[str, SSlibKey]) -> Decision:
    """Return the decision in an envelope, if the key of the person whom it names made it.

    Raises ValueError, which says what is wrong with it.
    """
    try:
        envelope = Envelope.from_dict(parse_json(signed, SMALL))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ValueError("is no signed decision") from None
    if envelope.payload_type != TYPE:
        raise ValueError("is the signature of something else")
    decision = Decision.model_validate_json(envelope.payload)
    if decision.content != envelope.payload:
        raise ValueError("is no canonical JSON")
    if (key := keys.get(decision.by)) is None:
        raise ValueError(f"is by {decision.by!r}, whose key is not registered")
    try:
        envelope.verify([key], 1)
    except (ValueError, UnverifiedSignatureError):
        raise ValueError(f"is not signed by the registered key of {decision.by}") from None
    return decision


def keep_decision(home: Path, signed: bytes) -> str:
    """Keep an envelope in the home, durably, and return its digest."""
    write_whole(_path(home, digest := sha256(signed)), signed)
    return digest


def kept_decision(home: Path, digest: str) -> bytes:
    """Return the envelope of this digest; IntegrityError if it is not there, or says something else by now."""
    path = _path(home, digest)
    try:
        if sha256(signed := path.read_bytes()) == digest:
            return signed
    except OSError:
        pass
    raise IntegrityError(f"{path} is not the decision that was signed: restore it from a backup")


def _path(home: Path, digest: str) -> Path:
    return home / "decisions" / f"{digest}.json"
