"""A policy may name an editor that trains: planned, kept, written and bundled like any other, and checked at intake."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from expunge.engine.emoji import MODEL
from expunge.engine.errors import EditError
from expunge.engine.files.bundle import assemble, verify_bundle
from expunge.engine.files.digests import folder_digest
from expunge.engine.models.load import open_model
from expunge.engine.plans.edit_plan import EditPlan
from expunge.policies import PolicyError, read
from expunge.tasks.core.errors import exit_code_of
from expunge.tasks.core.work_order import Order, Ref
from expunge.tasks.edit import plan_edit, write_candidate
from expunge.tasks.ledger.case import open_case
from tests.engine.editors.training.trainees import HARDENED
from tests.flows.conftest import edited_by, policy_file, run_cli
from tests.tasks.handed_in import order_of

SMALL: dict[str, dict[str, Any]] = {
    "esd": {"iterations": 2, "steps": 2, "rate": 1e-4},
    "salun": {"pictures": 2, "steps": 2, "epochs": 1, "batch": 2, "rate": 1e-4},
    "hardened": {**HARDENED.settings, "rounds": 1, "iterations": 2},
}
TRAINERS = pytest.mark.parametrize("editor", list(SMALL))


def taken_in(folder: Path, editor: str, settings: dict[str, Any]) -> Order:
    path = written(folder, editor, settings)
    return order_of(read(path), folder / "home")


def written(folder: Path, editor: str, settings: dict[str, Any]) -> Path:
    return edited_by(policy_file(folder, folder_digest(MODEL), f"by-{editor}"), editor, settings)


@TRAINERS
def test_it_is_planned_once_written_and_bundled(tmp_path: Path, editor: str, capsys: pytest.CaptureFixture) -> None:
    order = taken_in(tmp_path, editor, SMALL[editor])
    made = plan_edit(order)
    said = capsys.readouterr()
    assert "training" in said.err
    assert said.out == ""
    assert plan_edit(order) == made
    assert capsys.readouterr().err == "", "the plan that was kept is not made again"
    plan = EditPlan.load(made.path)
    candidate = write_candidate(open_case(order), made)
    folder, digest = candidate.folder, candidate.digest
    assert digest != order.base
    edited, base = open_model(folder, digest).unet, open_model(MODEL).unet
    name = next(name for name in plan.deltas if ".attn2.to_q" in name).removeprefix("unet.")
    assert not edited.get_parameter(name).equal(base.get_parameter(name)), "it reaches beyond text projections"
    bundle = assemble(folder, {"deltas.safetensors": made.path}, tmp_path / "bundle")
    assert verify_bundle(tmp_path / "bundle") == bundle


def test_the_same_policy_is_the_same_plan(tmp_path: Path) -> None:
    plans: list[Ref] = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        plans.append(plan_edit(taken_in(tmp_path / name, "esd", SMALL["esd"])))
    assert plans[0].sha256 == plans[1].sha256


@pytest.mark.parametrize(
    ("editor", "settings", "said"),
    [
        ("esd", {"eata": 1.0}, r"esd has no setting 'eata' \(did you mean 'eta'\?\); known: eta"),
        ("esd", {"steps": 0}, r"esd\.steps is 0; use at least 1"),
        ("salun", {"share": 2.0}, r"salun\.share is 2\.0; use a share"),
        ("salun", {"pictures": 2}, r"salun\.pictures is 2; use at least one batch of 8"),
        ("salun", {"parameters": "some"}, r"use one of full, cross-attention"),
        ("hardened", {"searchers": 0}, r"hardened\.searchers is 0; use at least 1"),
        ("hardened", {"precision": "float16"}, r"use one of float32, bfloat16"),
        ("scapre", {"strenght": 2.0}, r"did you mean 'strength'"),
        ("auto", {"editor": "esd"}, r"auto\.editor is 'esd'; use one of scapre"),
        ("auto", {"spectrum": 2.0}, r"auto and scapre have no setting 'spectrum'"),
        (
            "ezd",
            {},
            r"editor 'ezd' does not exist \(did you mean 'esd'\?\); known: mace-cfr, .*, esd, hardened, salun",
        ),
    ],
)
def test_a_setting_that_the_editor_cannot_have_is_refused_at_intake(
    tmp_path: Path, editor: str, settings: dict[str, Any], said: str
) -> None:
    with pytest.raises(PolicyError, match=f"^editor: .*{said}") as caught:
        taken_in(tmp_path, editor, settings)
    assert exit_code_of(caught.value) == 3
    assert not (tmp_path / "home").exists()


def test_training_that_changes_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EditError, match="esd changed no weight"):
        plan_edit(taken_in(tmp_path, "esd", {"iterations": 0}))


def test_the_dry_run_shows_its_weights(tmp_path: Path) -> None:
    path = written(tmp_path, "esd", SMALL["esd"])
    done = run_cli("plan", str(path), EXPUNGE_HOME=str(tmp_path / "home"))
    assert done.code == 0, done.err
    assert "esd would change" in done.out
    assert "training" in done.err
