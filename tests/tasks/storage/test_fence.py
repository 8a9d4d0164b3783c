"""Who takes over a line raises the pointer's token first; who has a smaller one moves nothing from then on."""

from __future__ import annotations

from typing import Any

import pytest

from expunge.tasks.core.errors import ServiceUnreachable
from expunge.tasks.core.settings import Settings
from expunge.tasks.ledger.state.leases import LeaseLost
from expunge.tasks.storage import pointer
from expunge.tasks.storage.pointer import Pointer, PointerMoved, get_pointer, point, raise_fence

FIRST, OTHER = "1" * 64, "2" * 64


def read(client: Any, stack: Settings, line: str) -> Pointer:
    found = get_pointer(client, stack.bucket, line)
    assert found is not None
    return found


def test_a_line_without_a_pointer_gets_one_that_names_no_bundle(client: Any, stack: Settings, line: str) -> None:
    raise_fence(stack, line, 7)
    found = read(client, stack, line)
    assert (found.bundle, found.fencing_token) == (None, 7)


def test_a_raised_fence_changes_the_token_alone(client: Any, stack: Settings, line: str) -> None:
    point(client, stack.bucket, line, FIRST, "manifest", None, token=7)
    before = read(client, stack, line)
    raise_fence(stack, line, 9)
    after = read(client, stack, line)
    assert (after.bundle, after.fencing_token) == (FIRST, 9)
    assert after._content == {**before._content, "fencing_token": 9}
    raise_fence(stack, line, 9)
    assert read(client, stack, line).fencing_token == 9


def test_a_smaller_token_raises_nothing(client: Any, stack: Settings, line: str) -> None:
    raise_fence(stack, line, 9)
    before = read(client, stack, line)
    with pytest.raises(LeaseLost):
        raise_fence(stack, line, 8)
    assert read(client, stack, line) == before


def test_a_late_publisher_finds_another_pointer_than_it_read(client: Any, stack: Settings, line: str) -> None:
    point(client, stack.bucket, line, FIRST, "manifest", None, token=7)
    before = read(client, stack, line)
    raise_fence(stack, line, 9)
    with pytest.raises(LeaseLost):
        point(client, stack.bucket, line, OTHER, "manifest", before, token=7)
    assert read(client, stack, line).bundle == FIRST


def test_a_publication_in_between_is_kept(
    client: Any, stack: Settings, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pointer moves after it was read: the fence is raised on what it names by then."""
    point(client, stack.bucket, line, FIRST, "manifest", None, token=7)
    reads = []

    def and_then_moved(*words: Any) -> Pointer | None:
        reads.append(found := get_pointer(*words))
        if len(reads) == 1:
            point(client, stack.bucket, line, OTHER, "manifest", found, token=7)
        return found

    monkeypatch.setattr(pointer, "get_pointer", and_then_moved)
    raise_fence(stack, line, 9)
    after = read(client, stack, line)
    assert (after.bundle, after.fencing_token) == (OTHER, 9)


def test_a_pointer_that_moves_all_the_time_is_an_unreachable_service(
    client: Any, stack: Settings, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(*_: Any) -> None:
        raise PointerMoved(line, None)

    point(client, stack.bucket, line, FIRST, "manifest", None, token=7)
    before = read(client, stack, line)
    monkeypatch.setattr(pointer, "_swing", lost)
    with pytest.raises(ServiceUnreachable, match="is moved all the time"):
        raise_fence(stack, line, 9)
    assert read(client, stack, line) == before
