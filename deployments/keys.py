"""The keys of the local stack: made once, readable by their owner alone, and known to our own clients only.

S3 signs requests with a key. Prefect and MLflow ask for a password. The ports that the parts of the S3 server open to
each other ask for a certificate, which nobody else has.
"""

import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import IPv4Address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from expunge.deployments.ports import HOST
from expunge.engine.files.atomic import write_new
from expunge.tasks.core.errors import UsageError

USER = "expunge"
FIRST_DAY, LAST_DAY = datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)  # whatever the clock says


@dataclass(frozen=True)
class Keys:
    """The keys of the servers: the S3 key pair, and the passwords of `USER` on Prefect and on MLflow.

    `mlflow_forms` signs the forms on MLflow's own pages.
    """

    access_key: str
    secret_key: str
    prefect: str
    mlflow: str
    mlflow_forms: str


def load_keys(stack: Path) -> Keys:
    """Read the keys of the stack in this folder, and make them on first use.

    Raises UsageError if a file of keys cannot be read: a server that was started without one would be open.
    """
    identity = _read(stack / "s3.json", _s3_identity)
    passwords = _read(stack / "passwords.json", lambda: {name: secrets.token_hex(24) for name in _PASSWORDS})
    try:
        credentials = identity["identities"][0]["credentials"][0]
        keys = Keys(
            credentials["accessKey"], credentials["secretKey"], **{name: passwords[name] for name in _PASSWORDS}
        )
        if not all(isinstance(key, str) and key for key in vars(keys).values()):
            raise ValueError("one is empty")
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise UsageError(
            f"the keys in {stack}/s3.json and passwords.json cannot be used ({error!r}): remove the damaged file, then "
            "`make down` and `make up` make new keys"
        ) from None
    return keys


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, whole, in the place of any that is there."""
    path.unlink(missing_ok=True)
    write_new(path, text.encode())


def write_certificate(folder: Path) -> tuple[Path, Path]:
    """Make a certificate that vouches for itself, and its key; return their paths in `folder`.

    Whoever trusts no other certificate talks to nobody but the holder of this key.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, USER)])
    usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    names = [x509.IPAddress(IPv4Address(HOST)), x509.DNSName("localhost")]
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), FIRST_DAY, LAST_DAY)
    builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    certificate = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False).sign(key, SHA256())
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    write_private(folder / "inner.pem", certificate.public_bytes(Encoding.PEM).decode())
    write_private(folder / "inner.key", private.decode())
    return folder / "inner.pem", folder / "inner.key"


_PASSWORDS = ("prefect", "mlflow", "mlflow_forms")


def _s3_identity() -> dict[str, object]:
    credentials = {"accessKey": secrets.token_hex(10), "secretKey": secrets.token_hex(20)}
    actions = ["Admin", "Read", "Write", "List", "Tagging"]
    return {"identities": [{"name": USER, "credentials": [credentials], "actions": actions}]}


def _read(path: Path, make: Callable[[], object]) -> dict:
    if not path.exists():
        write_private(path, json.dumps(make()))
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return {}
