"""A request that is refused says so on record, with the reason; what only hinders a run for a while is no refusal."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from expunge.engine.emoji import JUDGE, MODEL
from expunge.engine.errors import (
    ConceptError,
    DigestMismatch,
    EditError,
    MissingExtra,
    ModelFormatError,
    SettingError,
    UnknownArchitecture,
)
from expunge.engine.files.digests import folder_digest
from expunge.policies import PolicyConflict, PolicyError, PolicyErrors, read
from expunge.tasks.core.errors import IntegrityError, LedgerError, LimitExceeded, ServiceUnreachable, UsageError
from expunge.tasks.core.paths import DELTAS
from expunge.tasks.core.work_order import Order, Ref
from expunge.tasks.edit import edit_task, plan_task
from expunge.tasks.ledger.case import open_case
from expunge.tasks.ledger.queries import last_order, receipts, states
from expunge.tasks.ledger.receipt import Receipt
from expunge.tasks.ledger.recorder import journal, note, refusals_noted
from tests.engine import tiny
from tests.flows.conftest import policy_file
from tests.tasks.handed_in import handed_in, on_a_folder

INPUTS = {"plan": "1" * 64}
PROBLEM = PolicyError("editor", "does not exist", "use scapre")


@pytest.fixture
def order(tmp_path: Path) -> Order:
    """An order on a tiny model, whose policy was read."""
    base = tiny.save(tmp_path / "base")
    digest = folder_digest(base)
    made = Order("one", "line", "a" * 64, tmp_path, "b" * 64, "e" * 64, digest, base, "d" * 64, base)
    note(made, "read", {"policy": made.policy, "base": made.base}, {"state": made.state})
    return made


def chain(order: Order) -> list[Receipt]:
    return journal(order.home, order.line).receipts()


def accepted(folder: Path, *aliases: str) -> Order:
    """The order of a policy on the built-in model, as the flow's first task leaves it."""
    path = policy_file(folder, folder_digest(MODEL), "one")
    policy = json.loads(path.read_text())
    policy["concepts"][0]["aliases"] = aliases
    path.write_text(json.dumps(policy))
    order = handed_in(path, folder / "home")
    assert [row["state"] for row in states(order.home)] == ["accepted"]
    return order


def test_an_alias_longer_than_the_encoder_reads_is_rejected_with_the_reason(tmp_path: Path) -> None:
    order = accepted(tmp_path, " ".join(["velocipede"] * 15))
    with pytest.raises(ConceptError, match="tokens"):
        plan_task.fn(open_case(order))
    last = chain(order)[-1]
    assert (last.step, last.inputs) == ("refused", {"state": order.state, "base": order.base})
    assert last.verdict is not None
    assert "the encoder reads 32" in str(last.verdict["reasons"])
    assert [row["state"] for row in states(order.home)] == ["rejected"]


def test_a_policy_of_which_nothing_can_be_proven_is_refused_before_anything_is_planned(tmp_path: Path) -> None:
    """It keeps nothing, and asks for no level that adds what has to stay."""
    path = policy_file(tmp_path, folder_digest(MODEL), "one")
    path.write_text(json.dumps({**json.loads(path.read_text()), "retain": []}))
    order = handed_in(path, tmp_path / "home")
    with pytest.raises(PolicyError, match="nothing could be proven: no retained concept"):
        plan_task.fn(open_case(order))
    assert [(row["state"], len(row["reasons"])) for row in states(order.home)] == [("rejected", 1)]
    assert not (order.folder / DELTAS).exists()


def test_a_policy_that_is_turned_away_is_on_record_once_with_the_reason_and_its_deadline(tmp_path: Path) -> None:
    path, home = policy_file(tmp_path, folder_digest(MODEL), "one"), tmp_path / "home"
    policy = json.loads(path.read_text()) | {"kind": "ncii"}
    policy["concepts"][0]["category"] = "identity"
    path.write_text(json.dumps(policy))
    for _ in range(2):  # the second time it is on record
        with pytest.raises(PolicyErrors, match="the judge knows no category 'identity'"):
            handed_in(path, home)
    (receipt,) = receipts(home)
    assert (receipt.step, receipt.inputs["policy"]) == ("refused", read(path).digest)
    assert "identity" in str(receipt.verdict)
    (row,) = states(home)
    assert "identity" in str(row["reasons"])
    assert (row["state"], row["policy_kept"], row["late"]) == ("rejected", True, True)
    assert last_order(home, read(path).digest) is None


