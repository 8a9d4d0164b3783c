"""Signatures: beside every ledger lies a signed envelope (DSSE) of each of its receipts.

A chain shows no change to whoever writes all of it anew. Without the private key nobody can sign what he wrote, and
since a receipt names the one before it, the signature of the last one is for all. `$EXPUNGE_SIGNING_KEY` names the key
(`keys.py`), kept away from the record. Without one the home makes a key of its own, which holds against damage and
against a copy that was changed elsewhere, and not against who can read that home.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import UnverifiedSignatureError
from securesystemslib.signer import CryptoSigner, Signer, SSlibKey

from expunge.engine.files.atomic import write_once, write_whole
from expunge.engine.files.reading.strict_json import SMALL, parse_json
from expunge.tasks.core.errors import UsageError
from expunge.tasks.ledger.receipt import Receipt, is_older
from expunge.tasks.ledger.signatures import keys

TYPE = "application/vnd.expunge.receipt+json"
UNSIGNED = "has no signature"
OLDER = "and says that no version signed yet: only an audit that is given its digest as noted takes it"
SINCE = "0.3.0"
"""The first version that signs: a receipt that says it is of an older one may be without a signature."""


def signed(home: Path, receipt: Receipt) -> bytes:
    """Return a receipt in a signed envelope, and leave the public key in the home, durably.

    Raises:
        UsageError: there is no key to sign with.
        ServiceUnreachable: a key service has it, and does not sign.
    """
    signer = _signer(home)
    sealed, key = _sealed(receipt.content, TYPE, signer), keys.public_half(signer)
    public = keys.in_pem(key)
    kept = home / "keys" / f"{key.keyid}.pem"
    if not kept.exists() or kept.read_bytes() != public:
        write_whole(kept, public)
    return sealed


def sign_statement(home: Path, content: bytes, kind: str) -> bytes:
    """Return a statement that is no receipt in a signed envelope; `kind` is its media type.

    Raises:
        UsageError: there is no key to sign with.
    """
    return _sealed(content, kind, _signer(home))


def open_statement(signed: bytes, kind: str, keys: Sequence[SSlibKey]) -> bytes:
    """Return the content of a statement of this kind that one of the keys signed.

    Raises ValueError, which says what is wrong with it.
    """
    read = _read(signed)
    if read.payload_type != kind:
        raise ValueError("has the signature of something else")
    _verify(read, keys)
    return read.payload


def keep(home: Path, receipt: Receipt, envelope: bytes) -> None:
    """Leave a receipt's signed envelope in the home, durably, before the receipt is stored.

    A receipt without a signature is suspect.
    """
    write_whole(_file(home, receipt), envelope)


def _own(home: Path) -> Path:
    return home / "private" / "signing.pem"


def check_key(home: Path) -> None:
    """Sign something, before any work. Raises as `signed`."""
    _sealed(b"", TYPE, _signer(home))


def _sealed(content: bytes, kind: str, signer: Signer) -> bytes:
    envelope = Envelope(content, kind, {})
    keys.sign(envelope, signer)
    return json.dumps(envelope.to_dict(), sort_keys=True).encode()


def _signer(home: Path) -> Signer:
    return keys.named_signer() or CryptoSigner(_own_key(home))


def _own_key(home: Path) -> PrivateKeyTypes:
    """Return the home's own key, which it makes if it has none."""
    path = _own(home)
    _refuse_another(home, path)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_once(path, lambda: CryptoSigner.generate_ed25519().private_bytes)
    return keys.private_key(path)


def shared_secret(home: Path, purpose: str) -> bytes:
    """Return 32 bytes that only who can read the signing key can make, the same on all machines that have that key.

    Raises:
        UsageError: there is no key, or a key service has it and `$EXPUNGE_SHARED_SECRET` is not set.
    """
    return keys.secret_for(purpose, lambda: keys.named_private_key() or _own_key(home))


