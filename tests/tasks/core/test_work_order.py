"""What lies on disk between two steps is believed only if it is still what the earlier step made."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from expunge.engine.emoji import JUDGE, MODEL
from expunge.engine.errors import DigestMismatch
from expunge.engine.files.digests import file_digest, folder_digest
from expunge.engine.models.load import open_model
from expunge.engine.planning.closed_form import plan
from expunge.engine.planning.make import is_plan_of
from expunge.engine.plans.edit_plan import EditPlan
from expunge.engine.spec import EditSpec, Target
from expunge.policies import desired_state, read
from expunge.tasks.audit.work_files import changed
from expunge.tasks.core.change_limit import check_reach
from expunge.tasks.core.errors import IntegrityError, LimitExceeded, NothingOnRecord
from expunge.tasks.core.paths import DELTAS
from expunge.tasks.core.work_order import Order, Ref, Weights
from expunge.tasks.edit import edit_task, plan_edit, write_candidate
from expunge.tasks.ledger.case import open_case
from expunge.tasks.ledger.recorder import journal, note
from expunge.tasks.publish import _predecessors
from expunge.tasks.report import edit_facts
from tests.engine import tiny

EXAMPLE = Path(__file__).parents[3] / "policies" / "examples" / "demo.yaml"


@pytest.fixture
def order(tmp_path: Path) -> Order:
    """An order for the demo's policy, as intake leaves it."""
    state = desired_state([read(EXAMPLE)])
    made = Order(
        request_id="one",
        line="line",
        key="a" * 64,
        home=tmp_path,
        policy="b" * 64,
        state=state.digest,
        base="c" * 64,
        base_folder=tmp_path,
        judge="d" * 64,
        judge_folder=tmp_path,
    )
    made.save()
    (made.folder / "state.json").write_text(state.model_dump_json(), encoding="utf-8")
    return made


def test_an_order_follows_its_own_bundle_that_a_crash_left_without_a_receipt_in_whatever_version(order: Order) -> None:
    """Another engine, judge or device gives the same policy another key; what others were given is never followed."""
    order, stranger = replace(order, follows="f" * 64), replace(order, key="2" * 64, policy="3" * 64)
    former = replace(order, key="1" * 64)
    for work, bundle in ((former, "1" * 64), (stranger, "2" * 64)):
        note(work, "read", {"policy": work.policy}, {"state": work.state, "work": work.key})
        note(work, "bundled", {"candidate": bundle}, {"bundle": bundle})
    both = {"f" * 64, "1" * 64}
    assert _predecessors(open_case(order)) == both
    note(stranger, "published", {"policy": stranger.policy}, {"bundle": "1" * 64})
    assert _predecessors(open_case(order)) == {"f" * 64, "1" * 64}, (
        "a withdrawal comes to the very bundle that was there before"
    )
    note(former, "published", {"policy": order.policy}, {"bundle": "1" * 64})
    assert _predecessors(open_case(order)) == {"f" * 64}
    note(former, "bundled", {"candidate": "1" * 64}, {"bundle": "1" * 64})
    assert _predecessors(open_case(order)) == {"f" * 64, "1" * 64}, "it is on its way to be published once more"


def test_what_is_published_once_more_after_another_is_on_record_once_more(order: Order) -> None:
    """Its work was cleared away, say, and it comes to the very bundle that it came to before."""
    other = replace(order, key="2" * 64, policy="3" * 64)
    for work, bundle in ((order, "1" * 64), (other, "2" * 64), (order, "1" * 64), (order, "1" * 64)):
        note(work, "published", {"policy": work.policy}, {"bundle": bundle})
    told = [receipt.outputs["bundle"] for receipt in journal(order.home, order.line).receipts()]
    assert told == ["1" * 64, "2" * 64, "1" * 64]


