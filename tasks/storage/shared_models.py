"""Models that machines share through S3: each file once, by its sha256, and the list of a folder by its digest."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path, PurePosixPath

from expunge.canonical_json import canonical_json, sha256
from expunge.engine.files.digests import file_digest, files_by_name
from expunge.engine.files.reading.strict_json import parse_json
from expunge.tasks.core.errors import IntegrityError
from expunge.tasks.core.settings import Settings
from expunge.tasks.storage import s3


def share_folder(folder: Path, digest: str, settings: Settings) -> None:
    """Lay a folder of this digest into S3, unless it is there. A file that other models have as well is there already.

    Raises:
        IntegrityError: the folder has another digest, or S3 holds other bytes.
        ServiceUnreachable: S3 cannot be used.
    """
    client = s3.client(settings)
    if s3.is_there(client, settings.bucket, _list(digest)):
        return
    found = {name: file_digest(path) for name, path in files_by_name(folder).items()}
    content = canonical_json(found)
    if sha256(content) != digest:
        raise IntegrityError(f"{folder} has not the digest {digest}: fetch it again")
    for name, sha in sorted(found.items()):
        s3.put_once(client, settings.bucket, _file(sha), folder / name, sha)
    s3.put_once(client, settings.bucket, _list(digest), content, digest)  # last, so what is listed is whole


def fetch_folder(digest: str, home: Path, settings: Settings) -> Path:
    """Return the folder of this digest in the home, fetched from S3 if it is not there.

    Raises:
        IntegrityError: S3 has it not, or holds other bytes.
        ServiceUnreachable: S3 cannot be used.
    """
    folder = home / "models" / digest
    if folder.is_dir():
        return folder
    client = s3.client(settings)
    content = s3.read(client, settings.bucket, _list(digest))
    if sha256(content) != digest:
        raise IntegrityError(f"s3://{settings.bucket}/{_list(digest)} was changed: remove it, and submit again")
    folder.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=f"{digest}.part-", dir=folder.parent))
    try:
        for name, sha in parse_json(content).items():
            path = part / _inside(name)
            path.parent.mkdir(parents=True, exist_ok=True)
            if s3.download(client, settings.bucket, _file(sha), path) != sha:
                raise IntegrityError(f"{name} of model {digest} in S3 was changed: remove it, and submit again")
        if not folder.is_dir():  # another process of this machine may have been faster
            os.replace(part, folder)
    except OSError:
        if not folder.is_dir():
            raise
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return folder


def _inside(name: str) -> str:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        raise IntegrityError(f"{name!r} would lie outside its folder: remove the model from S3, and submit again")
    return name


def _list(digest: str) -> str:
    return f"models/{digest}.json"


def _file(sha: str) -> str:
    return f"models/files/{sha}"
