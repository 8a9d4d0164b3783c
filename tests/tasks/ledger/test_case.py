"""A case is read once, and what proves something is read again: the chain at each receipt, a base that was touched."""

from __future__ import annotations

import os
import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest
from prefect.utilities.collections import visit_collection

from expunge.engine.emoji import JUDGE, MODEL
from expunge.engine.files.digests import folder_digest
from expunge.policies import Policy, read
from expunge.tasks.core import base_model
from expunge.tasks.core.base_model import locate
from expunge.tasks.core.errors import IntegrityError, LedgerError
from expunge.tasks.core.settings import Settings
from expunge.tasks.intake import read_task
from expunge.tasks.ledger import policy_store
from expunge.tasks.ledger.case import Case, open_case
from expunge.tasks.ledger.ledger import Ledger
from expunge.tasks.ledger.line.status import LineStatus
from expunge.tasks.ledger.queries import line_of
from expunge.tasks.ledger.recorder import journal
from tests.flows.conftest import policy_file
from tests.tasks.handed_in import on_a_folder

PERSON = "bicycle"


@pytest.fixture
def case(tmp_path: Path) -> Case:
    """A case as the flow's first task opens it."""
    path, home = policy_file(tmp_path, folder_digest(MODEL), "opened", PERSON), tmp_path / "home"
    policy = read(path)
    return read_task.fn(policy, path.read_bytes(), journal(home, line_of(policy, home)), Settings(home, "", "", ""))


def test_prefect_sees_no_policy_in_a_case_and_nobody_can_pickle_it(case: Case) -> None:
    """Of a case that is handed to a task Prefect walks through every field, and persists what can be pickled."""
    seen: list[Any] = []
    visit_collection(case, seen.append, return_data=False)
    assert case.order.line in seen, "it does walk through it"
    assert not [each for each in seen if isinstance(each, Policy) or each == PERSON]
    assert PERSON not in repr(case)
    with pytest.raises(TypeError):
        pickle.dumps(case)


def test_a_case_needs_no_file_that_it_was_opened_with(case: Case) -> None:
    policy, state = case.policy, case.order.desired
    shutil.rmtree(case.order.home / "policies")
    (case.order.folder / "state.json").unlink()
    counted = case.counted(2)
    assert (counted.policy, counted.order.desired, counted.order.attempt) == (policy, state, 2)


def test_a_receipt_takes_one_reading_of_the_chain_and_a_question_none(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_again = list[str]()
    stored = Ledger._stored

    def counted(ledger: Ledger) -> Any:
        read_again.append(ledger.line)
        return stored(ledger)

    monkeypatch.setattr(Ledger, "_stored", counted)
    made = case.note("planned", {"state": case.order.state}, {})
    assert (len(read_again), case.receipts[-1]) == (1, made)
    assert (case.note("planned", {"state": case.order.state}, {}), len(read_again)) == (made, 2)
    assert case.ledger.last("planned", {"work": case.order.key}) == made
    assert len(read_again) == 2
    assert open_case(case.order).receipts == case.receipts


def test_attack_a_receipt_is_removed_while_a_case_is_open(case: Case) -> None:
    """What the case has read holds no receipt together that is not on disk."""
    for path in (case.order.home / "receipts" / case.order.line).glob("*.json"):
        path.unlink()
    shutil.rmtree(case.order.home / "signatures")
    case.note("planned", {"state": case.order.state}, {})
    assert [receipt.step for receipt in case.chain] == ["read", "planned"], "it is put back first, and read again"
    assert len(journal(case.order.home, case.order.line).receipts()) == 2
    (case.order.home / "receipts" / case.order.line / "note.txt").write_text("foreign")
    with pytest.raises(LedgerError, match="foreign file"):
        case.note("erased", {"base": case.order.base}, {})


def test_attack_a_weight_is_exchanged_after_the_first_look_and_its_time_is_set_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A base is hashed once in a process, unless somebody touched a file of it."""
    base = shutil.copytree(MODEL, tmp_path / "base")
    path = on_a_folder(policy_file(tmp_path, folder_digest(MODEL), "asked"))
    path.write_text(path.read_text().replace(f"file:{MODEL}", f"file:{base}"))
    monkeypatch.setenv("EXPUNGE_JUDGE", str(JUDGE))
    hashed = list[Path]()

    def counted(folder: Path) -> str:
        hashed.append(folder)
        return folder_digest(folder)

    monkeypatch.setattr(base_model, "folder_digest", counted)
    assert locate(read(path)) == locate(read(path)) == (base, JUDGE)
    assert hashed == [base]
    weights = next(base.glob("unet/*.safetensors"))
    before, content = weights.stat(), weights.read_bytes()
    weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    os.utime(weights, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (weights.stat().st_size, weights.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    with pytest.raises(IntegrityError, match=r"base\.sha256"):
        locate(read(path))


def test_a_receipt_reads_no_policy_that_an_earlier_one_read(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    case.note("planned", {"state": case.order.state, "policy": case.order.policy}, {})
    opened, kept = list[str](), policy_store._kept

    def counted(home: Path, digest: str) -> Policy | None:
        opened.append(digest)
        return kept(home, digest)

    monkeypatch.setattr(policy_store, "_kept", counted)
    case.note("erased", {"state": case.order.state, "policy": case.order.policy}, {})
    assert opened == []


def test_attack_a_published_policy_that_nobody_hands_over_is_missing(case: Case) -> None:
    """A status is never worked out as if a policy that was published were none."""
    case.note("published", {"policy": case.order.policy}, {"bundle": "0" * 64})
    assert case.status is not None
    assert case.status.lost == ()
    status = LineStatus.among(case.chain, {}, {})
    assert status is not None
    assert not status.restored
    assert case.order.policy in status.lost[0]
