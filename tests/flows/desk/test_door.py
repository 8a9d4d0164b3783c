"""Attacks on the way in: without login, with a forged form, with another's session, from another host."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.routing import Route

from expunge.flows.desk.app import PAGES
from expunge.flows.desk.guard import MOST_UPLOAD
from expunge.flows.desk.people import Door, add_token
from expunge.tasks.core.errors import UsageError
from tests.flows.desk.conftest import ADDRESS, Browser

Visit = Callable[..., Browser]


def cookie_of(browser: Browser) -> dict[str, str]:
    ((name, value),) = browser.cookies.items()
    return {"cookie": f"{name}={value}"}


def test_attack_a_page_is_read_without_login(visit: Visit) -> None:
    browser = visit()
    routes = [route for module in PAGES for route in module.router.routes if isinstance(route, Route)]
    assert len(routes) > 4
    for path in {route.path.replace("{request_id}", "notice-1") for route in routes}:
        if path != "/login":
            answer = browser.get(path, follow_redirects=False)
            assert (answer.status_code, answer.headers["location"], answer.text) == (303, "/login", ""), path
            assert browser.submit(path).status_code == 403, path
    assert browser.get("/requests/../login/../receive", follow_redirects=False).status_code == 303


def test_a_wrong_token_lets_nobody_in(visit: Visit, door: Door) -> None:
    browser, token = visit(), add_token(door.tokens, "ada")
    browser.read("/login")
    for wrong in ("", "x", token[:-1], token + "x", door.tokens.read_text().split('"')[3]):
        assert browser.submit("/login", {"token": wrong}).status_code == 403
    assert browser.get("/", follow_redirects=False).status_code == 303


def test_the_file_of_tokens_has_no_token_and_is_for_its_owner(door: Door) -> None:
    token = add_token(door.tokens, "ada")
    assert token not in door.tokens.read_text()
    assert door.tokens.stat().st_mode & 0o077 == 0
    assert add_token(door.tokens, "ada") != token
    assert door.person_with(token) is None


def test_a_token_that_is_taken_away_ends_its_sessions(ada: Browser, door: Door) -> None:
    ada.read("/")
    add_token(door.tokens, "ada")
    assert ada.get("/", follow_redirects=False).status_code == 303


def test_after_logging_out_a_copy_of_the_cookie_counts_no_more(ada: Browser) -> None:
    copy = cookie_of(ada)
    assert ada.submit("/logout").status_code == 303
    ada.cookies.clear()
    assert ada.get("/", headers=copy, follow_redirects=False).status_code == 303


def test_attack_a_session_from_before_the_login_is_planted(visit: Visit, door: Door) -> None:
    browser, token = visit(), add_token(door.tokens, "ada")
    browser.read("/login")
    before = cookie_of(browser)
    browser.submit("/login", {"token": token})
    assert cookie_of(browser) != before
    browser.cookies.clear()
    assert browser.get("/", headers=before, follow_redirects=False).status_code == 303


def test_attack_a_cookie_is_altered(ada: Browser) -> None:
    ((name, value),) = ada.cookies.items()
    ada.cookies.clear()
    payload, rest = value.split(".", 1)
    for forged in (payload[:-2] + "AA." + rest, payload + ".x." + rest, "x", value[:-3] + "abc"):
        assert ada.get("/", headers={"cookie": f"{name}={forged}"}, follow_redirects=False).status_code == 303


def test_the_cookie_is_out_of_reach_of_scripts_and_of_other_sites(visit: Visit, door: Door) -> None:
    browser, token = visit(), add_token(door.tokens, "ada")
    browser.read("/login")
    cookie = browser.submit("/login", {"token": token}).headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie


@pytest.mark.parametrize("path", ["/receive", "/logout", "/login"])
def test_attack_a_form_is_forged(path: str, ada: Browser, visit: Visit) -> None:
    other = visit("eve")
    own = {"csrf": ada.seen}
    assert ada.post(path, data={}, headers={"origin": ADDRESS}).status_code == 403
    assert ada.post(path, data={"csrf": other.seen}, headers={"origin": ADDRESS}).status_code == 403
    for origin in ("http://evil.example", "null", "http://127.0.0.1:9000", "http://127.0.0.1:8000.evil.example"):
        assert ada.post(path, data=own, headers={"origin": origin}).status_code == 403
    assert ada.post(path, data=own).status_code == 403
    assert "Log out" in ada.read("/"), "the session goes on"


def test_attack_another_host_name_is_pointed_at_the_desk(ada: Browser) -> None:
    assert ada.get("/", headers={"host": "evil.example"}).status_code == 400
    assert ada.get("/", headers={"host": "127.0.0.1.evil.example:8000"}).status_code == 400


def test_every_answer_has_strict_headers(ada: Browser) -> None:
    for path in ("/", "/login", "/receive", "/static/desk.css", "/nothing"):
        headers = ada.get(path).headers
        policy = headers["content-security-policy"]
        assert "unsafe" not in policy
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert (headers["x-frame-options"], headers["cache-control"]) == ("DENY", "no-store")
        assert headers["x-content-type-options"] == "nosniff"


def test_attack_a_body_is_larger_than_it_says(ada: Browser) -> None:
    big = b"x" * (MOST_UPLOAD + 1)
    files = {"file": ("n.eml", big)}
    assert ada.submit("/receive", files=files).status_code == 413

    def pieces() -> object:
        yield b'--b\r\ncontent-disposition: form-data; name="file"; filename="n"\r\n\r\n'
        for _ in range(12):
            yield b"x" * 1_000_000

    kind = {"origin": ADDRESS, "content-type": "multipart/form-data; boundary=b", "x-csrf-token": ada.seen}
    assert ada.post("/receive", content=pieces(), headers=kind).status_code == 413  # pyright: ignore[reportArgumentType]
    assert ada.submit("/receive", headers={"content-length": "-1"}).status_code in (400, 413)


SECRET = "0123456789abcdef" * 2


@pytest.fixture
def proxy(tmp_path: Path) -> dict[str, str]:
    """The settings of a desk behind a proxy on the same machine."""
    file = tmp_path / "proxy-secret"
    file.write_text(f"{SECRET}\n")
    file.chmod(0o640)
    return {
        "EXPUNGE_DESK_HEADER": "X-User",
        "EXPUNGE_DESK_PROXY": "127.0.0.1",
        "EXPUNGE_DESK_PROXY_SECRET": str(file),
    }


def said(name: str, secret: str = SECRET) -> list[tuple[str, str]]:
    return [("x-user", name), ("x-expunge-proxy-secret", secret)]


def admits(browser: Browser, headers: Any) -> bool:
    return browser.get("/login", headers=headers, follow_redirects=False).status_code == 303


def test_a_proxy_vouches_for_a_person(visit: Visit, proxy: dict[str, str]) -> None:
    browser = visit(**proxy)
    assert admits(browser, said("ada"))
    assert "ada" in browser.get("/", headers=said("ada")).text  # pyright: ignore[reportArgumentType]
    for headers in ([], said("eve")):
        answer = browser.get("/", headers=headers, follow_redirects=False)  # pyright: ignore[reportArgumentType]
        assert answer.status_code == 303, "the cookie alone"


def test_attack_a_user_of_the_same_machine_sends_the_header_of_the_proxy(visit: Visit, proxy: dict[str, str]) -> None:
    for headers in (said("ada")[:1], said("ada", "x" * 32), said("ada", ""), [*said("ada"), said("ada", "x")[1]]):
        assert not admits(visit(**proxy), headers), headers
    browser = visit(**proxy)
    assert admits(browser, said("ada"))
    answer = browser.get("/", headers=said("ada")[:1], follow_redirects=False)  # pyright: ignore[reportArgumentType]
    assert answer.status_code == 303, "the cookie that the proxy got counts with the secret alone"


def test_attack_a_secret_that_others_can_read_or_guess(home: Path, proxy: dict[str, str]) -> None:
    file = Path(proxy["EXPUNGE_DESK_PROXY_SECRET"])
    with pytest.raises(UsageError, match="EXPUNGE_DESK_PROXY_SECRET to a file"):
        Door.of(home, {**proxy, "EXPUNGE_DESK_PROXY_SECRET": ""})
    file.chmod(0o644)
    with pytest.raises(UsageError, match="every user can read"):
        Door.of(home, proxy)
    file.chmod(0o600)
    assert SECRET not in repr(Door.of(home, proxy))
    for content in ("", "short", "é" * 40, "a" * 20 + "\n" + "b" * 20):
        file.write_text(content)
        with pytest.raises(UsageError, match="32 or more plain characters"):
            Door.of(home, proxy)
    with pytest.raises(UsageError, match="cannot be read"):
        Door.of(home, {**proxy, "EXPUNGE_DESK_PROXY_SECRET": str(file) + "x"})


def test_attack_somebody_else_sends_the_header_of_the_proxy(visit: Visit, home: Path, proxy: dict[str, str]) -> None:
    browser = visit(**{**proxy, "EXPUNGE_DESK_PROXY": "10.0.0.7"})
    assert not admits(browser, [*said("ada"), ("x-forwarded-for", "10.0.0.7")])
    assert browser.get("/", headers={"x-user": "ada"}, follow_redirects=False).status_code == 303
    assert not admits(visit(**proxy), [*said("ada"), ("x-user", "eve")])
    with pytest.raises(UsageError, match="EXPUNGE_DESK_PROXY"):
        Door.of(home, {"EXPUNGE_DESK_HEADER": "X-User"})


def test_attack_a_session_that_logged_out_comes_back_after_a_restart(ada: Browser, visit: Visit) -> None:
    copy = cookie_of(ada)
    ada.submit("/logout")
    assert visit().get("/", headers=copy, follow_redirects=False).status_code == 303


def test_attack_a_stranger_sends_ten_megabytes(visit: Visit) -> None:
    browser = visit()
    browser.read("/login")
    for path in ("/login", "/receive"):
        assert browser.submit(path, {"token": "x" * 20_000}).status_code == 413


@pytest.mark.parametrize("most", [{"text": 1_000_001}, {"kind": 2_001}, {"received": 2_001}])
def test_attack_a_field_is_filled_with_a_book(most: dict[str, int], ada: Browser) -> None:
    ((name, size),) = most.items()
    for more in ({}, {"files": {"file": ("n.eml", b"x")}}):
        answer = ada.submit("/receive", {"text": "a", name: "x" * size}, **more)
        assert (answer.status_code, f"{name}: {size} characters" in answer.text) == (400, True), answer.text[:600]


@pytest.mark.parametrize("content", ["[]", "{", '{"ada": "x"}', '{"": "' + "0" * 64 + '"}'])
def test_a_file_of_tokens_that_is_none_lets_nobody_in(content: str, door: Door) -> None:
    door.tokens.parent.mkdir(parents=True)
    door.tokens.write_text(content)
    with pytest.raises(UsageError, match="desk-tokens"):
        door.person_with("x")
