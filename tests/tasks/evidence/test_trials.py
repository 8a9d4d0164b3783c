"""A policy with `editor: auto` has its settings tried on pictures, by its own acceptance and on seeds of their own."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from expunge.engine.emoji import MODEL
from expunge.engine.files.digests import folder_digest
from expunge.engine.models.load import open_model
from expunge.engine.planning.auto_search import NothingAccepted, Trial
from expunge.engine.planning.make import make
from expunge.engine.plans.edit_plan import EditPlan
from expunge.engine.spec import EditSpec, Target
from expunge.engine.stats.evidence.table import Row
from expunge.flows.cli.show import print_plan
from expunge.policies import PolicyError, read
from expunge.tasks.core.errors import exit_code_of
from expunge.tasks.core.paths import TRIALS
from expunge.tasks.core.work_order import Order
from expunge.tasks.edit import plan_edit
from expunge.tasks.evidence.attacks.jobs import AttackShard
from expunge.tasks.evidence.auto_tuning import keep, proving, trial_of
from expunge.tasks.evidence.drawing.judge import Recorded
from expunge.tasks.evidence.drawing.workers import Done, Examiner, Shard, Work, picture_store
from expunge.tasks.evidence.examination import examination
from expunge.tasks.ledger.case import open_case
from expunge.tasks.report import rerender, write_report
from expunge.tasks.views.plan_summary import preview
from tests.flows.conftest import edited_by, policy_file
from tests.tasks.evidence.examined import CANDIDATE, Seen, made_up, new_order, verified
from tests.tasks.handed_in import order_of

ONE_AXIS = {"default_anchor": "mean", "general": 60.0, "max_residual": 1.0, "max_drift": 1.0}
"""Five strengths to choose from, none too weak by its proxies."""


def taken_in(folder: Path, settings: dict[str, Any], **acceptance: Any) -> Order:
    asked = {"prompts": 2, "seeds": 1, "steps": 6, "max_retain_drop": 0.5, **acceptance}
    path = policy_file(folder, folder_digest(MODEL), "searched", **asked)
    return order_of(read(edited_by(path, "auto", settings)), folder / "home")


def trace(order: Order) -> dict[str, Any]:
    return json.loads((order.folder / TRIALS).read_bytes())


def test_the_least_change_that_pictures_accept_is_chosen_and_the_others_say_what_was_against_them(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    order = taken_in(tmp_path, ONE_AXIS)
    made = plan_edit(order)
    plan, told = EditPlan.load(made.path), trace(order)
    assert told["plan"] == plan.digest
    assert [trial["settings"]["strength"] for trial in told["trials"]] == [0.3, 1.0, 3.0, 12.0, 30.0]
    (
        weakest,
        *_,
    ) = told["trials"]
    assert weakest["accepted"] is False
    assert "bicycle is still seen in" in weakest["problem"]
    (found,) = (trial for trial in told["trials"] if trial["accepted"])
    assert plan.settings["strength"] == found["settings"]["strength"]
    weaker = [trial for trial in told["trials"] if trial["worst"]["change"] < found["worst"]["change"]]
    assert weaker
    assert all(trial["accepted"] is False and trial["problem"] for trial in weaker)
    stronger = [trial for trial in told["trials"] if trial["worst"]["change"] > found["worst"]["change"]]
    assert stronger
    assert all(trial["accepted"] is None and not trial["problem"] for trial in stronger), "they were not drawn with"
    assert not (order.folder / "trial").exists()
    assert (order.folder / "cost.json").exists(), "what drawing took is on the order's account"
    capsys.readouterr()
    assert plan_edit(order) == made
    assert capsys.readouterr().err == "", "the plan that was kept is not searched for again"
    assert preview(order, made)["trials"] == told["trials"]
    print_plan({"request_id": "searched", **preview(order, made)})
    said = capsys.readouterr().out
    fixed = "default_anchor mean, general 60.0"
    assert f"tried {fixed}, strength 0.3: bicycle is still seen in" in said
    assert f"tried {fixed}, strength {plan.settings['strength']}: accepted by pictures" in said


def test_the_report_shows_what_was_tried(tmp_path: Path) -> None:
    order = new_order(tmp_path)
    before = write_report(open_case(order), CANDIDATE, *verified(order)).read_text(encoding="utf-8")
    assert "Settings that were tried" not in before
    trials = [
        Trial({"strength": 1.0}, {"change": 0.5, "residual": 0.6, "drift": math.nan}, "residual 0.6 is above 0.07"),
        Trial({"strength": 3.0}, {"change": 0.7, "residual": 0.1, "drift": 0.1}, "<b>bicycle</b> is still seen", False),
        Trial({"strength": 9.0}, {"change": 0.9, "residual": 0.1, "drift": 0.1}, "", True),
    ]
    keep(order, trials, "f" * 64)
    page = rerender(open_case(order)).read_text(encoding="utf-8")
    assert "Settings that were tried" in page
    assert page.count(">not drawn<") == page.count(">refused<") == page.count(">accepted<") == 1
    assert "&lt;b&gt;bicycle&lt;/b&gt; is still seen" in page


def test_where_pictures_accept_nothing_there_is_no_plan_and_the_trace_stays(tmp_path: Path) -> None:
    order = taken_in(tmp_path, {**ONE_AXIS, "proofs": 1})
    with pytest.raises(NothingAccepted, match="accepted none of the 1 settings put to them, of 5") as caught:
        plan_edit(order)
    assert exit_code_of(caught.value) == 4
    told = trace(order)
    assert told["plan"] == ""
    assert [trial["accepted"] for trial in told["trials"]] == [False, None, None, None, None]
    assert not (order.folder / "deltas.safetensors").exists()


def test_nothing_is_drawn_where_no_model_could_be_proven(tmp_path: Path) -> None:
    order = taken_in(tmp_path, ONE_AXIS, probe_limits={"naem": 0.2})
    with pytest.raises(PolicyError, match="naem"):
        plan_edit(order)
    assert not (order.home / "pictures").exists()


def test_a_trial_asks_what_the_verification_asks_with_other_seeds(tmp_path: Path) -> None:
    order = new_order(tmp_path, probe_limits={"relearn": 0.3, "start_picture": 1.0, "name": 0.2})
    exam = examination(order)
    seeds = 1 + max(question.shot.seed for question in exam.questions)
    trial = trial_of(exam, seeds)
    asked, proven = ({(q.subject.id, q.probe, q.shot.prompt) for q in e.questions} for e in (trial, exam))
    assert asked == proven
    assert {q.shot.seed for q in trial.questions}.isdisjoint({q.shot.seed for q in exam.questions})
    assert [(q.shot.prompt, q.shot.seed) for q in trial.questions] == list(
        trial.plan[["prompt", "seed"]].itertuples(index=False, name=None)
    )
    most = max(attack.cost for attack in exam.level.attacks)
    least = trial_of(exam, 1)
    assert {q.shot.seed - most for q in least.questions} == {q.shot.seed for q in exam.questions}, (
        "attacks take seeds too"
    )
    assert trial.seed == exam.seed + most
    assert trial.acceptance.attacks == ("concept_vector", "other_settings", "relearn"), (
        "on what decides nothing no time is spent"
    )
    assert [attack.name for attack in trial.level.attacks] == ["concept_vector", "other_settings", "relearn"]
    assert trial.acceptance.probe_limits == {"relearn": 0.3, "name": 0.2}
    assert "start_picture" in exam.acceptance.attacks, "the positive control: the verification makes it"


@pytest.fixture(scope="module")
def edit() -> EditPlan:
    return make(open_model(MODEL), EditSpec((Target("bicycle", ("bicycle",)),), (), "uce"))


def gone(row: Row) -> bool:
    """The target alone, and from all pictures of the edited model."""
    return row.arm == "before" or row.role != "target"


class MadeUp:
    """A crew that draws nothing and makes up what the judge sees; `given` is the work that it was given."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, saw: Seen) -> None:
        self.given: list[Work] = []
        self._saw = saw
        monkeypatch.setattr("expunge.tasks.evidence.auto_tuning.crew", self._crew)

    @contextmanager
    def _crew(self, home: Path, judge: Recorded, workers: int) -> Iterator[Examiner]:
        def do(work: Sequence[Work]) -> Iterator[Done]:
            for part in work:
                self.given.append(part)
                yield Done(made_up(part, picture_store(home), self._saw), 0, 0.0)

        yield do

    @property
    def attacks(self) -> set[str]:
        return {part.attack.name for part in self.given if isinstance(part, AttackShard)}


