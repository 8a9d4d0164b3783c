"""The key that signs: in a file, in a variable of the environment, or at a key service that never gives it out.

`$EXPUNGE_SIGNING_KEY` says where it is. A key service is named by one of securesystemslib's URIs, such as
`awskms:alias/expunge`. Then `$EXPUNGE_PUBLIC_KEY` names the file of the public half. So records are read without asking
the service, and a service that signs with another key is noticed.
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import UnsupportedLibraryError, UnverifiedSignatureError
from securesystemslib.signer import CryptoSigner, Signer, SSlibKey

from expunge.tasks.core.errors import ServiceUnreachable, UsageError

KEY, PUBLIC, SECRET, PIN = "EXPUNGE_SIGNING_KEY", "EXPUNGE_PUBLIC_KEY", "EXPUNGE_SHARED_SECRET", "EXPUNGE_KEY_PIN"
SERVICES = {"awskms": "awskms", "gcpkms": "gcpkms", "azurekms": "azurekms", "hv": "vault", "hsm": "hsm"}
"""Key services by the scheme of their URIs, and the extra of securesystemslib that each needs."""
LOCAL = ("file", "file2", "env")  # securesystemslib calls a file `file2`
FORMS = "give PATH, file:PATH or env:NAME"
LEAST_SECRET = 32  # bytes


def named_signer() -> Signer | None:
    """Return what signs by the key that the environment names, None where it names none.

    Raises UsageError where the key cannot be used, ServiceUnreachable where its service cannot be opened.
    """
    value = os.environ.get(KEY, "")
    if not at_service(value):
        key = named_private_key()
        return None if key is None else CryptoSigner(key)
    public = _public_half(value)
    with answering():
        return Signer.from_priv_key_uri(value, public, _pin)


def named_private_key() -> PrivateKeyTypes | None:
    """Return the private key that the environment names, None where it names none. UsageError if there is none."""
    value = os.environ.get(KEY, "")
    return _usable(lambda: _read(KEY, value), f"{KEY} is {value}") if value else None


def named_public_key() -> SSlibKey | None:
    """Return the public half of that key, None where none is named. UsageError as above; no key service is asked."""
    value = os.environ.get(KEY, "")
    if at_service(value):
        return _public_half(value)
    key = named_private_key()
    return None if key is None else CryptoSigner(key).public_key


def at_service(value: str) -> bool:
    """Return whether a value of EXPUNGE_SIGNING_KEY names a key service."""
    return bool(value) and _scheme(KEY, value) in SERVICES


def in_pem(key: SSlibKey) -> bytes:
    """Return a public key as `openssl pkey -pubout` writes it."""
    return key._crypto_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def public_half(signer: Signer) -> SSlibKey:
    """Return the public key of a signer, which is of this kind whatever signs here."""
    return cast(SSlibKey, signer.public_key)


def sign(envelope: Envelope, signer: Signer) -> None:
    """Sign an envelope, and hold the signature to the public half.

    Raises ServiceUnreachable where a key service does not sign, UsageError where it signs with another key.
    """
    with answering():
        envelope.sign(signer)
    try:
        envelope.verify([signer.public_key], 1)
    except (ValueError, UnverifiedSignatureError):
        raise UsageError(
            f"{KEY} signs with another key than {PUBLIC} has: set {PUBLIC} to the public half of the key that signs"
        ) from None


@contextmanager
def answering() -> Iterator[None]:
    """Raise ServiceUnreachable for whatever a key service's library raises, UsageError where it is not installed."""
    value = os.environ.get(KEY, "")
    try:
        yield
    except UnsupportedLibraryError as error:
        extra = SERVICES.get(value.partition(":")[0], "crypto")
        raise UsageError(f'{KEY} is {value}: {error} `pip install "securesystemslib[{extra}]"`') from None
    except UsageError:
        raise
    except Exception as error:  # each library has kinds of its own
        raise ServiceUnreachable(
            f"{KEY} is {value}, which does not sign ({type(error).__name__}: {error}): see that the key service "
            "answers, and that this account may sign with this key"
        ) from None


