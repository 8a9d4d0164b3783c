"""The pictures of a home, and of all machines where Ray's actors draw: S3 has them then, and a home only a copy."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from expunge.engine.files.atomic import write_whole
from expunge.engine.models.picture_store import PictureStore
from expunge.tasks.core.settings import Settings, draws_on_cluster
from expunge.tasks.ledger.signatures.signing import shared_secret
from expunge.tasks.storage.shelf import Shelf


class Pictures(PictureStore):
    """Pictures, and what attacks came to, under `folder`; what is not there is looked for on the shelf in S3."""

    def __init__(self, folder: Path, shelf: Shelf | None = None) -> None:
        super().__init__(folder)
        self._shelf = shelf

    def has(self, path: Path) -> bool:
        """Return whether there is a file at `path`; it is fetched from the shelf if only that has it."""
        if not path.exists() and self._shelf and (content := self._shelf.get(self._name(path))) is not None:
            write_whole(path, content)
        return path.exists()

    def keep(self, path: Path, content: bytes) -> None:
        """Write a file on the shelf, and here what the shelf has then.

        Of two machines that made the same, the first one's counts. What could not be shared is not kept: else this
        machine would go on with its own.
        """
        super().keep(path, self._shelf.put(self._name(path), content) if self._shelf else content)

    def _whole(self, key: str) -> bytes:
        self.has(self.path(key))
        return super()._whole(key)

    def _name(self, path: Path) -> str:
        return path.relative_to(self.folder).as_posix()


def shelf_of(home: Path, name: str) -> Shelf | None:
    """Return the shelf `name` in S3 that all machines share; None where one machine draws, or there is no S3."""
    if not draws_on_cluster() or not (settings := Settings.load(())).s3_endpoint_url:
        return None
    return _shelf(home, name, settings.s3_endpoint_url, settings.bucket)


@lru_cache(maxsize=8)
def _shelf(home: Path, name: str, _address: str, _bucket: str) -> Shelf:
    return Shelf(Settings.load(()), f"pictures/{name}", picture_secret(home))


_secret: list[bytes] = []
"""In an actor's process the secret that it was given, for it has no key that signs."""


def picture_secret(home: Path) -> bytes:
    """Return what seals pictures in S3: who has the signing key has it, and the actors that he gives it to."""
    return _secret[0] if _secret else shared_secret(home, "pictures")


def take_secret(secret: bytes) -> None:
    """Seal with this secret from now on, in this process."""
    _secret[:] = [secret]