def test_a_candidate_is_taken_for_that_of_a_plan_only_by_its_receipt(order: Order, tmp_path: Path) -> None:
    """Neither what somebody put in its place, nor what an earlier plan came to."""
    tiny.pipeline().save_pretrained(base := tmp_path / "tiny")
    order = replace(order, base_folder=base, base=folder_digest(base))
    spec = EditSpec((Target("cat", ("cat",)),), settings={"general_words": 20})
    plan(open_model(base), spec).save(order.folder / DELTAS)
    made = Ref.of(order.folder / DELTAS)
    written = write_candidate(open_case(order), made)
    folder, own = written.folder, written.digest
    (folder / "scheduler" / "scheduler_config.json").unlink()
    assert write_candidate(open_case(order), made) == Weights(folder, own)
    note(order, "erased", {"base": order.base, "plan": made.sha256}, {"candidate": own})
    (index := folder / "model_index.json").touch()
    before = index.stat().st_mtime_ns
    assert write_candidate(open_case(order), made) == Weights(folder, own)
    assert index.stat().st_mtime_ns == before, "it is not written again"
    plan(open_model(base), replace(spec, seed=1)).save(order.folder / DELTAS)
    assert write_candidate(open_case(order), Ref.of(order.folder / DELTAS)).digest != own


@pytest.mark.parametrize(("dtype", "least", "most"), [(torch.float32, 0.0, 1e-5), (torch.bfloat16, 1e-3, 1.0)])
def test_what_rounding_took_of_the_edit_is_on_record_and_in_the_report(
    order: Order, tmp_path: Path, dtype: torch.dtype, least: float, most: float
) -> None:
    tiny.pipeline().to(dtype).save_pretrained(base := tmp_path / "tiny")
    order = replace(order, base_folder=base, base=folder_digest(base))
    plan(open_model(base), EditSpec((Target("cat", ("cat",)),), editor="uce")).save(order.folder / DELTAS)
    made = Ref.of(order.folder / DELTAS)
    known = edit_facts(order.folder)
    assert known is not None
    assert known["rounding"] is None, "as in the folders of earlier versions"
    for _ in range(2):
        edit_task.fn(open_case(order), made)
    (erased,) = [receipt for receipt in journal(order.home, order.line).receipts() if receipt.step == "erased"]
    assert erased.outputs["rounding"] == file_digest(order.folder / "rounding.json")
    known = edit_facts(order.folder)
    assert known is not None
    assert least < known["rounding"] < most
    assert known["rounding"] == float(f"{known['rounding']:.6g}")
    assert not list(changed(order.folder, erased))
    (order.folder / "rounding.json").write_text('{"largest":0.0}')
    assert [problem for problem in changed(order.folder, erased) if "rounding.json has changed" in problem]
    edit_task.fn(open_case(order), made)
    assert not list(changed(order.folder, erased)), "it is written again, and comes to the same"


def test_a_reference_gives_the_file_it_was_made_of(tmp_path: Path) -> None:
    path = tmp_path / "verdict.json"
    path.write_text("PASS")
    assert Ref.of(path).path == path


@pytest.mark.parametrize("attack", ["altered", "deleted"])
def test_a_file_that_changed_between_two_steps_is_refused(tmp_path: Path, attack: str) -> None:
    path = tmp_path / "verdict.json"
    path.write_text("FAIL")
    reference = Ref.of(path)
    path.unlink() if attack == "deleted" else path.write_text("PASS")
    with pytest.raises(IntegrityError, match="verdict"):
        _ = reference.path


def test_a_loosened_acceptance_on_disk_is_refused(order: Order) -> None:
    path = order.folder / "state.json"
    assert order.desired.digest == order.state
    state = json.loads(path.read_text())
    state["acceptance"]["max_target_rate"] = 0.5
    path.write_text(json.dumps(state))
    with pytest.raises(IntegrityError, match="desired state"):
        _ = Order.load(order.home, order.key).desired


def test_an_order_is_loaded_as_it_was_saved(order: Order) -> None:
    assert Order.load(order.home, order.key) == order
    with pytest.raises(NothingOnRecord, match=r"order\.json is missing.*submit the policy again"):
        Order.load(order.home, "0" * 64)


