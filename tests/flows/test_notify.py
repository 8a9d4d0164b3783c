"""Notifications on a real mail server and a real webhook: each thing once, no name, and nothing lost on a failure."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller

from expunge.flows.casework.notices import record_notice
from expunge.flows.casework.notify import SENT, notify
from expunge.flows.reverify import tell_people
from expunge.tasks.core.errors import UsageError
from expunge.tasks.ledger.case import open_case
from expunge.tasks.ledger.recorder import journal
from tests.flows.conftest import run_cli
from tests.tasks.ledger.signatures.test_trust import told as found_wanting
from tests.tasks.ledger.test_decisions import Desk
from tests.tasks.ledger.test_decisions import desk as desk  # the fixture
from tests.tasks.records import LINE, published

NCII = 'notice_version: "1"\nkind: ncii\nelements:\n  material: a picture of Eva Moss, at /m/%d\n'


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EXPUNGE_HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


class Mailbox:
    """Keeps what comes in."""

    def __init__(self) -> None:
        self.mails: list[str] = []

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        self.mails.append(envelope.content.decode())
        return "250 OK"


@pytest.fixture
def mail() -> Iterator[tuple[str, list[str]]]:
    box = Mailbox()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    controller = Controller(box, hostname="127.0.0.1", port=port)
    controller.start()
    yield f"mailto://127.0.0.1:{port}?from=desk@house.example&to=ada@house.example", box.mails
    controller.stop()


@pytest.fixture
def hook() -> Iterator[tuple[str, list[Any], list[int]]]:
    """A webhook; the status that it answers can be set."""
    found: list[Any] = []
    status = [200]

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["content-length"]))
            if status[0] == 200:
                found.append(json.loads(content))
            self.send_response(status[0])
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"json://127.0.0.1:{server.server_port}/", found, status
    server.shutdown()
    server.server_close()


def received(home: Path, number: int, hours: float = 0) -> str:
    at = datetime.now(UTC) - timedelta(hours=hours)
    return record_notice((NCII % number).encode(), "n", None, at, None, home)["request_id"]


def test_a_mail_and_a_webhook_are_told_once(home: Path, mail: Any, hook: Any) -> None:
    (to_mail, mails), (to_hook, posts, _) = mail, hook
    assert notify(home, [to_mail, to_hook])["sent"] == [], "a first run on nothing"
    number = received(home, 1)
    assert [one["what"] for one in notify(home, [to_mail, to_hook])["sent"]] == ["received", "due soon"] * 2
    assert [number in one["message"] for one in posts] == [True, True]
    assert len(mails) == 2
    assert number in mails[0]
    assert notify(home, [to_mail, to_hook])["sent"] == []
    assert "Eva" not in "".join(mails) + json.dumps(posts)


def test_the_first_run_tells_what_is_open_and_not_the_past(home: Path, hook: Any) -> None:
    received(home, 1, hours=60)
    sent = notify(home, [hook[0]])["sent"]
    assert [one["what"] for one in sent] == ["late"]
    assert notify(home, [hook[0]])["sent"] == []


def test_what_was_not_taken_is_sent_again(home: Path, hook: Any) -> None:
    address, posts, status = hook
    notify(home, [address])
    received(home, 1)
    status[0] = 500
    failed = notify(home, [address])
    assert (failed["sent"], failed["exit_code"], len(failed["problems"])) == ([], 8, 2)
    status[0] = 200
    assert len(notify(home, [address])["sent"]) == 2
    assert len(posts) == 2


def test_people_are_told_that_it_waits_and_that_it_is_published(desk: Desk, hook: Any) -> None:
    address, posts, _ = hook
    case = desk.submitted("eva-moss")
    assert [one["what"] for one in notify(desk.home, [address])["sent"]] == ["awaiting you"]
    desk.approve(request_id="eva-moss")
    case = open_case(case.order)
    desk.publish(case)
    assert [one["what"] for one in notify(desk.home, [address])["sent"]] == ["published"]
    assert "eva" not in json.dumps(posts).lower(), "an id that people choose can name a person"


def received_one(home: Path) -> None:
    received(home, 1)


def late_one(home: Path) -> None:
    received(home, 1, hours=60)


def awaiting_one(home: Path) -> None:
    Desk(home.parent, pytest.MonkeyPatch()).submitted("eva-moss")


def published_one(home: Path) -> None:
    """What a person approved is published after the first message to an address, which tells no past."""
    made = Desk(home.parent, pytest.MonkeyPatch())
    case = made.submitted("eva-moss")
    made.approve(request_id="eva-moss")
    made.publish(open_case(case.order))


def suspect_one(home: Path) -> None:
    found_wanting(journal(home, LINE), "FAIL", ["eva-moss is seen"])


@pytest.mark.parametrize("to", ["mail", "hook"])
@pytest.mark.parametrize(
    ("what", "happen"),
    [
        ("received", received_one),
        ("due soon", received_one),
        ("late", late_one),
        ("awaiting you", awaiting_one),
        ("published", published_one),
        ("suspect", suspect_one),
    ],
)
@pytest.mark.usefixtures("desk")
def test_each_event_reaches_a_mailbox_and_a_webhook_once(
    to: str, what: str, happen: Callable[[Path], None], home: Path, mail: Any, hook: Any
) -> None:
    """The mail server and the webhook take it for real, and each shows the title and no name."""
    if what == "suspect":
        home.rmdir()
        published(home.parent)
    address = mail[0] if to == "mail" else hook[0]
    notify(home, [address])
    happen(home)
    assert what in [one["what"] for one in notify(home, [address])["sent"]]
    came = mail[1] if to == "mail" else [json.dumps(post) for post in hook[1]]
    assert len([one for one in came if f"expunge: {what}" in one]) == 1, came
    assert notify(home, [address])["sent"] == []
    assert "eva" not in "".join(came).lower()


def test_the_command_says_what_is_missing(home: Path, hook: Any) -> None:
    assert run_cli("notify").code == 2
    assert "EXPUNGE_NOTIFY" in run_cli("notify", EXPUNGE_NOTIFY="nothing-known://secret-password").err
    assert "secret-password" not in run_cli("notify", EXPUNGE_NOTIFY="nothing-known://secret-password").err
    done = run_cli("notify", EXPUNGE_NOTIFY=hook[0])
    assert (done.code, "Nothing new" in done.out) == (0, True), done.err
    (home / SENT).write_text("{")
    with pytest.raises(UsageError, match="remove it"):
        notify(home, [hook[0]])


def test_a_new_address_is_told_what_is_open_and_not_the_past(home: Path, hook: Any) -> None:
    address = hook[0]
    received(home, 1)
    notify(home, [address])
    added = f"{address}?format=text"
    assert [one["what"] for one in notify(home, [address, added])["sent"]] == ["due soon"]
    received(home, 2)
    assert len(notify(home, [address, added])["sent"]) == 4


def test_people_are_told_once_that_what_is_published_is_suspect(tmp_path: Path, hook: Any) -> None:
    address, posts, _ = hook
    (tmp_path / "line").mkdir()
    record = published(tmp_path / "line")
    notify(record.home, [address])
    found_wanting(journal(record.home, LINE), "FAIL", ["eva-moss is seen"])
    (sent,) = notify(record.home, [address])["sent"]
    assert (sent["what"], sent["title"]) == ("suspect", "expunge: suspect")
    assert "is suspect: what it published was not proven again." in sent["text"]
    assert "eva" not in json.dumps(posts)
    assert notify(record.home, [address])["sent"] == []
    found_wanting(journal(record.home, LINE), "FAIL", ["bicycle is seen"])
    assert [one["what"] for one in notify(record.home, [address])["sent"]] == ["suspect"], "for another reason"


def test_the_nightly_check_tells_people_and_no_failure_to_do_so_changes_it(
    home: Path, hook: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    address, posts, status = hook
    received(home, 1)
    tell_people(home)
    assert posts == [], "nobody is named"
    monkeypatch.setenv("EXPUNGE_NOTIFY", address)
    tell_people(home)
    assert len(posts) == 1
    received(home, 2)
    status[0] = 500
    tell_people(home)
    monkeypatch.setenv("EXPUNGE_NOTIFY", "nothing-known://secret-password")
    tell_people(home)
    assert "nobody was told" in caplog.text
    assert "secret-password" not in caplog.text
