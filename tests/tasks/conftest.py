"""A home with something on record, and the key that signs."""

from __future__ import annotations

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
