"""Receipts are signed with the operator's key, and what somebody without it may do shows."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from securesystemslib.dsse import Envelope

from expunge.canonical_json import canonical_json
from expunge.tasks.core.errors import LedgerError, UsageError
from expunge.tasks.ledger.ledger import Ledger
from expunge.tasks.ledger.receipt import Receipt
from expunge.tasks.ledger.recorder import journal
from expunge.tasks.ledger.signatures import signing
from expunge.tasks.ledger.signatures.keys import public_key
from expunge.tasks.ledger.signatures.trust import trusted_keys
from tests.tasks.ledger.signatures.keys import write_key
from tests.tasks.records import LINE


def append(home: Path, step: str = "read", version: str = "0.3.0") -> Receipt:
    ledger = journal(home, LINE)
    return ledger.append(step, request_id="r", who="x", inputs={}, outputs={}, versions={"expunge": version})


def doubts(home: Path, *keys: Path) -> list[str]:
    """What is wrong with the signatures, by these keys or by those that the home trusts."""
    (chain, _), known = Ledger(home / "receipts", LINE).read(), [public_key(path) for path in keys]
    found = signing.checked(home, chain, known or trusted_keys(home))
    return [problem for _, problem in signing.doubts(chain, found, strict=True)]


def envelopes(home: Path) -> list[Path]:
    return sorted((home / "signatures" / LINE).iterdir())


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def stranger(tmp_path: Path) -> tuple[Path, Path]:
    return write_key(tmp_path, "stranger")


def test_every_receipt_is_signed_by_the_operators_key(home: Path, operator: Path) -> None:
    chain = [append(home), append(home)]
    assert doubts(home, operator) == doubts(home) == []
    for receipt, path in zip(chain, envelopes(home), strict=True):
        envelope = Envelope.from_dict(json.loads(path.read_bytes()))
        assert (path.name, envelope.payload) == (receipt.file_name, receipt.content)
        assert list(envelope.verify([public_key(operator)], 1)) == list(envelope.signatures)


def test_a_home_without_a_key_makes_one_that_its_owner_alone_can_read(home: Path) -> None:
    append(home)
    key = home / "private" / "signing.pem"
    assert (key.stat().st_mode & 0o777, key.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    made = key.read_bytes()
    append(home)
    assert key.read_bytes() == made
    assert doubts(home) == []
    assert [path.name for path in key.parent.iterdir()] == ["signing.pem"]


def test_the_private_key_is_not_kept_where_one_was_given(home: Path, operator: Path) -> None:
    append(home)
    private = Path(os.environ["EXPUNGE_SIGNING_KEY"]).read_bytes()
    assert not (home / "private").exists()
    assert all(private not in path.read_bytes() for path in home.rglob("*") if path.is_file())


def test_a_new_key_leaves_what_the_old_one_signed(
    home: Path, operator: Path, stranger: tuple[Path, Path], monkeypatch
) -> None:
    append(home)
    monkeypatch.setenv("EXPUNGE_SIGNING_KEY", str(stranger[0]))
    with pytest.raises(LedgerError, match=r"signed by none of the keys.*name the public halves of former ones by EXP"):
        append(home)
    monkeypatch.setenv("EXPUNGE_TRUSTED_KEYS", str(operator))
    append(home)
    assert doubts(home, operator, stranger[1]) == doubts(home) == []
    assert doubts(home, operator) == ["is signed by none of the keys"]


def test_attack_the_whole_record_is_written_anew_with_another_key(
    home: Path, operator: Path, stranger: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    append(home)
    shutil.rmtree(home)
    monkeypatch.setenv("EXPUNGE_SIGNING_KEY", str(stranger[0]))
    append(home, "refused")
    assert doubts(home) == []  # the record alone does not show it
    assert doubts(home, operator) == ["is signed by none of the keys"]


def test_attack_a_new_record_says_it_is_of_before_there_were_signatures(home: Path, operator: Path) -> None:
    append(home, version="0.2.4")
    shutil.rmtree(home / "signatures")
    assert doubts(home) == doubts(home, operator) == [f"has no signature, {signing.OLDER}"]
    with pytest.raises(LedgerError, match="has no signature"):
        append(home)


def test_attack_signatures_are_removed(home: Path, operator: Path) -> None:
    append(home)
    append(home)
    shutil.rmtree(home / "signatures")
    assert doubts(home) == doubts(home, operator) == ["has no signature"] * 2


def test_attack_the_public_key_is_damaged(home: Path, operator: Path) -> None:
    append(home)
    (path,) = (home / "keys").iterdir()
    path.write_bytes(b"no key")
    assert doubts(home) == doubts(home, operator) == [], "it is for who has no other copy of it, and decides nothing"


def test_attack_a_receipt_takes_the_signature_of_another(home: Path, operator: Path) -> None:
    append(home)
    append(home)
    first, second = envelopes(home)
    shutil.copy(first, second)
    assert doubts(home, operator) == ["has the signature of something else"]


def forged_payload(envelope: dict) -> None:
    envelope["signatures"][0]["sig"] = "A" * 86 + "=="


def forged_type(envelope: dict) -> None:
    envelope["payloadType"] = "text/plain"


def forged_signers(envelope: dict) -> None:
    envelope["signatures"] = []


def forged_shape(envelope: dict) -> None:
    envelope["signatures"] = "none"


@pytest.mark.parametrize("forge", [forged_payload, forged_type, forged_signers, forged_shape])
def test_attack_a_signature_is_forged(home: Path, operator: Path, forge: Callable[[dict], None]) -> None:
    append(home)
    (path,) = envelopes(home)
    envelope = json.loads(path.read_bytes())
    forge(envelope)
    path.write_bytes(canonical_json(envelope))
    assert len(doubts(home, operator)) == 1


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff", b"[" * 100_000])
def test_attack_a_signature_is_no_envelope(home: Path, operator: Path, content: bytes) -> None:
    append(home)
    envelopes(home)[0].write_bytes(content)
    assert doubts(home, operator) == ["has a signature that cannot be read"]


def test_what_was_written_before_there_were_signatures_is_vouched_for_by_the_next(home: Path, operator: Path) -> None:
    append(home, version="0.2.4")
    append(home)
    envelopes(home)[0].unlink()
    assert doubts(home) == doubts(home, operator) == []
    append(home)


def test_a_record_that_an_operators_key_signed_is_not_gone_on_with_by_a_key_that_lies_in_it(
    home: Path, operator: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker without the variable, one night."""
    append(home)
    before = sorted(home.rglob("*"))
    monkeypatch.delenv("EXPUNGE_SIGNING_KEY")
    with pytest.raises(UsageError, match=r"signed by another key than its own: set EXPUNGE_SIGNING_KEY"):
        signing.check_key(home)
    with pytest.raises(LedgerError, match=r"signed by none of the keys.*set EXPUNGE_SIGNING_KEY"):
        append(home)
    assert [path for path in sorted(home.rglob("*")) if path.suffix != ".lock"] == before


