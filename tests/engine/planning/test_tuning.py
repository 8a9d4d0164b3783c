"""`editor: auto` takes the least change that passes, tells all it tried, and refuses where nothing passes."""

from __future__ import annotations

import json
from dataclasses import asdict, fields, replace
from typing import Any

import pytest
import torch

from expunge.canonical_json import canonical_json
from expunge.engine.editors import EDITORS, editor_named, settings_for
from expunge.engine.errors import EditError, SettingError
from expunge.engine.files.tensor_files import tensor_digest
from expunge.engine.planning.auto_search import SHOWN, NothingAccepted, ladder, least
from expunge.engine.planning.closed_form import plan, tuned
from expunge.engine.planning.concept_embeddings import Reader
from expunge.engine.planning.make import is_plan_of
from expunge.engine.planning.search_space import LADDERS, rungs
from expunge.engine.plans.edit_plan import EditPlan
from expunge.engine.spec import EditSpec, Retain, Target
from tests.engine import tiny

LIMITS: dict[str, Any] = {"max_residual": 0.75, "max_drift": 0.2}
SPEC = EditSpec(
    (Target("cat", ("cat", "kitty")), Target("noto", ("noto",), "style")),
    (Retain("dog", ("dog",)), Retain("tree", ("tree",), kind="general")),
    "auto",
    {"general_words": 20, **LIMITS},
)


@pytest.fixture(scope="module")
def pipeline():
    return tiny.pipeline()


@pytest.fixture(scope="module")
def planned(pipeline) -> list[EditPlan]:
    """Every rung by its own editor, without the search."""
    return [plan(pipeline, rung) for rung in ladder(SPEC)]


def worst(made: EditPlan, name: str) -> float:
    return max(layer[name] for layer in made.diagnostics.values())


def passes(made: EditPlan) -> bool:
    return worst(made, "residual") <= LIMITS["max_residual"] and worst(made, "drift") <= LIMITS["max_drift"]


def test_it_is_the_least_change_that_passes(pipeline, planned: list[EditPlan]):
    chosen = plan(pipeline, SPEC)
    weaker = [made for made in planned if worst(made, "change") < worst(chosen, "change")]
    assert passes(chosen)
    assert weaker
    assert not any(passes(made) for made in weaker)
    assert sum(passes(made) for made in planned) > 1, "there was something to choose from"
    assert chosen.deltas.keys() == planned[0].deltas.keys()
    twin = next(made for made in planned if made.settings == chosen.settings)
    assert all((twin.deltas[name] == delta).all() for name, delta in chosen.deltas.items())


def test_the_plan_names_what_was_chosen_and_is_deterministic(pipeline):
    first, again = plan(pipeline, SPEC), plan(tiny.pipeline(), SPEC)
    assert first.digest == again.digest
    assert first.editor == "scapre"
    assert first.settings.keys() == {one.name for one in fields(editor_named("scapre").settings)}
    assert first.settings["general_words"] == 20
    assert tuned(pipeline, SPEC).trials == tuned(pipeline, SPEC).trials


def test_the_trace_tells_every_rung_and_why(pipeline, planned: list[EditPlan]):
    found = tuned(pipeline, SPEC)
    assert [dict(trial.settings) for trial in found.trials] == [rung.settings for rung in ladder(SPEC)]
    for trial, made in zip(found.trials, planned, strict=True):
        assert trial.worst == {name: worst(made, name) for name in ("change", "residual", "drift")}
        assert bool(trial.problem) is not passes(made)
        assert trial.accepted is None
    assert json.loads(canonical_json([asdict(trial) for trial in found.trials]))


def test_pictures_decide_last_and_from_the_least_change_on(pipeline, planned: list[EditPlan]):
    shown: list[EditPlan] = []

    def third(made: EditPlan) -> str:
        shown.append(made)
        return "" if len(shown) == 3 else f"picture {len(shown)} shows it"

    found = tuned(pipeline, SPEC, third)
    changes = [worst(made, "change") for made in shown]
    assert changes == sorted(worst(made, "change") for made in planned if passes(made))[:3]
    assert found.plan is shown[-1]
    answers = {trial.worst["change"]: trial.accepted for trial in found.trials if trial.accepted is not None}
    assert answers == dict(zip(changes, (False, False, True), strict=True))
    told = [trial.problem for trial in found.trials if trial.accepted is not None]
    assert sorted(told) == ["", "picture 1 shows it", "picture 2 shows it"]


def test_who_proves_a_plan_may_train_a_model_to_attack_it(pipeline):
    asked: list[bool] = []

    def proof(made: EditPlan) -> str:
        asked.append(torch.is_grad_enabled())
        return ""

    tuned(pipeline, SPEC, proof)
    assert asked == [True]


