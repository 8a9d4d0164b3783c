"""Statements that are no receipts, the keys that sign them, and the secret that comes from a key."""

from __future__ import annotations

from pathlib import Path

import pytest

from expunge.tasks.ledger.recorder import journal
from expunge.tasks.ledger.signatures import signing
from expunge.tasks.ledger.signatures.keys import public_key
from tests.tasks.ledger.signatures.keys import write_key
from tests.tasks.records import LINE

KIND = "application/vnd.expunge.result+json"


def test_a_statement_comes_back_as_it_was_signed(tmp_path: Path, operator: Path) -> None:
    signed = signing.sign_statement(tmp_path, b"seen: 3", KIND)
    assert signing.open_statement(signed, KIND, [public_key(operator)]) == b"seen: 3"


@pytest.mark.parametrize("kind", [signing.TYPE, KIND + "x", "a", "z", ""])
def test_attack_a_statement_is_handed_in_as_another_kind(tmp_path: Path, operator: Path, kind: str) -> None:
    signed = signing.sign_statement(tmp_path, b"seen: 3", KIND)
    with pytest.raises(ValueError, match="has the signature of something else"):
        signing.open_statement(signed, kind, [public_key(operator)])


def test_attack_a_statement_of_a_stranger_is_handed_in(tmp_path: Path, operator: Path) -> None:
    _, stranger = write_key(tmp_path, "stranger")
    signed = signing.sign_statement(tmp_path, b"seen: 3", KIND)
    with pytest.raises(ValueError, match="is signed by none of the keys"):
        signing.open_statement(signed, KIND, [public_key(stranger)])


def test_a_receipt_is_signed_by_its_key_and_by_no_other(tmp_path: Path, operator: Path) -> None:
    _, stranger = write_key(tmp_path, "stranger")
    receipt = journal(tmp_path, LINE).append("read", request_id="r", who="x", inputs={}, outputs={})
    assert signing.is_signed_by(tmp_path, receipt, public_key(operator))
    assert not signing.is_signed_by(tmp_path, receipt, public_key(stranger))


def test_homes_that_share_a_key_share_its_secret_and_make_no_key(tmp_path: Path, operator: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    assert signing.shared_secret(one, "pictures") == signing.shared_secret(two, "pictures")
    assert not (one / "private").exists()


def test_homes_without_a_key_have_secrets_of_their_own(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    assert signing.shared_secret(one, "pictures") != signing.shared_secret(two, "pictures")
    assert signing.shared_secret(one, "pictures") == signing.shared_secret(one, "pictures")


def test_a_key_is_made_in_a_home_that_is_not_there_yet(tmp_path: Path) -> None:
    home = tmp_path / "of" / "nobody"
    signing.check_key(home)
    assert [key.keyid for key in signing.signing_key(home)] != []