def test_what_prompts_accept_is_attacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, edit: EditPlan) -> None:
    order = new_order(tmp_path, prompts=8, seeds=4)
    crew = MadeUp(monkeypatch, lambda row: gone(row) or row.probe == "relearn")
    with proving(order) as proof:
        assert "bicycle by relearn is still seen in" in proof(edit)
    assert crew.attacks == {"concept_vector", "start_picture", "other_settings", "relearn"}
    verified = {question.shot.seed for question in examination(order).questions}
    assert verified.isdisjoint({part.seed for part in crew.given if isinstance(part, AttackShard)})


def test_what_prompts_and_attacks_accept_is_accepted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, edit: EditPlan
) -> None:
    crew = MadeUp(monkeypatch, gone)
    with proving(new_order(tmp_path, prompts=8, seeds=4)) as proof:
        assert proof(edit) == ""
    assert crew.attacks == {"concept_vector", "start_picture", "other_settings", "relearn"}


def test_what_prompts_refuse_is_not_attacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, edit: EditPlan) -> None:
    crew = MadeUp(monkeypatch, lambda row: True)
    with proving(new_order(tmp_path)) as proof:
        assert "bicycle is still seen in" in proof(edit)
    assert crew.given
    assert not crew.attacks


def test_a_setting_that_prompts_accept_and_attacks_do_not_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The edits are real, and what is seen of them is made up: only the weakest is brought back, by one attack."""
    order = taken_in(tmp_path, ONE_AXIS, level="standard", prompts=8, seeds=4, max_attack_rate=0.25)
    edits: list[str] = []

    def saw(row: Row) -> bool:
        part = crew.given[-1]
        if row.arm == "after" and isinstance(part, (Shard, AttackShard)) and part.model.digest not in edits:
            edits.append(part.model.digest)
        return gone(row) or (row.probe == "relearn" and len(edits) == 1)

    crew = MadeUp(monkeypatch, saw)
    made = plan_edit(order)
    weakest, chosen, *stronger = sorted(trace(order)["trials"], key=lambda trial: trial["worst"]["change"])
    assert (weakest["accepted"], chosen["accepted"], len(edits)) == (False, True, 2)
    assert "bicycle by relearn is still seen in" in weakest["problem"]
    assert all(trial["accepted"] is None for trial in stronger)
    assert EditPlan.load(made.path).settings["strength"] == chosen["settings"]["strength"]


def test_an_attack_that_decides_nothing_is_not_made_on_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, edit: EditPlan
) -> None:
    crew = MadeUp(monkeypatch, lambda row: gone(row) or row.probe == "relearn")
    with proving(new_order(tmp_path, prompts=8, seeds=4, probe_limits={"relearn": 1.0})) as proof:
        assert proof(edit) == ""
    assert crew.attacks == {"concept_vector", "other_settings", "start_picture"}