def test_it_refuses_where_no_rung_passes_by_its_proxies(pipeline):
    strict = replace(SPEC, settings={"general_words": 20, "max_residual": 1e-6, "max_drift": 1e-6})
    with pytest.raises(
        NothingAccepted, match=r"auto: none of 30 .*nearest is .*raise max_residual or max_drift"
    ) as caught:
        plan(pipeline, strict)
    assert isinstance(caught.value, EditError)
    assert len(caught.value.trials) == 30
    assert all(trial.problem for trial in caught.value.trials)


def test_where_no_rung_passes_by_its_proxies_pictures_are_asked_of_what_leaves_least(pipeline, planned):
    shown: list[float] = []

    def second(made: EditPlan) -> str:
        shown.append(worst(made, "residual"))
        return "" if len(shown) == 2 else "it is still seen"

    strict = replace(SPEC, settings={"general_words": 20, "max_residual": 1e-6, "max_drift": 1e-6})
    found = tuned(pipeline, strict, second)
    assert shown == sorted(worst(made, "residual") for made in planned)[:2]
    assert worst(found.plan, "residual") == shown[-1]


def test_what_is_barred_is_shown_to_nobody_and_counts_among_no_proofs(pipeline, planned):
    """What leaves least changes most, so that a limit on the change bars the first of those that would be shown."""
    most = sorted(worst(made, "change") for made in planned)[-8]
    shown: list[float] = []

    def bar(made: EditPlan) -> str:
        return "it goes too far" if worst(made, "change") > most else ""

    def none(made: EditPlan) -> str:
        shown.append(worst(made, "change"))
        return "it is still seen"

    strict = replace(SPEC, settings={"general_words": 20, "max_residual": 1e-6, "max_drift": 1e-6, "proofs": 3})
    with pytest.raises(NothingAccepted, match="accepted none of the 3 settings") as caught:
        tuned(pipeline, strict, none, bar)
    assert len(shown) == 3
    assert max(shown) <= most
    barred = [trial for trial in caught.value.trials if trial.barred]
    assert len(barred) == 7
    assert all(trial.accepted is None and "it goes too far" in trial.problem for trial in barred)


@pytest.mark.parametrize("proof", [None, lambda made: ""])
def test_where_all_is_barred_it_says_by_what(pipeline, planned, proof: Any):
    """What each setting leaves has no part in that, and raising what it may leave is no cure."""

    def bar(made: EditPlan) -> str:
        return f"the change is {worst(made, 'change'):.4f}"

    wide = replace(SPEC, settings={"general_words": 20, "max_residual": 100, "max_drift": 100})
    least = min(worst(made, "change") for made in planned)
    expected = f"of 30 settings of scapre 30 are barred, that with the least change by: the change is {least:.4f}$"
    with pytest.raises(NothingAccepted, match=expected):
        tuned(pipeline, wide, proof, bar)


def test_the_nearest_is_none_of_those_that_are_barred(pipeline, planned):
    allowed = sorted(worst(made, "change") for made in planned)[2]

    def bar(made: EditPlan) -> str:
        return "it goes too far" if worst(made, "change") > allowed else ""

    strict = replace(SPEC, settings={"general_words": 20, "max_residual": 1e-6, "max_drift": 1e6})
    nearest = min(worst(made, "residual") for made in planned if worst(made, "change") <= allowed)
    told = rf"which leaves {nearest:.3g} and .*27 are barred, that with the least change by: it goes too far"
    with pytest.raises(NothingAccepted, match=told):
        tuned(pipeline, strict, None, bar)


def test_it_refuses_where_pictures_accept_nothing_and_asks_no_more_than_it_may(pipeline):
    few = replace(SPEC, settings={**SPEC.settings, "proofs": 2})
    with pytest.raises(NothingAccepted, match="accepted none of the 2 settings") as caught:
        tuned(pipeline, few, lambda made: "it is still seen")
    assert [trial.accepted for trial in caught.value.trials].count(False) == 2


def test_the_same_edit_is_shown_once_and_is_one_proof(pipeline):
    """Where nothing is retained, its weight changes nothing."""
    shown: list[str] = []

    def none(made: EditPlan) -> str:
        shown.append(tensor_digest(made.deltas))
        return "it is still seen"

    spec = EditSpec(SPEC.targets, (), "auto", {"editor": "uce", "max_residual": 1e-6, "proofs": 4})
    with pytest.raises(NothingAccepted, match="accepted none of the 4 settings") as caught:
        tuned(pipeline, spec, none)
    assert len(set(shown)) == len(shown) == 4
    again = [trial for trial in caught.value.trials if trial.problem == SHOWN]
    assert len(again) >= 6
    assert all(trial.accepted is None for trial in again)


def test_what_words_weigh_is_no_choice_where_none_are_read(pipeline):
    wordless = replace(SPEC, settings={**LIMITS, "general_words": 0, "max_drift": 10.0, "max_residual": 1.0})
    choices = ladder(wordless)
    assert len(choices) * len(LADDERS["scapre"]["general"]) == len(ladder(SPEC))
    assert all(trial.worst for trial in tuned(pipeline, wordless).trials)


