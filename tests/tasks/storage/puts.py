"""What S3 is sent, as it is about to be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from expunge.tasks.core.settings import Settings
from expunge.tasks.storage import s3


def hook_puts(monkeypatch: pytest.MonkeyPatch, before_put: Callable[[str], object]) -> None:
    """Real clients of the real server, with `before_put(key)` called as each PUT is about to be sent."""
    make = s3.client

    def hooked(settings: Settings) -> Any:
        client = make(settings)
        client.meta.events.register(
            "before-parameter-build.s3.PutObject", lambda params, **_: before_put(params["Key"])
        )
        return client

    monkeypatch.setattr(s3, "client", hooked)
