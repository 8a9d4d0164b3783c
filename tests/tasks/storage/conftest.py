"""A client of the real S3 server."""

from __future__ import annotations

from typing import Any

import pytest

from expunge.tasks.core.settings import Settings
from expunge.tasks.storage import s3


@pytest.fixture
def client(stack: Settings) -> Any:
    return s3.client(stack)
