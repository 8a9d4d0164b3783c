"""The load test in small: a few requests, workers that are killed, and every server stopped once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.load.__main__ import run
from tests.postgres import BINARIES


@pytest.mark.slow
@pytest.mark.skipif(not BINARIES, reason="PostgreSQL is not installed: `apt-get install postgresql`")
def test_every_request_is_published_once_though_workers_die_and_servers_stop(tmp_path: Path) -> None:
    figures = run(tmp_path, requests=10, lines=2, kill_every=20.0, outage=10.0)
    assert figures["killed"] > 0, "the positive control: workers were killed"
