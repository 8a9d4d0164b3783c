"""The next receipt is found by its signature, whatever else lies in the folder of the signatures."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from expunge.tasks.ledger.receipt import Receipt
from expunge.tasks.ledger.recorder import journal
from expunge.tasks.ledger.signatures.trust import Signatures
from tests.tasks.records import LINE


@pytest.fixture
def chain(tmp_path: Path) -> list[Receipt]:
    return [append(tmp_path) for _ in range(3)]


def append(home: Path, version: str = "0.3.0") -> Receipt:
    return journal(home, LINE).append(
        "read", request_id="r", who="x", inputs={}, outputs={}, versions={"expunge": version}
    )


def signatures(home: Path) -> Path:
    return home / "signatures" / LINE


def test_the_signature_of_the_next_receipt_is_found(tmp_path: Path, chain: list[Receipt]) -> None:
    known = Signatures(tmp_path, LINE)
    assert known.following(chain[:2]) == chain[2]
    assert known.following([]) == chain[0]
    assert known.following(chain) is None


def test_a_later_receipt_is_not_the_next_one(tmp_path: Path, chain: list[Receipt]) -> None:
    (signatures(tmp_path) / chain[1].file_name).unlink()
    assert Signatures(tmp_path, LINE).following(chain[:1]) is None


def test_a_receipt_after_another_head_is_not_the_next_one(tmp_path: Path, chain: list[Receipt]) -> None:
    other = Receipt.model_validate({**chain[0].model_dump(), "who": "somebody else"})
    assert Signatures(tmp_path, LINE).following([other]) is None


def test_attack_files_that_are_no_signatures_hide_the_next_one(tmp_path: Path, chain: list[Receipt]) -> None:
    folder = signatures(tmp_path)
    (folder / "000000-a-folder").mkdir()
    (folder / "000000-junk").write_bytes(b"no envelope")
    (folder / "000000-lost").symlink_to(folder / "nowhere")
    assert Signatures(tmp_path, LINE).following(chain[:2]) == chain[2]


def test_attack_a_signature_has_the_name_of_another_receipt(tmp_path: Path, chain: list[Receipt]) -> None:
    folder = signatures(tmp_path)
    (folder / chain[2].file_name).rename(folder / f"000003-{'0' * 64}.json")
    assert Signatures(tmp_path, LINE).following(chain[:2]) is None


def test_without_signatures_nothing_follows(tmp_path: Path, chain: list[Receipt]) -> None:
    shutil.rmtree(signatures(tmp_path))
    assert Signatures(tmp_path, LINE).following(chain[:2]) is None


def test_only_who_noted_the_last_receipt_needs_no_signature(tmp_path: Path) -> None:
    chain = [append(tmp_path, "0.2.4")]
    shutil.rmtree(signatures(tmp_path))
    assert len(Signatures(tmp_path, LINE, [], noted=["0" * 64]).problems(chain)) == 1
    assert Signatures(tmp_path, LINE, [], noted=[chain[0].digest]).problems(chain) == []


def test_who_noted_the_first_receipt_noted_no_end(tmp_path: Path) -> None:
    chain = [append(tmp_path, "0.2.4"), append(tmp_path, "0.2.4")]
    shutil.rmtree(signatures(tmp_path))
    (problem,) = Signatures(tmp_path, LINE, [], noted=[chain[0].digest]).problems(chain)
    assert problem.startswith("receipt 2")
    assert Signatures(tmp_path, LINE, [], noted=[chain[1].digest]).problems(chain) == []
