"""Time stamps by RFC 3161, of a real responder (OpenSSL's) behind a local server."""

from __future__ import annotations

import shutil
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from expunge.tasks.core.errors import ServiceUnreachable, UsageError
from expunge.tasks.ledger.receipt import Receipt
from expunge.tasks.ledger.recorder import journal
from expunge.tasks.ledger.signatures import timestamps
from expunge.tasks.ledger.signatures.timestamps import check_server, stamp_problems, stamping, unchecked_stamps

CONFIG = """
[tsa]
default_tsa = own
[own]
serial = {folder}/serial
signer_cert = {folder}/tsa.pem
signer_key = {folder}/tsa.key
signer_digest = sha256
default_policy = 1.2.3.4
digests = sha256
ess_cert_id_alg = sha256
ess_cert_id_chain = no
accuracy = secs:1
ordering = no
tsa_name = no
[req]
distinguished_name = name
[name]
"""
CHAIN = """
openssl req -config tsa.cnf -x509 -newkey rsa:2048 -nodes -keyout root.key -out root.pem -days 9 -subj /CN=root \
  -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign
openssl req -config tsa.cnf -newkey rsa:2048 -nodes -keyout tsa.key -out tsa.csr -subj /CN=tsa
printf 'extendedKeyUsage=critical,timeStamping\\nkeyUsage=critical,digitalSignature\\n' > ext
openssl x509 -req -in tsa.csr -CA root.pem -CAkey root.key -set_serial 2 -out tsa.pem -days 9 -extfile ext
printf 01 > serial
"""


class Responder(BaseHTTPRequestHandler):
    folder: Path

    def do_POST(self) -> None:
        (self.folder / "query").write_bytes(self.rfile.read(int(self.headers["Content-Length"])))
        words = ("openssl", "ts", "-reply", "-config", "tsa.cnf", "-queryfile", "query", "-out", "answer")
        subprocess.run(words, cwd=self.folder, check=True, capture_output=True)
        content = (self.folder / "answer").read_bytes()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


def responder(folder: Path) -> ThreadingHTTPServer:
    """A time-stamp server with a root of its own, in `root.pem`."""
    folder.mkdir()
    (folder / "tsa.cnf").write_text(CONFIG.format(folder=folder))
    subprocess.run(["sh", "-ec", CHAIN], cwd=folder, check=True, capture_output=True)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Own", (Responder,), {"folder": folder}))
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    return server


@pytest.fixture
def tsa(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of a time-stamp server that runs and is configured."""
    if not shutil.which("openssl"):
        pytest.skip("openssl is not installed")
    server = responder(folder := tmp_path / "tsa")
    monkeypatch.setenv("EXPUNGE_TSA", f"http://127.0.0.1:{server.server_address[1]}")
    monkeypatch.setenv("EXPUNGE_TSA_ROOT", str(folder / "root.pem"))
    yield folder
    server.shutdown()
    server.server_close()


def written(home: Path, step: str = "read") -> Receipt:
    return journal(home, "emoji").append(
        step, request_id="one", who="ann", inputs={}, outputs={}, versions={"expunge": "0.20.0", **stamping()}
    )


def told(home: Path) -> list[str]:
    return [problem for _, problem in stamp_problems(home, journal(home, "emoji").receipts())]


def token(home: Path, receipt: Receipt) -> Path:
    return home / "timestamps" / "emoji" / receipt.file_name.replace(".json", ".tsr")


def test_every_receipt_has_a_token_that_the_audit_holds_against_the_root(tsa: Path, tmp_path: Path) -> None:
    check_server()
    first, second = written(tmp_path), written(tmp_path, "planned")
    assert told(tmp_path) == []
    assert unchecked_stamps([first, second]) == 0
    kept = token(tmp_path, second).read_bytes()
    token(tmp_path, second).write_bytes(token(tmp_path, first).read_bytes())
    assert ["Mismatch between messages" in one for one in told(tmp_path)] == [True], "the token of another receipt"
    token(tmp_path, second).write_bytes(kept[:-1] + bytes([kept[-1] ^ 1]))
    assert len(told(tmp_path)) == 1, "a changed byte"
    token(tmp_path, second).unlink()
    assert ["has no time stamp" in one for one in told(tmp_path)] == [True], "a token that was removed"


def test_attack_a_server_of_his_own_vouches_for_nothing(
    tsa: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(tmp_path)
    other = responder(tmp_path / "other")
    monkeypatch.setenv("EXPUNGE_TSA_ROOT", str(tmp_path / "other" / "root.pem"))
    assert "does not count" in told(tmp_path)[0]
    with pytest.raises(ServiceUnreachable, match="gives no token that counts"):
        written(tmp_path, "planned")
    assert len(journal(tmp_path, "emoji").receipts()) == 1
    other.shutdown()
    other.server_close()


def test_attack_a_receipt_written_later_is_dated_back_or_left_without_a_token(
    tsa: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Yesterday(timestamps.datetime):
        @classmethod
        def now(cls, tz: object = None) -> timestamps.datetime:
            return super().now(timestamps.UTC) - timestamps.timedelta(days=1)

    written(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr("expunge.tasks.ledger.ledger.datetime", Yesterday)
        with pytest.raises(ServiceUnreachable, match="and the receipt says"):
            written(tmp_path, "planned")
    monkeypatch.delenv("EXPUNGE_TSA")
    bare = written(tmp_path, "planned")
    assert ["has no time stamp" in one for one in told(tmp_path)] == [True]
    monkeypatch.delenv("EXPUNGE_TSA_ROOT")
    assert unchecked_stamps(journal(tmp_path, "emoji").receipts()) == 1
    assert unchecked_stamps([bare]) == 0


def test_a_server_that_does_not_answer_leaves_no_receipt(
    tsa: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EXPUNGE_TSA", "http://127.0.0.1:9")
    for ask in (check_server, lambda: written(tmp_path)):
        with pytest.raises(ServiceUnreachable, match=r"does not answer.*take EXPUNGE_TSA away.*the audit says so"):
            ask()
    assert journal(tmp_path, "emoji").receipts() == []
    monkeypatch.setenv("EXPUNGE_TSA", "file:///etc/hostname")
    with pytest.raises(UsageError, match="give the http or https address"):
        check_server()
    monkeypatch.setenv("EXPUNGE_TSA_ROOT", str(tmp_path / "none.pem"))
    with pytest.raises(UsageError, match=r"EXPUNGE_TSA_ROOT is .*none\.pem"):
        check_server()
