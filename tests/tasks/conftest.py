"""A home with something on record."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tasks.records import Record, published


@pytest.fixture
def record(tmp_path: Path) -> Record:
    return published(tmp_path)
