"""A shelf in S3: small files that machines share by name, each sealed.

The name of a picture says what it was drawn from and not what it shows. Whoever can write to the bucket could lay a
picture of something else there, and a model would seem to have forgotten. So each file begins with an HMAC over its
name and content, and one that was made without the secret is refused.
"""

from __future__ import annotations

import hashlib
import hmac
from contextlib import suppress
from functools import cached_property
from typing import Any

from expunge.canonical_json import sha256
from expunge.tasks.core.errors import IntegrityError
from expunge.tasks.core.settings import Settings
from expunge.tasks.storage import s3

SEAL = 32  # bytes
MOST_BYTES = 64 << 20
"""More than a picture of 4096 x 4096 has."""


class Shelf:
    """Files under `prefix`, sealed with `secret`."""

    def __init__(self, settings: Settings, prefix: str, secret: bytes) -> None:
        self._settings, self._prefix, self._secret = settings, prefix, secret

    @cached_property
    def _client(self) -> Any:
        return s3.client(self._settings)

    def get(self, name: str) -> bytes | None:
        """Return the content under `name`, None if there is none.

        Raises:
            IntegrityError: it is not sealed with the secret.
            ServiceUnreachable: S3 cannot be used.
        """
        held = s3.find(self._client, self._settings.bucket, self._key(name), SEAL + MOST_BYTES)
        if held is None:
            return None
        seal, content = held[:SEAL], held[SEAL:]
        if not hmac.compare_digest(seal, self._seal(name, content)):
            raise IntegrityError(
                f"s3://{self._settings.bucket}/{self._key(name)} was not put there by a worker with our signing key: "
                "find out who writes to the bucket, remove it, and submit again"
            )
        return content

    def put(self, name: str, content: bytes) -> bytes:
        """Write content under `name` unless there is something, and return what is there now.

        Raises:
            IntegrityError: what is there is not sealed with the secret, or the content is too large.
            ServiceUnreachable: S3 cannot be used.
        """
        if len(content) > MOST_BYTES:
            raise IntegrityError(f"{name} has more than {MOST_BYTES} bytes: draw smaller pictures")
        held = self._seal(name, content) + content
        with suppress(IntegrityError):  # another machine was faster, and its bytes differ
            s3.put_once(self._client, self._settings.bucket, self._key(name), held, sha256(held))
            return content
        first = self.get(name)
        return content if first is None else first

    def _seal(self, name: str, content: bytes) -> bytes:
        return hmac.digest(self._secret, hashlib.sha256(self._key(name).encode()).digest() + content, "sha256")

    def _key(self, name: str) -> str:
        return f"{self._prefix}/{name}"