def test_a_policy_that_contradicts_one_in_force_is_turned_away_on_record(tmp_path: Path) -> None:
    home, base = tmp_path / "home", folder_digest(MODEL)
    order = handed_in(policy_file(tmp_path, base, "first", erase="rainbow"), home)
    note(order, "published", {"policy": order.policy}, {"bundle": "f" * 64})
    path = policy_file(tmp_path, base, "second")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"seed": 5}))
    with pytest.raises(PolicyConflict, match="differs: 0 and 5"):
        handed_in(path, home)
    assert [(row["request_id"], row["state"]) for row in states(home)] == [
        ("first", "published"),
        ("second", "rejected"),
    ]


def test_what_was_published_stays_so_when_its_policy_is_turned_away_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, home = on_a_folder(policy_file(tmp_path, folder_digest(MODEL), "one")), tmp_path / "home"
    monkeypatch.setenv("EXPUNGE_JUDGE", str(JUDGE))
    order = handed_in(path, home)
    note(order, "published", {"policy": order.policy}, {"bundle": "f" * 64})
    monkeypatch.delenv("EXPUNGE_JUDGE")
    with pytest.raises(PolicyError, match="no judge is known"):
        handed_in(path, home)
    assert [receipt.step for receipt in receipts(home)] == ["read", "published"]
    assert [row["state"] for row in states(home)] == ["published"]


def test_a_plan_that_was_altered_is_rejected_with_the_reason(order: Order) -> None:
    made = order.folder / "deltas.safetensors"
    made.parent.mkdir(parents=True)
    made.write_bytes(b"plan")
    reference = Ref.of(made)
    made.write_bytes(b"another")
    with pytest.raises(IntegrityError):
        edit_task.fn(open_case(order), reference)
    assert [row["state"] for row in states(order.home)] == ["rejected"]
    assert "submit again" in str(chain(order)[-1].verdict)


@pytest.mark.parametrize(
    "error",
    [
        LimitExceeded("limits.max_weight_delta allows 8"),
        ConceptError("an alias is too long"),
        SettingError("no such setting"),
        UnknownArchitecture("no such family"),
        EditError("unet.attn2.to_k.weight", "not finite"),
        ModelFormatError("a pickle"),
        DigestMismatch("base", "a", "b", "fetch it again"),
        IntegrityError("the desired state changed"),
        PROBLEM,
        PolicyErrors([PROBLEM]),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_refusal_leaves_a_receipt_that_says_why(order: Order, error: Exception) -> None:
    for _ in range(2):  # the second time it is on record
        with pytest.raises(type(error)), refusals_noted(order, INPUTS):
            raise error
    read, refused = chain(order)
    assert (read.step, refused.step, refused.inputs) == ("read", "refused", INPUTS)
    assert refused.verdict == {"outcome": "refused", "reasons": [str(error)]}
    assert [row["state"] for row in states(order.home)] == ["rejected"]


@pytest.mark.parametrize(
    "error",
    [
        ServiceUnreachable("S3 does not answer"),
        UsageError("EXPUNGE_DEVICE names no device"),
        MissingExtra("the library is not installed"),
        LedgerError("the chain does not hold"),
        OSError(28, "no space left on device"),
        ConnectionResetError("Prefect went away"),
        MemoryError(),
        RuntimeError("CUDA out of memory"),
        KeyboardInterrupt(),
        ZeroDivisionError("a bug"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_hinders_a_run_is_no_refusal(order: Order, error: BaseException) -> None:
    with pytest.raises(type(error)), refusals_noted(order, INPUTS):
        raise error
    assert [receipt.step for receipt in chain(order)] == ["read"]
    assert [row["state"] for row in states(order.home)] == ["accepted"]


def test_a_base_that_is_made_whole_again_is_taken_up_where_it_was_refused(tmp_path: Path) -> None:
    order = accepted(tmp_path)
    shutil.copytree(MODEL, folder := tmp_path / "base")
    (folder / "unet" / "config.json").write_text("{}")
    with pytest.raises(DigestMismatch):
        plan_task.fn(open_case(replace(order, base_folder=folder)))
    (row,) = states(order.home)
    assert row["state"] == "rejected"
    assert row["reasons"] == chain(order)[-1].verdict["reasons"]  # type: ignore[index]
    plan_task.fn(open_case(order))
    assert [receipt.step for receipt in chain(order)] == ["read", "refused", "planned"]
    (row,) = states(order.home)
    assert (row["state"], row["reasons"]) == ("planned", [])


def test_what_was_published_is_not_rejected_by_a_later_run(tmp_path: Path) -> None:
    order = accepted(tmp_path)
    note(order, "published", {"policy": order.policy}, {"bundle": "f" * 64})
    with pytest.raises(LimitExceeded), refusals_noted(order, INPUTS):
        raise LimitExceeded("limits.max_compute_minutes allows 1")
    assert [row["state"] for row in states(order.home)] == ["published"]
