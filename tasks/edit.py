"""Edit: plan the erasure and write the candidate model, once for each work order."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from expunge.canonical_json import canonical_json
from expunge.engine.editors.training import TRAINERS
from expunge.engine.errors import DigestMismatch, ModelFormatError
from expunge.engine.files.atomic import write_whole
from expunge.engine.files.digests import folder_digest
from expunge.engine.models.load import open_model
from expunge.engine.planning.auto_search import AUTO
from expunge.engine.planning.embedding_cache import WordStore
from expunge.engine.planning.make import is_plan_of, make
from expunge.engine.plans.apply import write_edited
from expunge.engine.plans.edit_plan import EditPlan, relative_changes
from expunge.engine.spec import EditSpec
from expunge.tasks.core.base_model import too_large
from expunge.tasks.core.change_limit import check_reach
from expunge.tasks.core.errors import LimitExceeded
from expunge.tasks.core.machine.device import PROCESSOR, device
from expunge.tasks.core.paths import CANDIDATE, DELTAS, ROUNDING, TRAINING, words_folder
from expunge.tasks.core.policy_adapter import edit_spec
from expunge.tasks.core.work_order import Order, Ref, Weights
from expunge.tasks.core.workflow.run_progress import tell
from expunge.tasks.core.workflow.steps import step
from expunge.tasks.core.workflow.training_progress import show_training_progress
from expunge.tasks.evidence.auto_tuning import chosen, trials_file
from expunge.tasks.evidence.examination import examination
from expunge.tasks.evidence.feasibility import refuse_without_pass, unknown_names
from expunge.tasks.ledger.case import Case
from expunge.tasks.ledger.line.attempts import next_number
from expunge.tasks.ledger.receipt import Step


def plan_edit(order: Order) -> Ref:
    """Return the plan file of the order, from the store if it was made before.

    Raises LimitExceeded if a layer would change by more than the policy's `limits.max_weight_delta`, or if S3 would
    not take the plan.
    """
    path = order.folder / DELTAS
    state = order.desired
    spec = edit_spec(state)
    base = open_model(order.base_folder, order.base, device() if spec.editor in TRAINERS else PROCESSOR)
    made = _kept(path)
    if made is None or not is_plan_of(made, spec):
        made = _made(order, base, spec)
        made.save(path)
        shutil.rmtree(order.folder / TRAINING, ignore_errors=True)
    check_reach(relative_changes(base, made), state.limits.max_weight_delta)
    refuse_unserved(found := Ref.of(path))
    return found


def _kept(path: Path) -> EditPlan | None:
    """Return the plan that was made before; None if there is none, or a disk damaged it: the same is made again."""
    try:
        return EditPlan.load(path)
    except (ModelFormatError, DigestMismatch):
        return None


def _made(order: Order, base: Any, spec: EditSpec) -> EditPlan:
    if spec.editor == AUTO:
        return chosen(order, base, spec)
    with show_training_progress() as report:
        return make(base, spec, report, WordStore(words_folder(order.home)), order.folder / TRAINING)


def write_candidate(case: Case, made: Ref) -> Weights:
    """Write the edited model once; then find it again by the receipt that says what this plan came to."""
    order = case.order
    folder = order.folder / CANDIDATE
    erased = case.ledger.last(Step.ERASED, {"work": order.key})
    if erased and folder.exists():
        digest = folder_digest(folder)
        is_told = erased.outputs.items() <= _written(order, digest).items()
        if is_told and (made.sha256, digest) == (erased.inputs.get("plan"), erased.outputs.get("candidate")):
            return Weights(folder, digest)
    shutil.rmtree(folder, ignore_errors=True)
    lost = write_edited(order.base_folder, EditPlan.load(made.path), folder)
    largest = float(f"{max(lost.values(), default=0.0):.6g}")
    write_whole(order.folder / ROUNDING, canonical_json({"largest": largest}))
    return Weights(folder, folder_digest(folder))


def _written(order: Order, candidate: str) -> dict[str, str]:
    """Return the digests of the candidate and of what rounding took of the edit.

    What was written by earlier versions has only the one.
    """
    rounding = order.folder / ROUNDING
    return {"candidate": candidate, **({"rounding": Ref.of(rounding).sha256} if rounding.exists() else {})}


def refuse_unserved(made: Ref) -> None:
    """Raise LimitExceeded on an edit that S3 would not take: one that trains may change every weight."""
    if problem := too_large(made.bytes):
        cure = "take an editor in closed form, or one that trains cross-attention alone"
        raise LimitExceeded(f"the edit {problem}: {cure}")


def remove_candidate(order: Order) -> None:
    """Remove the candidate, which nobody reads any more; if the work is done again it is written again."""
    shutil.rmtree(order.folder / CANDIDATE, ignore_errors=True)


@step("plan the edit")
def plan_task(case: Case) -> Ref:
    """Return the file of the edit as data; the model is not touched."""
    order = case.order
    inputs = {"state": order.state, "base": order.base}
    with case.refusals_noted(inputs):
        number = next_number(order.home, case.chain, case.policy, order.key)
        refuse_without_pass(examination(order.counted(number)))
        for sentence in unknown_names(order):
            tell(sentence)
        made = plan_edit(order)
    tried = trials_file(order)
    outputs = {"plan": made.sha256, **({"trials": Ref.of(tried).sha256} if tried else {})}
    case.note(Step.PLANNED, inputs, outputs)
    tell(f"planned: {made.bytes / 2**20:.1f} MiB of changes, {made.sha256[:12]}")
    return made


@step("write the candidate")
def edit_task(case: Case, made: Ref) -> Weights:
    """Return the candidate: the base with the planned edit."""
    inputs = {"base": case.order.base, "plan": made.sha256}
    with case.refusals_noted(inputs):
        candidate = write_candidate(case, made)
    case.note(Step.ERASED, inputs, outputs=_written(case.order, candidate.digest))
    tell(f"written: candidate {candidate.digest[:12]}")
    return candidate