def _refuse_another(home: Path, own: Path) -> None:
    """Refuse to sign with a key of the home's own where the record is signed by another.

    A worker that does not know the operator's key must not go on with one that lies in the home, or a new one.
    """
    known = {key.keyid for key in own_keys(home)}
    if known - ({_id_of(own)} if own.exists() else set()):
        raise UsageError(
            f"the record in {home} is signed by another key than its own: set EXPUNGE_SIGNING_KEY to the file of the "
            f"key that signs it now, to {own} if that is meant, or to a new key where it is lost"
        )


def _id_of(private: Path) -> str:
    return CryptoSigner(load_pem_private_key(private.read_bytes(), None)).public_key.keyid


def signing_key(home: Path) -> list[SSlibKey]:
    """Return the public half of the key that signs here.

    None as long as nothing was signed by a key of the home's own, or where this user may not read it. UsageError if
    EXPUNGE_SIGNING_KEY names no key.
    """
    if named := keys.named_public_key():
        return [named]
    with suppress(OSError, ValueError, TypeError, UnsupportedAlgorithm):
        return [CryptoSigner(load_pem_private_key(_own(home).read_bytes(), None)).public_key]
    return []


def own_keys(home: Path) -> list[SSlibKey]:
    """Return the public keys of all that signed here, as the home itself has them.

    A file that is none by now is left out.
    """
    found = []
    for path in sorted((home / "keys").glob("*.pem")):
        with suppress(UsageError):
            found.append(keys.public_key(path))
    return found


def checked(home: Path, chain: Sequence[Receipt], keys: Sequence[SSlibKey]) -> list[str]:
    """Return what is wrong with the signature of each receipt.

    It is "" if one of the keys made it, and UNSIGNED if there is none.
    """
    return [_problem(home, receipt, keys) for receipt in chain]


def doubts(chain: Sequence[Receipt], problems: Sequence[str], strict: bool) -> Iterator[tuple[Receipt, str]]:
    """Yield the receipts that a key should vouch for and none does, with what `checked` found.

    A receipt of before there were signatures is vouched for by the next that has one. If `strict` there must be one:
    that no version signed yet is what somebody without a key says too.
    """
    due = False
    for receipt, problem in zip(chain, problems, strict=True):
        due = due or not problem or not is_older(receipt, SINCE)
        if problem and (due or problem != UNSIGNED):
            yield receipt, problem
        elif problem and strict and receipt is chain[-1]:
            yield receipt, f"{problem}, {OLDER}"


def envelope(home: Path, receipt: Receipt) -> bytes | None:
    """Return a receipt in its signed envelope, as the home has it; None if it was never signed."""
    file = _file(home, receipt)
    return file.read_bytes() if file.exists() else None


def is_signed_by(home: Path, receipt: Receipt, key: SSlibKey) -> bool:
    """Return whether this key signed a receipt."""
    return not _problem(home, receipt, [key])


def opened(signed: bytes, keys: Sequence[SSlibKey]) -> Receipt:
    """Return the receipt in an envelope that one of the keys signed.

    Raises ValueError, which says what is wrong with it.
    """
    return Receipt.of(open_statement(signed, TYPE, keys))


def _problem(home: Path, receipt: Receipt, keys: Sequence[SSlibKey]) -> str:
    try:
        if (signed := envelope(home, receipt)) is None:
            return UNSIGNED
        read = _read(signed)
        if (read.payload, read.payload_type) != (receipt.content, TYPE):
            return "has the signature of something else"
        _verify(read, keys)
    except OSError:
        return "has a signature that cannot be read"
    except ValueError as error:
        return str(error)
    return ""


def _read(signed: bytes) -> Envelope:
    try:
        return Envelope.from_dict(parse_json(signed, SMALL))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ValueError("has a signature that cannot be read") from None


def _verify(read: Envelope, keys: Sequence[SSlibKey]) -> None:
    try:
        read.verify(list(keys), 1)
    except (ValueError, UnverifiedSignatureError):
        raise ValueError("is signed by none of the keys") from None


def _file(home: Path, receipt: Receipt) -> Path:
    return home / "signatures" / receipt.line / receipt.file_name
