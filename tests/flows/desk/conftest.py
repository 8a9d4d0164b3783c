"""A desk on a real home, and a browser that behaves as browsers do."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from expunge.flows.desk import make_app
from expunge.flows.desk.people import Door, add_token

NOTICES = Path(__file__).parents[2] / "policies" / "notices"
ADDRESS = "http://127.0.0.1:8000"


class Browser(TestClient):
    """Sends the header Origin with a form, as browsers do, and the token of the last page."""

    seen = ""

    def read(self, path: str, status: int = 200) -> str:
        answer = self.get(path)
        assert answer.status_code == status, (path, answer.status_code, answer.text[:2000])
        self.seen = form_token(answer.text) or self.seen
        return answer.text

    def submit(self, path: str, data: dict[str, Any] | None = None, **more: Any) -> Any:
        origin = {"origin": ADDRESS, **more.pop("headers", {})}
        return self.post(path, data={"csrf": self.seen, **(data or {})}, headers=origin, follow_redirects=False, **more)


def form_token(text: str) -> str:
    found = re.search(r'name="csrf" value="([0-9a-f]{64})"', text)
    return found[1] if found else ""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EXPUNGE_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def door(home: Path) -> Door:
    return Door.of(home, {})


@pytest.fixture
def visit(home: Path, door: Door) -> Callable[..., Browser]:
    """Open the desk in a new browser; with a name, as this person."""

    def open_desk(name: str = "", **door_of: str) -> Browser:
        app = make_app(home, Door.of(home, door_of))
        browser = Browser(app, base_url=ADDRESS, client=("127.0.0.1", 5000))
        if name:
            token = add_token(door.tokens, name)
            browser.read("/login")
            assert browser.submit("/login", {"token": token}).status_code == 303
            browser.read("/receive")
        return browser

    return open_desk


@pytest.fixture
def ada(visit: Callable[..., Browser]) -> Browser:
    return visit("ada")