def test_a_rung_that_cannot_be_planned_is_a_trial_and_no_choice(pipeline):
    """SPEED has no direction left free where its threshold is below what it must hold."""
    speed = replace(
        SPEC,
        settings={"editor": "speed", "max_residual": 0.999, "max_drift": 10.0, "general": 1.0, "general_words": 50},
    )
    found = tuned(pipeline, speed)
    failed = [trial for trial in found.trials if not trial.worst]
    assert found.plan.editor == "speed"
    assert failed
    assert all("no direction free" in trial.problem for trial in failed)
    hopeless = replace(speed, settings={**speed.settings, "threshold": 1e-9})
    with pytest.raises(NothingAccepted, match=r"none of 12 settings could be planned; .*no direction free"):
        plan(pipeline, hopeless)


def test_what_is_given_is_settled_and_what_is_unknown_refused(pipeline):
    settled = replace(SPEC, settings={**SPEC.settings, "strength": 7.0, "max_residual": 1.0, "max_drift": 10.0})
    assert len(ladder(settled)) == len(LADDERS["scapre"]["general"]) * len(LADDERS["scapre"]["default_anchor"])
    assert plan(pipeline, settled).settings["strength"] == 7.0
    for given, message in (
        ({"max_drfit": 1.0}, "no setting 'max_drfit'"),
        ({"max_drift": -1.0}, "auto.max_drift"),
        ({"editor": "best"}, "auto.editor"),
        ({"editor": "oce"}, "auto.editor"),  # the more it erases, the larger the residual that it turns away
    ):
        with pytest.raises(SettingError, match=message):
            plan(pipeline, replace(SPEC, settings=given))


def test_an_anchor_for_those_that_name_none_is_no_choice_where_all_name_one(pipeline):
    named = replace(
        SPEC,
        targets=tuple(replace(target, anchor="boat") for target in SPEC.targets),
        settings={**SPEC.settings, "max_residual": 0.9},
    )
    assert len(ladder(named)) * len(LADDERS["scapre"]["default_anchor"]) == len(ladder(SPEC))
    made = plan(pipeline, named)
    assert is_plan_of(made, named)
    mixed = replace(named, targets=(*named.targets, Target("bear", ("bear",))))
    assert len(ladder(mixed)) == len(ladder(SPEC))


def test_what_is_kept_is_read_once_for_the_whole_ladder(pipeline, monkeypatch: pytest.MonkeyPatch):
    read, real = [], Reader.all_kept
    monkeypatch.setattr(Reader, "all_kept", lambda reader, spec: read.append(spec) or real(reader, spec))
    plan(pipeline, SPEC)
    assert len(read) == 1
    plan(pipeline, ladder(SPEC)[0])
    assert len(read) == 2


def test_a_stored_choice_is_known_again_and_another_search_is_not(pipeline):
    chosen = plan(pipeline, SPEC)
    assert is_plan_of(chosen, SPEC)
    assert not is_plan_of(chosen, replace(SPEC, settings={**SPEC.settings, "max_drift": 0.19}))
    assert not is_plan_of(chosen, replace(SPEC, editor="scapre", settings={}))
    assert not is_plan_of(replace(chosen, settings={**chosen.settings, "strength": 2.0}), SPEC)
    assert plan(pipeline, replace(SPEC, settings={**SPEC.settings, "max_drift": 0.19})).digest != chosen.digest


@pytest.mark.parametrize("editor", LADDERS)
def test_every_ladder_is_of_settings_that_its_editor_has(editor: str):
    assert editor in EDITORS
    made = [settings_for(editor_named(editor), rung) for rung in rungs(editor)]
    assert len(set(made)) == len(made) > 1
    assert editor_named(editor).settings() in made or editor == "speed", "the defaults are among them"


def test_a_layer_that_is_nan_does_not_pass_among_others_that_do(planned: list[EditPlan]):
    def blind(rung: EditSpec) -> EditPlan:
        made = planned[0]
        layers = list(made.diagnostics)
        told = {name: {"change": 1.0, "residual": 0.0, "drift": 0.0} for name in layers}
        told[layers[-1]] |= {"residual": float("nan")}
        return replace(made, diagnostics=told)

    with pytest.raises(NothingAccepted):
        least(SPEC, blind)


def test_a_search_is_asked_of_auto_alone_and_names_its_own_settings() -> None:
    one = (Target("taxi", ("taxi",)),)
    with pytest.raises(SettingError, match="editor is 'uce', which leaves nothing to choose; use 'auto'"):
        ladder(EditSpec(one, editor="uce"))
    with pytest.raises(SettingError, match=r"have no setting 'max_residul' \(did you mean 'max_residual'\?\)"):
        ladder(EditSpec(one, editor="auto", settings={"max_residul": 0.1}))


def test_proofs_are_not_counted_where_none_is_asked_for(pipeline):
    without = replace(SPEC, settings={**SPEC.settings, "proofs": 0})
    assert tensor_digest(plan(pipeline, without).deltas) == tensor_digest(plan(pipeline, SPEC).deltas)