def test_an_order_of_before_a_new_installation_finds_base_and_judge_where_they_are_now(
    order: Order, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    former, other = tmp_path / "python3.9" / "engine" / "emoji", tmp_path / "other"
    shutil.copytree(JUDGE, other)
    monkeypatch.setenv("EXPUNGE_BASES", str(tmp_path / "bases"))
    monkeypatch.setenv("EXPUNGE_JUDGE", str(other))

    def found(base: Path, judge: Path, digest: str) -> tuple[Path, Path]:
        replace(order, base_folder=base, judge_folder=judge, judge=digest).save()
        loaded = Order.load(order.home, order.key)
        return loaded.base_folder, loaded.judge_folder

    digest = folder_digest(JUDGE)
    assert found(former / "model", former / "judge", digest) == (MODEL, JUDGE)
    assert found(tmp_path / "sd", tmp_path / "clip", digest) == (tmp_path / "bases" / "sd", other)
    assert found(tmp_path / "sd", tmp_path / "clip", "d" * 64)[1] == tmp_path / "clip", "another judge is none"
    (former / "model").mkdir(parents=True)
    assert found(former / "model", former / "judge", digest)[0] == former / "model", "it is still there"


@pytest.mark.parametrize("content", ["", '{"request_id": "one"}'])
def test_an_order_that_cannot_be_read_is_no_missing_one(order: Order, content: str) -> None:
    (order.folder / "order.json").write_text(content)
    with pytest.raises(IntegrityError, match=r"order\.json cannot be read.*submit again"):
        Order.load(order.home, order.key)


def test_a_step_that_ends_as_before_leaves_one_receipt_and_otherwise_another(order: Order) -> None:
    inputs = {"evidence": "1" * 64}
    closed, passing = {"outcome": "shut", "failed": ["evidence"]}, {"outcome": "open", "failed": []}
    shut = note(order, "gated", inputs, {}, closed)
    assert note(order, "gated", inputs, {}, closed) == shut
    opened = note(order, "gated", inputs, {}, passing)
    assert opened.verdict == passing
    assert [receipt.verdict for receipt in journal(order.home, order.line).receipts()] == [shut.verdict, opened.verdict]


@pytest.mark.parametrize("change", [9.0, float("inf"), float("nan")])
def test_a_change_beyond_the_limit_or_unknown_is_refused(change: float) -> None:
    check_reach({"layer": 8.0}, 8.0)
    with pytest.raises(LimitExceeded, match="layer"):
        check_reach({"layer": change}, 8.0)


def test_a_plan_that_belittles_its_own_change_is_refused(order: Order, tmp_path: Path) -> None:
    base = tiny.save(tmp_path / "base")
    order = replace(order, base_folder=base, base=folder_digest(base))
    honest = EditPlan.load(plan_edit(order).path)
    wild = {name: 1000 * delta for name, delta in honest.deltas.items()}
    replace(honest, deltas=wild).save(order.folder / "deltas.safetensors")  # its digest fits, its diagnostics lie
    with pytest.raises(LimitExceeded, match=r"limits\.max_weight_delta"):
        plan_edit(order)


def test_what_a_model_makes_of_its_own_words_is_kept_for_the_next_request(order: Order, tmp_path: Path) -> None:
    base = tiny.save(tmp_path / "base")
    order = replace(order, base_folder=base, base=folder_digest(base))
    made = plan_edit(order)
    (kept,) = (order.home / "words").iterdir()
    written = kept.stat().st_mtime_ns
    made.path.unlink()
    assert plan_edit(order) == made
    assert [path.stat().st_mtime_ns for path in (order.home / "words").iterdir()] == [written]
    made.path.unlink()
    kept.unlink()
    assert plan_edit(order) == made


def test_a_plan_that_a_disk_damaged_is_made_again(order: Order, tmp_path: Path) -> None:
    base = tiny.save(tmp_path / "base")
    order = replace(order, base_folder=base, base=folder_digest(base))
    made = plan_edit(order)
    whole = made.path.read_bytes()
    for damaged in (b"", whole[:-1], whole[:-9] + bytes([whole[-9] ^ 64]) + whole[-8:]):
        made.path.write_bytes(damaged)
        assert plan_edit(order) == made


def test_a_plan_of_another_base_is_refused(order: Order, tmp_path: Path) -> None:
    for seed in (0, 1):
        base = tiny.save(tmp_path / f"base-{seed}", seed)
        order = replace(order, base_folder=base, base=folder_digest(base))
        if seed == 0:
            plan_edit(order)
    with pytest.raises(DigestMismatch, match="untouched base"):
        plan_edit(order)


def test_a_stored_plan_counts_only_for_the_same_wish_wordings_and_settings() -> None:
    spec = EditSpec((Target("cat", ("cat",)),), settings={"general_words": 20})
    made = plan(tiny.pipeline(), spec)
    assert is_plan_of(made, spec)
    assert not is_plan_of(made, replace(spec, targets=(Target("dog", ("dog",)),)))
    assert not is_plan_of(replace(made, templates="0" * 64), spec)
    assert not is_plan_of(replace(made, settings={**made.settings, "strength": 1.0}), spec)
