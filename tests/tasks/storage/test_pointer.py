"""The pointer on the real S3 server: a compare-and-swap, so of two publishers exactly one moves it."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse
from urllib3 import HTTPResponse

from expunge.tasks.core.errors import IntegrityError, ServiceUnreachable
from expunge.tasks.core.settings import Settings
from expunge.tasks.storage import s3
from expunge.tasks.storage.pointer import Pointer, PointerMoved, approved, check_served, get_pointer, point

FIRST, ONE, OTHER = "1" * 64, "2" * 64, "3" * 64


@pytest.fixture
def first(client: Any, stack: Settings, line: str) -> Pointer:
    """The pointer of a line whose first bundle is published."""
    point(client, stack.bucket, line, FIRST, "manifest", None)
    found = get_pointer(client, stack.bucket, line)
    assert found is not None
    assert found.bundle == FIRST
    return found


def answer_puts_with(client: Any, answers: Sequence[tuple[int, str]]) -> list[str]:
    """Let the next PUTs be answered so, by status and S3's name of the error, instead of sent; return their URLs."""
    waiting, asked = list(answers), []

    def answered(request: Any, **_: Any) -> AWSResponse | None:
        asked.append(request.url)
        if not waiting:
            return None
        status, name = waiting.pop(0)
        body = HTTPResponse(BytesIO(f"<Error><Code>{name}</Code></Error>".encode()), preload_content=False)
        return AWSResponse(request.url, status, {}, body)

    client.meta.events.register("before-send.s3.PutObject", answered)
    return asked


def test_of_two_publishers_that_read_the_same_pointer_exactly_one_moves_it(
    stack: Settings, line: str, first: Pointer
) -> None:
    both = threading.Barrier(2, timeout=60)

    def meet(**_: Any) -> None:
        both.wait()

    def publish(bundle: str) -> PointerMoved | None:
        own = s3.client(stack)
        own.meta.events.register("before-parameter-build.s3.PutObject", meet)
        try:
            point(own, stack.bucket, line, bundle, "manifest", first)
        except PointerMoved as lost:
            return lost
        return None

    with ThreadPoolExecutor(2) as pool:
        outcomes = dict(zip((ONE, OTHER), pool.map(publish, (ONE, OTHER)), strict=True))
    (won,) = [bundle for bundle, lost in outcomes.items() if lost is None]
    (lost,) = [lost for lost in outcomes.values() if lost is not None]
    assert approved(line, stack) == won
    assert lost.winner is not None
    assert lost.winner.bundle == won


def test_a_publisher_that_read_an_old_pointer_does_not_move_the_new_one(
    client: Any, stack: Settings, line: str, first: Pointer
) -> None:
    point(client, stack.bucket, line, ONE, "manifest", first)
    with pytest.raises(PointerMoved, match="decide anew") as lost:
        point(client, stack.bucket, line, OTHER, "manifest", first)
    assert (lost.value.exit_code, approved(line, stack)) == (6, ONE)


def test_a_publisher_that_saw_no_pointer_does_not_move_one_that_is_there(
    client: Any, stack: Settings, line: str, first: Pointer
) -> None:
    with pytest.raises(PointerMoved):
        point(client, stack.bucket, line, ONE, "manifest", None)
    assert approved(line, stack) == first.bundle


def test_a_publisher_that_lost_to_its_own_bundle_has_what_it_wanted(
    client: Any, stack: Settings, line: str, first: Pointer
) -> None:
    point(client, stack.bucket, line, ONE, "manifest", first)
    moved = get_pointer(client, stack.bucket, line)
    point(client, stack.bucket, line, ONE, "manifest", first)
    assert get_pointer(client, stack.bucket, line) == moved, "and wrote nothing"


def test_a_pointer_that_was_removed_meanwhile_is_not_made_anew(
    client: Any, stack: Settings, line: str, first: Pointer
) -> None:
    client.delete_object(Bucket=stack.bucket, Key=f"lines/{line}/approved.json")
    with pytest.raises(PointerMoved) as lost:
        point(client, stack.bucket, line, ONE, "manifest", first)
    assert lost.value.winner is None
    assert approved(line, stack) is None