def private_key(path: Path) -> PrivateKeyTypes:
    """Return the private key in a PEM file; UsageError if there is none that can sign."""
    return _usable(path.read_bytes, str(path))


def public_key(path: Path, named: str = "") -> SSlibKey:
    """Return the public key in a PEM file; UsageError, which begins as `named`, if there is none."""
    try:
        return SSlibKey.from_crypto(load_pem_public_key(path.read_bytes()))
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise UsageError(
            f"{named}{path} is no public key in PEM ({error}): `openssl pkey -in KEY -pubout -out FILE` writes that "
            "of a key"
        ) from None


def secret_for(purpose: str, own: Callable[[], PrivateKeyTypes]) -> bytes:
    """Return 32 bytes for one purpose, which only who has `$EXPUNGE_SHARED_SECRET` can make, or else the key `own`.

    Raises UsageError where a key service has the key, for it gives nothing out that a secret could be made from.
    """
    if value := os.environ.get(SECRET):
        secret = _secret(value)
    elif at_service(os.environ.get(KEY, "")):
        raise UsageError(
            f"{KEY} names a key service, which gives no secret out, and {SECRET} is not set: make a secret with "
            f"`openssl rand -hex 32 > FILE`, and set {SECRET} to file:FILE on each machine"
        )
    else:
        secret = own().private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    return hmac.digest(secret, f"expunge {purpose}".encode(), "sha256")


def _secret(value: str) -> bytes:
    if _scheme(SECRET, value) in SERVICES:
        raise UsageError(f"{SECRET} is {value}: no key service gives a secret out; {FORMS}")
    try:
        secret = _read(SECRET, value).strip()
    except OSError as error:
        raise UsageError(f"{SECRET} is {value}, which cannot be read ({error}): {FORMS}") from None
    if len(secret) < LEAST_SECRET:
        cure = f"give {LEAST_SECRET} or more, as `openssl rand -hex 32` does"
        raise UsageError(f"{SECRET} is {value}, which has {len(secret)} bytes: {cure}")
    return secret


def _usable(read: Callable[[], bytes], named: str) -> PrivateKeyTypes:
    try:
        key = load_pem_private_key(read(), None)
        CryptoSigner(key).sign(b"")  # fewer kinds can sign than can be read
        return key
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise UsageError(
            f"{named}, which is no private key in PEM without a password that can be read and sign ({error}): make one "
            "with `openssl genpkey -algorithm ed25519 -out FILE`"
        ) from None


def _public_half(value: str) -> SSlibKey:
    if not (path := os.environ.get(PUBLIC)):
        raise UsageError(
            f"{KEY} is {value}, and {PUBLIC} is not set: set it to a file of the key's public half in PEM, which the "
            "key service gives out"
        )
    return public_key(Path(path), f"{PUBLIC} is ")


def _pin(name: str) -> str:
    if not (pin := os.environ.get(PIN)):
        raise UsageError(f"{KEY} is {os.environ.get(KEY, '')}, which wants a {name}: set {PIN} to it")
    return pin


def _scheme(name: str, value: str) -> str:
    """Return which of LOCAL and SERVICES a value of the variable `name` is."""
    if "-----BEGIN" in value:  # never shown, for it is secret
        raise UsageError(f"{name} holds a key itself: put it into another variable, and set {name} to env:ITS_NAME")
    scheme, colon, _ = value.partition(":")
    if not colon or scheme in (*LOCAL, *SERVICES):
        return scheme if colon else "file"
    if "/" in scheme or Path(value).exists():
        return "file"  # a path with a colon in it
    raise UsageError(f"{name} is {value}: {FORMS}, or the URI of a key service, of {', '.join(SERVICES)}")


def _read(name: str, value: str) -> bytes:
    """Return what a file or a variable holds that a value of the variable `name` names."""
    scheme = _scheme(name, value)
    place = value.removeprefix(f"{scheme}:")
    if scheme != "env":
        return Path(place).read_bytes()
    if not (content := os.environ.get(place)):
        raise UsageError(f"{name} is {value}, and {place or 'that'} is not set: set it to the content itself")
    return content.encode()
