"""A pipeline that many tests share, and that none of them may change."""

from __future__ import annotations

from typing import Any

import pytest

from tests.engine import tiny
from tests.engine.digests import at_rest


@pytest.fixture(scope="module")
def built() -> Any:
    return tiny.pipeline()


@pytest.fixture
def pipeline(built: Any) -> Any:
    """A test that leaves the pipeline other than it was would spoil the next, so it fails itself."""
    before = at_rest(built)
    yield built
    assert at_rest(built) == before
