"""Publication on the real S3 server: content first, pointer last, one winner, nothing twice."""

import dataclasses
import json
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse
from botocore.exceptions import EndpointConnectionError
from urllib3 import HTTPResponse

from expunge.canonical_json import sha256
from expunge.tasks.core.errors import IntegrityError, ServiceUnreachable, UsageError
from expunge.tasks.core.settings import Settings
from expunge.tasks.ledger.state.leases import LeaseLost
from expunge.tasks.storage import bundle_store as publish
from expunge.tasks.storage import s3
from expunge.tasks.storage.bundle_store import fetch_bundle, is_published, publish_bundle
from expunge.tasks.storage.pointer import PointerMoved, approved, check_successor
from tests.tasks.storage.bundles import make_bundle
from tests.tasks.storage.puts import hook_puts

CONFLICT = b"<Error><Code>ConditionalRequestConflict</Code><Message>busy</Message></Error>"


@pytest.fixture
def unique() -> bytes:
    """Bytes that no earlier test has published: bundles are shared by digest."""
    return uuid.uuid4().bytes


def keys(settings: Settings, prefix: str) -> list[str]:
    found = s3.client(settings).list_objects_v2(Bucket=settings.bucket, Prefix=prefix).get("Contents", [])
    return [entry["Key"] for entry in found]


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The keys of all PUTs that were sent, as the test goes on."""
    noted: list[str] = []
    hook_puts(monkeypatch, noted.append)
    return noted


def test_what_is_published_comes_back_equal(stack, tmp_path, line, unique):
    folder = make_bundle(tmp_path / "bundle", unique)
    digest = publish_bundle(folder, line, stack)
    assert digest == sha256((folder / "manifest.json").read_bytes())
    by_line = fetch_bundle(line, tmp_path / "by_line", stack)
    by_digest = fetch_bundle(digest, tmp_path / "by_digest", stack)
    assert by_line.digest == by_digest.digest == approved(line, stack) == digest
    assert (tmp_path / "by_line/unet/model.safetensors").read_bytes() == unique


def test_content_is_sent_first_then_the_manifest_then_the_pointer_and_nothing_twice(
    stack, tmp_path, line, unique, sent
):
    folder = make_bundle(tmp_path / "bundle", unique)
    digest = publish_bundle(folder, line, stack)
    files = ["model_index.json", "unet/model.safetensors", "vae/model.safetensors", "manifest.json"]
    assert sent == [*(f"bundles/{digest}/{path}" for path in files), f"lines/{line}/approved.json"]
    assert publish_bundle(folder, line, stack) == digest
    assert len(sent) == 5


def test_a_successor_names_its_predecessor(stack, tmp_path, line, unique):
    def told() -> tuple[str, str | None]:
        pointer = json.loads(s3.read(s3.client(stack), stack.bucket, f"lines/{line}/approved.json"))
        return pointer["bundle"], pointer["previous"]

    first = publish_bundle(make_bundle(tmp_path / "a", unique + b"a"), line, stack)
    assert told() == (first, None)
    second = publish_bundle(make_bundle(tmp_path / "b", unique + b"b"), line, stack)
    assert told() == (second, first)


def test_what_was_published_in_between_is_never_undone(stack, tmp_path, line, unique):
    """A takedown that was folded before another's publication would serve a model that has the other's concept."""
    first = publish_bundle(make_bundle(tmp_path / "a", unique + b"a"), line, stack, follows={""})
    late = make_bundle(tmp_path / "b", unique + b"b")
    with pytest.raises(IntegrityError, match=r"does not know it: submit the policy again"):
        publish_bundle(late, line, stack, follows={""})
    with pytest.raises(IntegrityError, match="does not know it"):
        check_successor(line, approved(line, stack), {""})
    assert approved(line, stack) == first
    second = publish_bundle(late, line, stack, follows={first})
    assert publish_bundle(late, line, stack, follows={first}) == second
    check_successor(line, approved(line, stack), {second})


def test_a_bundle_is_in_place_when_every_file_of_it_is(stack, tmp_path, line, unique):
    bundle = publish_bundle(make_bundle(tmp_path / "bundle", unique), line, stack)
    assert is_published(bundle, stack)
    client, weights = s3.client(stack), f"bundles/{bundle}/unet/model.safetensors"
    client.put_object(Bucket=stack.bucket, Key=weights, Body=b"the unedited weights")
    with pytest.raises(IntegrityError, match=r"unet/model.safetensors exists with other bytes.*tampered"):
        is_published(bundle, stack)
    client.delete_object(Bucket=stack.bucket, Key=weights)
    assert not is_published(bundle, stack)
    publish_bundle(tmp_path / "bundle", line, stack)
    assert is_published(bundle, stack)


def _flip(folder: Path) -> None:
    (folder / "unet/model.safetensors").write_bytes(b"other")


def _remove(folder: Path) -> None:
    (folder / "unet/model.safetensors").unlink()


def _add(folder: Path) -> None:
    (folder / "unet/extra.bin").write_bytes(b"")


def _link(folder: Path) -> None:
    target = folder.parent / "elsewhere"
    (folder / "unet/model.safetensors").rename(target)
    (folder / "unet/model.safetensors").symlink_to(target)


def _empty(folder: Path) -> None:
    (folder / "manifest.json").write_text('{"files": {}}')


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (_flip, "expected digest"),
        (_remove, "found missing"),
        (_add, "not in the manifest"),
        (_link, "symbolic link"),
        (_empty, "lists no file"),
    ],
)
def test_a_folder_unlike_its_manifest_is_refused_before_anything_is_sent(stack, tmp_path, line, unique, spoil, says):
    folder = make_bundle(tmp_path / "bundle", unique)
    spoil(folder)
    digest = sha256((folder / "manifest.json").read_bytes())
    with pytest.raises(IntegrityError, match=says):
        publish_bundle(folder, line, stack)
    assert keys(stack, f"bundles/{digest}") == []
    assert approved(line, stack) is None


def test_a_broken_upload_leaves_no_pointer_and_is_completed_by_the_next(
    stack, tmp_path, line, unique, monkeypatch, sent
):
    folder = make_bundle(tmp_path / "bundle", unique)

    def cut_the_line(key: str) -> None:
        if key.endswith("vae/model.safetensors"):
            raise EndpointConnectionError(endpoint_url="http://127.0.0.1")

    with monkeypatch.context() as patch:
        hook_puts(patch, cut_the_line)
        with pytest.raises(ServiceUnreachable, match="make up"):
            publish_bundle(folder, line, stack)
    digest = sha256((folder / "manifest.json").read_bytes())
    assert len(keys(stack, f"bundles/{digest}")) == 2, "the positive control: the upload had begun"
    assert approved(line, stack) is None
    with pytest.raises(IntegrityError, match="missing"):
        fetch_bundle(digest, tmp_path / "early", stack)
    sent.clear()
    publish_bundle(folder, line, stack)
    assert [Path(key).name for key in sent] == ["model.safetensors", "manifest.json", "approved.json"]
    assert approved(line, stack) == digest


def test_of_two_publishers_at_once_exactly_one_moves_the_pointer(stack, tmp_path, line, unique, monkeypatch):
    folders = [make_bundle(tmp_path / name, unique + name.encode()) for name in ("a", "b")]
    both = threading.Barrier(2, timeout=30)
    hook_puts(monkeypatch, lambda key: both.wait() if key.endswith("approved.json") else None)

    def attempt(folder: Path):
        """Publish from a home of its own, whose database knows nothing of the other's lease."""
        try:
            return publish_bundle(folder, line, dataclasses.replace(stack, home=tmp_path / f"home-{folder.name}"))
        except (PointerMoved, LeaseLost) as lost:
            return lost

    with ThreadPoolExecutor(2) as pool:
        outcomes = list(pool.map(attempt, folders))
    won = [one for one in outcomes if isinstance(one, str)]
    assert [approved(line, stack)] == won