def test_a_put_whose_answer_was_lost_counts_as_won(
    client: Any, stack: Settings, line: str, first: Pointer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server took it, the client asked again and hears that the pointer is another: it is its own."""
    monkeypatch.setattr(s3, "CONFLICT_PAUSE_SECONDS", 0)
    sent: list[bytes] = []
    client.meta.events.register("before-parameter-build.s3.PutObject", lambda params, **_: sent.append(params["Body"]))

    def taken_and_lost(request: Any, **_: Any) -> AWSResponse:
        s3.client(stack).put_object(Bucket=stack.bucket, Key=f"lines/{line}/approved.json", Body=sent[-1])
        body = HTTPResponse(BytesIO(b"<Error><Code>PreconditionFailed</Code></Error>"), preload_content=False)
        return AWSResponse(request.url, 412, {}, body)

    client.meta.events.register("before-send.s3.PutObject", taken_and_lost)
    point(client, stack.bucket, line, ONE, "manifest", first)
    assert (approved(line, stack), len(sent)) == (ONE, 1)


@pytest.mark.parametrize("status", [404, 409, 412])
def test_a_conflict_without_a_winner_is_tried_again(
    client: Any, stack: Settings, line: str, first: Pointer, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3, "CONFLICT_PAUSE_SECONDS", 0)
    asked = answer_puts_with(client, [(status, "Conflict")] * (s3.CONFLICT_TRIES - 1))
    point(client, stack.bucket, line, ONE, "manifest", first)
    assert (approved(line, stack), len(asked)) == (ONE, s3.CONFLICT_TRIES)


def test_a_conflict_that_stays_ends_as_an_unreachable_service(
    client: Any, stack: Settings, line: str, first: Pointer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3, "CONFLICT_PAUSE_SECONDS", 0)
    asked = answer_puts_with(client, [(409, "Conflict")] * s3.CONFLICT_TRIES)
    with pytest.raises(ServiceUnreachable, match="stayed in conflict"):
        point(client, stack.bucket, line, ONE, "manifest", first)
    assert (approved(line, stack), len(asked)) == (first.bundle, s3.CONFLICT_TRIES)


@pytest.mark.parametrize(("status", "name"), [(405, "MethodNotAllowed"), (501, "NotHere"), (404, "NoSuchBucket")])
def test_an_answer_that_is_no_conflict_is_no_lost_race(
    client: Any, stack: Settings, line: str, first: Pointer, status: int, name: str
) -> None:
    asked = answer_puts_with(client, [(status, name)])
    with pytest.raises(ServiceUnreachable, match=name):
        point(client, stack.bucket, line, ONE, "manifest", first)
    assert (len(asked), approved(line, stack)) == (1, first.bundle)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not JSON",
        b"\xff",
        b"[]",
        b'"bundle"',
        b"{}",
        b'{"bundle": null}',
        b'{"bundle": 7}',
        b'{"bundle": ["%s"]}' % FIRST.encode(),
        b'{"bundle": "%s0"}' % FIRST.encode(),
        b'{"bundle": "%s"}' % FIRST[1:].encode(),
        b'{"bundle": "%s\\n"}' % FIRST.encode(),
        b'{"bundle": "%s"}' % ("A" * 64).encode(),
    ],
)
def test_a_pointer_that_names_no_bundle_is_refused(body: bytes) -> None:
    with pytest.raises(IntegrityError, match="restore an earlier version"):
        assert Pointer(body, "etag").bundle


def test_a_pointer_says_what_it_replaced(client: Any, stack: Settings, line: str, first: Pointer) -> None:
    point(client, stack.bucket, line, ONE, "manifest of one", first)
    found = get_pointer(client, stack.bucket, line)
    assert found is not None
    said = json.loads(found.body)
    assert (said["bundle"], said["previous"], said["manifest"], said["line"]) == (ONE, FIRST, "manifest of one", line)


def test_a_line_serves_what_was_published_on_it_last_or_the_check_says_what_it_serves(
    stack: Settings, line: str, first: Pointer
) -> None:
    check_served(line, FIRST, stack)
    with pytest.raises(IntegrityError, match=f"serves {FIRST}, and bundle {ONE} was published last"):
        check_served(line, ONE, stack)
    with pytest.raises(IntegrityError, match="serves nothing"):
        check_served(f"{line}-new", ONE, stack)
