"""The shelf on the real S3 server: what a worker put there is found, and what somebody else put there is refused."""

from __future__ import annotations

import secrets
import uuid
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest

from expunge.canonical_json import canonical_json, sha256
from expunge.engine.files.digests import folder_digest
from expunge.tasks.core.errors import IntegrityError, ServiceUnreachable
from expunge.tasks.core.settings import Settings
from expunge.tasks.evidence.drawing.pictures import Pictures
from expunge.tasks.ledger.signatures.signing import shared_secret
from expunge.tasks.storage import s3
from expunge.tasks.storage.shared_models import fetch_folder, share_folder
from expunge.tasks.storage.shelf import Shelf

SECRET = b"s" * 32


@pytest.fixture
def prefix() -> str:
    return f"pictures/{uuid.uuid4().hex}"


def laid(client: Any, bucket: str, key: str, content: bytes) -> None:
    client.put_object(Bucket=bucket, Key=key, Body=content)


def test_what_one_machine_keeps_another_has_and_the_first_counts(stack: Settings, prefix: str, tmp_path: Path) -> None:
    one, two = (Pictures(tmp_path / name, Shelf(stack, prefix, SECRET)) for name in ("one", "two"))
    assert not two.has(tmp_path / "two" / "attacks" / "a.json")
    one.keep(tmp_path / "one" / "attacks" / "a.json", b"first")
    two.keep(tmp_path / "two" / "attacks" / "a.json", b"second")
    assert (tmp_path / "two" / "attacks" / "a.json").read_bytes() == b"first"


@pytest.mark.parametrize("how", ["another picture", "another secret", "no seal", "empty"])
def test_attack_a_picture_of_something_else_is_laid_there(
    how: str, stack: Settings, client: Any, prefix: str, tmp_path: Path
) -> None:
    """Who may write to the bucket would let a model seem to have forgotten."""
    shelf = Shelf(stack, prefix, SECRET)
    shelf.put("a.png", b"harmless")
    forged = {
        "another picture": lambda: s3.read(client, stack.bucket, f"{prefix}/a.png"),
        "another secret": lambda: Shelf(stack, f"{prefix}/x", b"t" * 32)._seal("b.png", b"harmless") + b"harmless",
        "no seal": lambda: b"harmless" * 8,
        "empty": lambda: b"",
    }[how]()
    laid(client, stack.bucket, f"{prefix}/b.png", forged)
    with pytest.raises(IntegrityError, match=r"b\.png was not put there by a worker"):
        Pictures(tmp_path, shelf).has(tmp_path / "b.png")
    with pytest.raises(IntegrityError, match=r"b\.png was not put there by a worker"):
        shelf.put("b.png", b"drawn")
    assert not (tmp_path / "b.png").exists()


def test_machines_with_one_signing_key_have_one_secret(tmp_path: Path, operator: Path) -> None:
    assert shared_secret(tmp_path / "one", "pictures") == shared_secret(tmp_path / "two", "pictures")
    assert shared_secret(tmp_path, "pictures") != shared_secret(tmp_path, "others")


def test_a_model_is_fetched_by_its_digest_and_no_file_is_sent_twice(
    stack: Settings, client: Any, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    (folder / "unet").mkdir(parents=True)
    (folder / "unet" / "weights").write_bytes(uuid.uuid4().bytes)
    share_folder(folder, digest := folder_digest(folder), stack)
    fetched = fetch_folder(digest, tmp_path / "home", stack)
    assert folder_digest(fetched) == digest
    assert fetch_folder(digest, tmp_path / "home", stack) == fetched
    before = s3.names_under(client, stack.bucket, "models/files/")
    (folder / "note").write_bytes(b"")
    share_folder(folder, folder_digest(folder), stack)
    assert len(s3.names_under(client, stack.bucket, "models/files/") - before) <= 1
    with pytest.raises(IntegrityError, match="has not the digest"):
        share_folder(folder, "0" * 64, stack)


@pytest.mark.parametrize("how", ["file", "list", "outside"])
def test_attack_a_model_in_s3_was_changed(how: str, stack: Settings, client: Any, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "weights").write_bytes(content := uuid.uuid4().bytes)
    share_folder(folder, digest := folder_digest(folder), stack)
    if how == "file":
        laid(client, stack.bucket, f"models/files/{sha256(content)}", b"others")
    elif how == "list":
        laid(client, stack.bucket, f"models/{digest}.json", canonical_json({"weights": sha256(b"others")}))
    else:
        listed = canonical_json({"../escaped": sha256(content)})
        laid(client, stack.bucket, f"models/{(digest := sha256(listed))}.json", listed)
    with pytest.raises(IntegrityError, match=r"was changed|outside"):
        fetch_folder(digest, tmp_path / "home", stack)
    assert not list((tmp_path / "home").rglob("weights"))
    assert not (tmp_path / "home" / "models" / "escaped").exists()


def test_a_machine_that_could_not_share_a_picture_does_not_judge_it(
    stack: Settings, prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else it goes on with its own, and all others with another."""
    pictures, drawn = Pictures(tmp_path, Shelf(stack, prefix, SECRET)), np.zeros((4, 4, 3), np.uint8)

    def away(*_: object) -> NoReturn:
        raise ServiceUnreachable("S3 is away")

    with monkeypatch.context() as patch:
        patch.setattr(s3, "put_once", away)
        with pytest.raises(ServiceUnreachable):
            pictures.write("a" * 64, drawn)
    assert not pictures.path("a" * 64).exists()
    pictures.write("a" * 64, drawn)
    assert (Pictures(tmp_path / "two", Shelf(stack, prefix, SECRET)).read("a" * 64) == drawn).all()


def test_a_picture_as_large_as_models_draw_comes_back(stack: Settings, prefix: str) -> None:
    content = secrets.token_bytes(6 * 2**20)
    assert Shelf(stack, prefix, SECRET).put("large.png", content) == content
    assert Shelf(stack, prefix, SECRET).get("large.png") == content