@pytest.mark.parametrize("times", [1, 9])
def test_a_conflict_in_which_nobody_moved_the_pointer_is_tried_again(
    stack: Settings, tmp_path: Path, line: str, unique: bytes, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    """S3 answers so while another request for the key is under way."""
    bodies = [HTTPResponse(BytesIO(CONFLICT), preload_content=False) for _ in range(times)]
    answers = [AWSResponse(stack.s3_endpoint_url, 409, {}, body) for body in bodies]
    make, first = s3.client, publish_bundle(make_bundle(tmp_path / "first", unique), line, stack)

    def busy(request: Any, **_: Any) -> AWSResponse | None:
        return answers.pop() if answers and request.url.endswith("approved.json") else None

    def answered(settings: Settings) -> Any:
        client = make(settings)
        client.meta.events.register("before-send.s3.PutObject", busy)
        return client

    monkeypatch.setattr(s3, "client", answered)
    monkeypatch.setattr(s3, "CONFLICT_PAUSE_SECONDS", 0)
    folder = make_bundle(tmp_path / "second", unique + b"2")
    if times > s3.CONFLICT_TRIES:
        with pytest.raises(ServiceUnreachable, match=r"approved.json stayed in conflict: run again later"):
            publish_bundle(folder, line, stack, {first})
        assert approved(line, stack) == first
    else:
        second = publish_bundle(folder, line, stack, {first})
        assert approved(line, stack) == second != first


def test_of_many_writers_of_one_key_one_writes_and_all_agree(stack, unique):
    key, digest = f"bundles/race-{unique.hex()}", sha256(unique)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: s3.put_once(s3.client(stack), stack.bucket, key, unique, digest), range(8)))
    assert len(s3.client(stack).list_object_versions(Bucket=stack.bucket, Prefix=key)["Versions"]) == 1
    assert s3.holds(s3.client(stack), stack.bucket, key, digest)


