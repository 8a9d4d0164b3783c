"""The key that signs may be in a file, in a variable, or at a key service, which does not give it out."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from expunge.tasks.core.errors import LedgerError, ServiceUnreachable, UsageError
from expunge.tasks.ledger.receipt import Receipt
from expunge.tasks.ledger.recorder import journal
from expunge.tasks.ledger.signatures import signing
from expunge.tasks.ledger.signatures.keys import public_key
from expunge.tasks.preflight import check_here
from tests.tasks.ledger.signatures.keys import write_key

NAMES = ("EXPUNGE_SIGNING_KEY", "EXPUNGE_PUBLIC_KEY", "EXPUNGE_SHARED_SECRET", "EXPUNGE_KEY_PIN")
SERVICE = "awskms:alias/expunge"


@pytest.fixture
def patch(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    return write_key(tmp_path, "operator")


def append(home: Path) -> Receipt:
    return journal(home, "line").append("read", request_id="r", who="x", inputs={}, outputs={})


@pytest.mark.parametrize("form", ["{path}", "file:{path}", "file2:{path}", "env:KEY_OF_TEST"])
def test_each_form_names_the_same_key(
    home: Path, pair: tuple[Path, Path], patch: pytest.MonkeyPatch, form: str
) -> None:
    private, public = pair
    patch.setenv("KEY_OF_TEST", private.read_text())
    patch.setenv("EXPUNGE_SIGNING_KEY", form.format(path=private))
    signing.check_key(home)
    receipt = append(home)
    assert signing.is_signed_by(home, receipt, public_key(public))
    assert [key.keyid for key in signing.signing_key(home)] == [public_key(public).keyid]
    assert [path.read_bytes() for path in (home / "keys").iterdir()] == [public.read_bytes()]
    patch.setenv("EXPUNGE_SIGNING_KEY", str(private))
    assert signing.shared_secret(home, "pictures") == _secret_by(home, form.format(path=private), patch)


def _secret_by(home: Path, value: str, patch: pytest.MonkeyPatch) -> bytes:
    patch.setenv("EXPUNGE_SIGNING_KEY", value)
    return signing.shared_secret(home, "pictures")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("env:NOT_SET", r"EXPUNGE_SIGNING_KEY is env:NOT_SET, and NOT_SET is not set"),
        ("env:", r"EXPUNGE_SIGNING_KEY is env:, and that is not set"),
        ("env:EMPTY", r"and EMPTY is not set"),
        ("env:NO_KEY", r"EXPUNGE_SIGNING_KEY is env:NO_KEY, which is no private key .*openssl genpkey"),
        ("file:/none.pem", r"EXPUNGE_SIGNING_KEY is file:/none\.pem, which is no private key"),
        ("vault:key", r"EXPUNGE_SIGNING_KEY is vault:key: give PATH, file:PATH or env:NAME, or the URI .*awskms"),
        (SERVICE, r"EXPUNGE_PUBLIC_KEY is not set: set it to a file of the key's public half"),
    ],
)
def test_what_names_no_key_is_refused_with_the_cure(
    home: Path, patch: pytest.MonkeyPatch, value: str, words: str
) -> None:
    patch.setenv("EXPUNGE_SIGNING_KEY", value)
    patch.setenv("EMPTY", "")
    patch.setenv("NO_KEY", "words")
    for work in (signing.check_key, append, signing.signing_key):
        with pytest.raises(UsageError, match=words):
            work(home)
    assert not list(home.rglob("*.json"))
    assert not (home / "private").exists(), "no key of its own takes the place of the one that was named"


def test_a_path_with_a_colon_is_a_path(home: Path, tmp_path: Path, patch: pytest.MonkeyPatch) -> None:
    (folder := tmp_path / "a:b").mkdir()
    private, public = write_key(folder, "c:d")
    patch.chdir(folder)
    for value in (str(private), "c:d.pem"):
        patch.setenv("EXPUNGE_SIGNING_KEY", value)
        assert [key.keyid for key in signing.signing_key(home)] == [public_key(public).keyid]


def test_attack_a_key_that_was_pasted_into_the_variable_is_not_shown(
    home: Path, pair: tuple[Path, Path], patch: pytest.MonkeyPatch
) -> None:
    text = pair[0].read_text()
    for name in ("EXPUNGE_SIGNING_KEY", "EXPUNGE_SHARED_SECRET"):
        patch.setenv(name, text)
        with pytest.raises(UsageError, match=f"{name} holds a key itself: .* set {name} to env:ITS_NAME") as found:
            signing.shared_secret(home, "pictures")
        assert text.splitlines()[1] not in str(found.value)
        patch.delenv(name)


def test_attack_secrets_are_made_from_a_key_that_is_at_a_service(
    home: Path, pair: tuple[Path, Path], tmp_path: Path, patch: pytest.MonkeyPatch
) -> None:
    """From the public key or from nothing anybody could make them."""
    patch.setenv("EXPUNGE_SIGNING_KEY", SERVICE)
    patch.setenv("EXPUNGE_PUBLIC_KEY", str(pair[1]))
    with pytest.raises(UsageError, match=r"EXPUNGE_SHARED_SECRET is not set: make a secret with `openssl rand"):
        signing.shared_secret(home, "pictures")
    for short in (b"", b"secret", b"x" * 31 + b"\n"):
        (tmp_path / "secret").write_bytes(short)
        patch.setenv("EXPUNGE_SHARED_SECRET", f"file:{tmp_path / 'secret'}")
        with pytest.raises(UsageError, match=r"EXPUNGE_SHARED_SECRET is .* bytes: give 32 or more"):
            signing.shared_secret(home, "pictures")
    for wrong in ("file:/none", "env:NOT_SET", SERVICE):
        patch.setenv("EXPUNGE_SHARED_SECRET", wrong)
        with pytest.raises(UsageError, match="EXPUNGE_SHARED_SECRET is "):
            signing.shared_secret(home, "pictures")
    patch.setenv("SECRET_OF_TEST", "ab" * 32)
    patch.setenv("EXPUNGE_SHARED_SECRET", "env:SECRET_OF_TEST")
    made = signing.shared_secret(home, "pictures")
    assert len(made) == 32
    assert made != signing.shared_secret(home, "others")


def test_a_key_service_is_not_asked_by_who_only_reads(
    home: Path, pair: tuple[Path, Path], patch: pytest.MonkeyPatch
) -> None:
    patch.setenv("EXPUNGE_SIGNING_KEY", str(pair[0]))
    append(home)
    patch.setenv("EXPUNGE_SIGNING_KEY", SERVICE)
    patch.setenv("EXPUNGE_PUBLIC_KEY", str(pair[1]))
    assert len(journal(home, "line").receipts()) == 1


@pytest.mark.parametrize(("uri", "extra"), [("gcpkms:projects/p", "gcpkms"), ("hv:expunge/1", "vault")])
def test_a_library_that_is_missing_is_named(
    home: Path, pair: tuple[Path, Path], patch: pytest.MonkeyPatch, uri: str, extra: str
) -> None:
    patch.setenv("EXPUNGE_SIGNING_KEY", uri)
    patch.setenv("EXPUNGE_PUBLIC_KEY", str(pair[1]))
    with pytest.raises(UsageError, match=rf'pip install "securesystemslib\[{extra}\]"'):
        signing.check_key(home)


LIBRARY = Path("/usr/lib/softhsm/libsofthsm2.so")
PIN = "1234"


@pytest.fixture
def token(home: Path, tmp_path: Path, patch: pytest.MonkeyPatch) -> Path:
    """SoftHSM, a key service in software that gives no key out: key 2 signs here, and its public half is returned.

    Its library reads the place of its keys once in a process, so the tests of a process share one token.
    """
    pytest.importorskip("pkcs11")
    if not LIBRARY.exists() or shutil.which("pkcs11-tool") is None:
        pytest.skip("softhsm2 and opensc are not installed")
    folder = Path(tempfile.gettempdir()) / f"softhsm-{os.getpid()}"
    new = not folder.exists()
    (folder / "tokens").mkdir(parents=True, exist_ok=True)
    (folder / "softhsm.conf").write_text(f"directories.tokendir = {folder / 'tokens'}\n")
    patch.setenv("SOFTHSM2_CONF", str(folder / "softhsm.conf"))
    patch.setenv("PYKCS11LIB", str(LIBRARY))
    if new:
        _tool("--init-token", "--slot-index", "0", "--label", "expunge", "--so-pin", PIN)
        _tool("--init-pin", "--so-pin", PIN, "--pin", PIN)
    for number in ("02", "03") if new else ():
        _tool("--login", "--pin", PIN, "--keypairgen", "--key-type", "EC:prime256v1", "--id", number)
    patch.setenv("EXPUNGE_SIGNING_KEY", "hsm:2")
    patch.setenv("EXPUNGE_KEY_PIN", PIN)
    patch.setenv("EXPUNGE_PUBLIC_KEY", str(public := _half(tmp_path, "02")))
    return public


def _tool(*words: str) -> None:
    subprocess.run(["pkcs11-tool", "--module", str(LIBRARY), *words], check=True, capture_output=True)


def _half(folder: Path, number: str) -> Path:
    der, pem = folder / f"{number}.der", folder / f"{number}.pub"
    _tool("--read-object", "--type", "pubkey", "--id", number, "--output-file", str(der))
    key = load_der_public_key(der.read_bytes())
    pem.write_bytes(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return pem


@pytest.mark.slow
def test_a_key_service_signs_receipts(home: Path, token: Path) -> None:
    signing.check_key(home)
    chain = [append(home), append(home)]
    assert journal(home, "line").receipts() == chain
    assert all(signing.is_signed_by(home, one, public_key(token)) for one in chain)
    assert [path.read_bytes() for path in (home / "keys").iterdir()] == [token.read_bytes()]
    assert not (home / "private").exists()


@pytest.mark.slow
def test_attack_a_key_service_signs_with_another_key(
    home: Path, token: Path, tmp_path: Path, patch: pytest.MonkeyPatch
) -> None:
    append(home)
    patch.setenv("EXPUNGE_SIGNING_KEY", "hsm:3")
    for work in (signing.check_key, append):
        with pytest.raises(UsageError, match="signs with another key than EXPUNGE_PUBLIC_KEY has"):
            work(home)
    patch.setenv("EXPUNGE_SIGNING_KEY", "hsm:2")
    assert len(journal(home, "line").receipts()) == 1
    patch.setenv("EXPUNGE_PUBLIC_KEY", str(_half(tmp_path, "03")))
    with pytest.raises(LedgerError, match="signed by none of the keys"):
        append(home)


@pytest.mark.slow
def test_a_key_service_that_does_not_sign_is_named_before_any_work(
    home: Path, token: Path, patch: pytest.MonkeyPatch
) -> None:
    for name, value in (("EXPUNGE_SIGNING_KEY", "hsm:9"), ("EXPUNGE_KEY_PIN", "9999"), ("PYKCS11LIB", "")):
        with patch.context() as changed:
            changed.setenv(name, value)
            for work in (signing.check_key, append):
                with pytest.raises(ServiceUnreachable, match=r"EXPUNGE_SIGNING_KEY is hsm:\d, which does not sign"):
                    work(home)
    patch.delenv("EXPUNGE_KEY_PIN")
    with pytest.raises(UsageError, match="set EXPUNGE_KEY_PIN to it"):
        append(home)
    assert not list(home.rglob("*.json"))


def test_a_cluster_without_a_secret_is_refused_before_any_work(
    home: Path, pair: tuple[Path, Path], patch: pytest.MonkeyPatch
) -> None:
    patch.setenv("EXPUNGE_SIGNING_KEY", SERVICE)
    patch.setenv("EXPUNGE_PUBLIC_KEY", str(pair[1]))
    patch.setenv("EXPUNGE_CREW", "ray")
    patch.setattr("expunge.tasks.preflight.check_key", lambda home: None)  # there is no service to ask here
    with pytest.raises(UsageError, match="EXPUNGE_SHARED_SECRET is not set"):
        check_here(home)
