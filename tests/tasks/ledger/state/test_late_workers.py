"""A worker is stopped in the middle of a publication, another takes over its line, and the first one wakes up.

Whenever it was stopped: it publishes nothing and appends nothing any more, and says so; the record has one chain.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import psutil
import pytest

from expunge.tasks.core.settings import Settings
from expunge.tasks.ledger.ledger import Ledger
from expunge.tasks.ledger.line.lock import alone_on
from expunge.tasks.ledger.recorder import journal
from expunge.tasks.ledger.state import heads, leases
from expunge.tasks.ledger.state.database import VARIABLE
from expunge.tasks.preflight import bar_earlier_workers
from expunge.tasks.storage import bundle_store, pointer, s3
from expunge.tasks.storage.bundle_store import publish_bundle
from expunge.tasks.storage.pointer import approved, get_pointer, raise_fence
from tests.tasks.storage.bundles import make_bundle

WAITING = 60.0
PLACES: dict[str, tuple[Any, str]] = {
    "before the lease is renewed": (bundle_store, "renew"),
    "before the pointer is read": (bundle_store, "get_pointer"),
    "before the pointer is written": (pointer, "_put_if"),
    "before a receipt is appended": (heads, "move_head"),
    "before an appended receipt is stored": (Ledger, "_store"),
}
"""Where the first worker is stopped: right before it does this."""
TELLING = ("before the pointer is written", "before a receipt is appended")
EACH = [place if place in TELLING else pytest.param(place, marks=pytest.mark.slow) for place in PLACES]


def note(home: Path, line: str, step: str, bundle: str) -> None:
    """Append the receipt of a step of somebody's work."""
    inputs = {"policy": "c" * 64} if step == "published" else {}
    outputs, settings = {"bundle": bundle}, {"work": bundle}
    journal(home, line).append(step, request_id=bundle[:12], who="x", inputs=inputs, outputs=outputs, settings=settings)


def publish(settings: Settings, line: str, folder: Path, begun: Callable[[], None] = lambda: None) -> str:
    """Do what a takedown does at its end; returns the bundle's digest."""
    with alone_on(line, settings.home) as lease:
        bar_earlier_workers(line, lease, settings)
        digest = bundle_store.check_bundle(folder).digest
        begun()
        note(settings.home, line, "bundled", digest)
        publish_bundle(folder, line, settings)
        note(settings.home, line, "published", digest)
    return digest


def _work(
    environ: Mapping[str, str], settings: Settings, line: str, folder: Path, place: str, told: Connection
) -> None:
    os.environ.update(environ)
    try:
        publish(settings, line, folder, begun=lambda: stop_at(place))
        told.send("published")
    except Exception as error:
        told.send(f"{type(error).__name__}: {error}")


def stop_at(place: str) -> None:
    """Stop this process when it comes there, once, and never while its thread has a transaction open."""
    owner, name = PLACES[place]
    work, renew, quiet, stopped = getattr(owner, name), leases.renew, threading.Lock(), []

    def renew_quietly(*args: Any) -> None:
        with quiet:
            renew(*args)

    def stop(*args: Any) -> Any:
        if not stopped:
            stopped.append(place)
            with quiet:
                os.kill(os.getpid(), signal.SIGSTOP)
        return work(*args)

    leases.renew = renew_quietly
    setattr(owner, name, stop)
    if name == "move_head":
        from expunge.tasks.ledger.line import head as line_head

        line_head.move_head = stop


class Late:
    """The first worker, which stops at a place."""

    def __init__(self, settings: Settings, line: str, folder: Path, place: str) -> None:
        environ = {name: os.environ[name] for name in (VARIABLE, leases.SECONDS) if name in os.environ}
        self.told, there = multiprocessing.Pipe()
        context = multiprocessing.get_context("spawn")
        self.process = context.Process(target=_work, args=(environ, settings, line, folder, place, there))
        self.process.start()
        until = time.monotonic() + WAITING
        while psutil.Process(self.process.pid).status() != psutil.STATUS_STOPPED:
            assert time.monotonic() < until
            assert not self.told.poll(), self.told.recv()
            time.sleep(0.05)

    def wake(self) -> str:
        """Let it go on, and return what it says in the end."""
        os.kill(self.process.pid or 0, signal.SIGCONT)
        assert self.told.poll(WAITING)
        said = self.told.recv()
        self.process.join(WAITING)
        return said


@pytest.fixture
def line() -> str:
    return f"emoji-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def settings(stack: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A home of its own on the stack's S3, and leases that last a second."""
    monkeypatch.setenv(leases.SECONDS, "1")
    return replace(stack, home=tmp_path / "home")


@pytest.mark.parametrize("place", EACH)
def test_attack_it_wakes_up_after_another_published(
    settings: Settings, server: str, line: str, tmp_path: Path, place: str
) -> None:
    mine, other = (make_bundle(tmp_path / name, f"{name}{line}".encode()) for name in ("mine", "other"))
    late = Late(settings, line, mine, place)
    published = publish(settings, line, other)
    said = late.wake()
    assert said.startswith("LeaseLost: "), said
    assert "took over the line" in said
    assert approved(line, settings) == published
    chain = journal(settings.home, line).receipts()
    assert [receipt.outputs["bundle"] for receipt in chain if receipt.step == "published"] == [published]
    assert len(list((settings.home / "receipts" / line).glob("*.json"))) == len(chain)
    assert sorted(receipt.fencing_token or 0 for receipt in chain) == [receipt.fencing_token for receipt in chain]


@pytest.mark.parametrize("place", EACH[1:3])
def test_attack_it_wakes_up_while_the_other_has_published_nothing_yet(
    settings: Settings, line: str, tmp_path: Path, place: str
) -> None:
    mine, other = (make_bundle(tmp_path / name, f"{name}{line}".encode()) for name in ("mine", "other"))
    late = Late(settings, line, mine, place)
    with alone_on(line, settings.home) as lease:
        bar_earlier_workers(line, lease, settings)
        assert "LeaseLost" in late.wake()
        assert approved(line, settings) is None
        found = get_pointer(s3.client(settings), settings.bucket, line)
        assert found is not None
        assert (found.bundle, found.fencing_token) == (None, lease.token)
    assert approved(line, settings) is None
    assert publish(settings, line, other) == approved(line, settings)


def test_the_fence_leaves_what_is_served_and_is_raised_once(settings: Settings, line: str, tmp_path: Path) -> None:
    digest = publish(settings, line, make_bundle(tmp_path / "bundle", line.encode()))
    client = s3.client(settings)
    before = get_pointer(client, settings.bucket, line)
    assert before is not None
    raise_fence(settings, line, before.fencing_token + 5)
    after = get_pointer(client, settings.bucket, line)
    assert after is not None
    assert (after.bundle, after.fencing_token) == (digest, before.fencing_token + 5)
    with pytest.raises(leases.LeaseLost):
        raise_fence(settings, line, before.fencing_token)
    assert get_pointer(client, settings.bucket, line) == after


def test_attack_a_process_without_a_lease_moves_no_pointer_that_states_a_token(
    settings: Settings, line: str, tmp_path: Path
) -> None:
    digest = publish(settings, line, make_bundle(tmp_path / "bundle", line.encode()))
    client = s3.client(settings)
    with pytest.raises(leases.LeaseLost):
        pointer.point(client, settings.bucket, line, "9" * 64, "manifest", get_pointer(client, settings.bucket, line))
    assert approved(line, settings) == digest