def test_other_bytes_under_a_key_are_found(stack, tmp_path, line, unique):
    folder = make_bundle(tmp_path / "bundle", unique)
    digest = sha256((folder / "manifest.json").read_bytes())
    intruder = f"bundles/{digest}/unet/model.safetensors"
    s3.client(stack).put_object(Bucket=stack.bucket, Key=intruder, Body=b"other")
    with pytest.raises(IntegrityError, match="tampered"):
        publish_bundle(folder, line, stack)
    assert approved(line, stack) is None


def test_a_published_object_that_changed_is_not_fetched(stack, tmp_path, line, unique):
    digest = publish_bundle(make_bundle(tmp_path / "bundle", unique), line, stack)
    changed = f"bundles/{digest}/unet/model.safetensors"
    s3.client(stack).put_object(Bucket=stack.bucket, Key=changed, Body=b"other")
    with pytest.raises(IntegrityError, match="was changed"):
        fetch_bundle(line, tmp_path / "fetched", stack)
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


@pytest.mark.parametrize(
    ("asked", "out", "error", "said"),
    [
        ("a_line", "bundle", UsageError, "neither a line"),
        ("nothing-published-here", "bundle", IntegrityError, "has no approved bundle"),
        ("0" * 64, "bundle", IntegrityError, "is missing"),
        ("{line}", "file/bundle", UsageError, "cannot be made a folder"),
        ("{line}", "file", UsageError, "is there and no bundle"),
    ],
)
def test_what_cannot_be_fetched_is_said_and_leaves_nothing(stack, tmp_path, line, unique, asked, out, error, said):
    publish_bundle(make_bundle(tmp_path / "made", unique), line, stack)
    (folder := tmp_path / "here").mkdir()
    (folder / "file").touch()
    with pytest.raises(error, match=said):
        fetch_bundle(asked.format(line=line), folder / out, stack)
    assert [path.name for path in folder.iterdir()] == ["file"]


def test_content_unlike_its_digest_is_refused_by_the_store(stack, unique):
    with pytest.raises(IntegrityError, match="does not have sha256"):
        s3.put_once(s3.client(stack), stack.bucket, f"bundles/lie-{unique.hex()}", unique, sha256(b"else"))
    assert keys(stack, f"bundles/lie-{unique.hex()}") == []


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"access_key_id": "nobody"}, "AWS_ACCESS_KEY_ID"),
        ({"secret_access_key": "guessed"}, "AWS_SECRET_ACCESS_KEY"),
        ({"s3_endpoint_url": "http://127.0.0.1:1"}, "AWS_ENDPOINT_URL_S3"),
        ({"s3_endpoint_url": "localhost:8333"}, "AWS_ENDPOINT_URL_S3"),
        ({"secret_access_key": None}, "the keys"),
        ({"bucket": "no-such-bucket"}, "EXPUNGE_BUCKET"),
    ],
)
def test_an_unusable_store_is_named_with_its_cure(stack, tmp_path, line, unique, wrong, says):
    settings = dataclasses.replace(stack, **wrong)
    with pytest.raises(ServiceUnreachable, match=says):
        publish_bundle(make_bundle(tmp_path / "bundle", unique), line, settings)


@pytest.mark.parametrize("name", ["../up", "a/b", "", "Line", "a" * 64])
def test_a_line_name_never_becomes_a_path(stack, tmp_path, unique, name):
    with pytest.raises(ValueError, match="lowercase letters"):
        publish_bundle(make_bundle(tmp_path / "bundle", unique), name, stack)


@pytest.mark.parametrize("path", ["../out", "/etc/x", "a/../b", "a\\b", "a//b", "manifest.json", "a\n"])
def test_a_manifest_cannot_lead_out_of_its_folder(path):
    content = json.dumps({"files": {path: {"sha256": sha256(b""), "bytes": 0}}}).encode()
    with pytest.raises(IntegrityError, match="bad entry"):
        publish.parse(content, "manifest")
