"""A home with something on record, the key that signs, and the name of a line of its own."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from tests.tasks.ledger.signatures.keys import write_key
from tests.tasks.records import Record, published


@pytest.fixture
def record(tmp_path: Path) -> Record:
    return published(tmp_path)


@pytest.fixture
def operator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The public half of the key that signs here."""
    private, public = write_key(tmp_path, "operator")
    monkeypatch.setenv("EXPUNGE_SIGNING_KEY", str(private))
    return public


@pytest.fixture
def line() -> str:
    """A name that no other test has: all share one S3 server."""
    return f"line-{uuid.uuid4().hex[:12]}"