def test_a_home_that_went_over_to_an_operators_key_does_not_fall_back_to_its_own(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    append(home)
    append(home)
    (own,), (private, public) = (home / "keys").iterdir(), write_key(tmp_path, "operator")
    monkeypatch.setenv("EXPUNGE_SIGNING_KEY", str(private))
    monkeypatch.setenv("EXPUNGE_TRUSTED_KEYS", str(own))
    append(home)
    monkeypatch.delenv("EXPUNGE_SIGNING_KEY")
    monkeypatch.setenv("EXPUNGE_TRUSTED_KEYS", f"{own}:{public}")
    with pytest.raises(UsageError, match="signed by another key than its own"):
        append(home)
    monkeypatch.setenv("EXPUNGE_SIGNING_KEY", str(home / "private" / "signing.pem"))
    append(home)


@pytest.mark.parametrize("content", [b"", b"no key", b"-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n"])
def test_a_file_that_holds_no_key_is_named_with_the_cure_and_nothing_is_recorded(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    (wrong := tmp_path / "wrong.pem").write_bytes(content)
    monkeypatch.setenv("EXPUNGE_SIGNING_KEY", str(wrong))
    with pytest.raises(UsageError, match=r"EXPUNGE_SIGNING_KEY is .*wrong.pem.*openssl genpkey"):
        append(home)
    assert journal(home, LINE).receipts() == []
    with pytest.raises(UsageError, match=r"wrong\.pem"):
        signing.check_key(home)
    with pytest.raises(UsageError, match=r"wrong.pem is no public key.*openssl pkey"):
        public_key(wrong)


def test_a_key_that_is_missing_is_not_made(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXPUNGE_SIGNING_KEY", str(tmp_path / "none.pem"))
    with pytest.raises(UsageError, match=r"none\.pem"):
        append(home)
    assert not (tmp_path / "none.pem").exists()


def test_all_that_make_the_first_key_at_once_sign_with_the_same(home: Path) -> None:
    together = threading.Barrier(8)

    def sign(number: int) -> None:
        ledger = journal(home, f"line-{number}")
        together.wait(timeout=60)
        ledger.append("read", request_id="r", who="x", inputs={}, outputs={})

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(sign, range(8)))
    assert len(list((home / "keys").glob("*.pem"))) == 1


@pytest.fixture
def openssl() -> Callable[..., object]:
    """The program, which people make keys with."""
    found = shutil.which("openssl")
    if found is None:
        pytest.skip("openssl is not installed")
    return lambda *words: subprocess.run([found, *map(str, words)], check=True, capture_output=True)


def test_the_examples_of_openssl_make_keys_that_are_taken(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, openssl: Callable[..., object]
) -> None:
    private, public = tmp_path / "private.pem", tmp_path / "public.pem"
    openssl("genpkey", "-algorithm", "ed25519", "-out", private)
    openssl("pkey", "-in", private, "-pubout", "-out", public)
    monkeypatch.setenv("EXPUNGE_SIGNING_KEY", str(private))
    append(home)
    assert doubts(home, public) == []


def test_a_key_that_is_too_short_to_sign_is_named_before_anything_is_recorded(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, openssl: Callable[..., object]
) -> None:
    openssl("genpkey", "-algorithm", "rsa", "-pkeyopt", "rsa_keygen_bits:512", "-out", tmp_path / "short.pem")
    monkeypatch.setenv("EXPUNGE_SIGNING_KEY", str(tmp_path / "short.pem"))
    with pytest.raises(UsageError, match=r"short\.pem, which is no private key .* that can be read and sign"):
        append(home)
    assert not (home / "keys").exists()
