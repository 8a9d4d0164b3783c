"""A panel of judges reads twice: no doubt of a judge helps a model to pass, of what is gone or of what stays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from expunge.engine.emoji import JUDGE
from expunge.engine.emoji.catalogue import OBJECTS
from expunge.engine.emoji.training import pictures
from expunge.engine.errors import ConceptError, ModelFormatError
from expunge.engine.files.digests import folder_digest
from expunge.engine.judges import NOTHING, Ensemble, Judge, Panel, Sighting, look_for_any, open_judge
from expunge.engine.judges.card import known, read_card
from expunge.engine.probes import Subject
from expunge.engine.probes.answers import Answer, rows
from expunge.engine.stats.evidence.table import DENOISER, EVERY_ARM, Row
from tests.engine.judges.test_judge_folders import BLUE, GREEN, LABELS, RED, SIDE, card, classifier

PICTURE = np.zeros((1, SIDE, SIDE, 3), np.uint8)
THRESHOLDS = {"object": {"first": 0.2, "second": 0.1}}


@dataclass
class Gives:
    """A member that gives every picture the same chances; the highest is what it shows."""

    chances: dict[str, float]
    categories: frozenset[str] = frozenset({"object"})
    digest: str = "fixed"

    def look(self, pictures: np.ndarray, concepts: Sequence[str], category: str) -> list[Sighting]:
        best = max(self.chances, key=lambda label: self.chances[label])
        return [Sighting(name == best, self.chances.get(name, 0.0), best) for name in concepts]


def panel(first: dict[str, float], second: dict[str, float]) -> Panel:
    return Panel({"first": Gives(first), "second": Gives(second)}, THRESHOLDS, "digest")


def seen(judge: Judge, concept: str) -> Sighting:
    return judge.look(PICTURE, [concept], "object")[0]


@pytest.mark.parametrize(("first", "second", "is_seen"), [
    ({"car": 0.9, "police car": 0.1}, {"car": 0.95, "police car": 0.05}, False),
    ({"car": 0.8, "police car": 0.2}, {"car": 0.95, "police car": 0.05}, True),  # the first one's threshold
    ({"car": 1.0, "police car": 0.0}, {"car": 0.9, "police car": 0.1}, True),  # the second one's
    ({"car": 1.0, "police car": 0.0}, {"car": 0.04, "police car": 0.06, "jeep": 0.05}, True),  # likeliest, and faint
])  # fmt: skip
def test_a_target_that_one_judge_calls_by_its_twins_name_is_seen_if_another_one_might(
    first: dict[str, float], second: dict[str, float], is_seen: bool
) -> None:
    sighting = seen(panel(first, second), "police car")
    assert sighting.of_target.seen == is_seen
    assert not sighting.seen, "for what must stay one doubt is enough"


def test_what_stays_is_seen_where_no_judge_doubts_it_and_by_the_lowest_score() -> None:
    both = seen(panel({"car": 0.9, "jeep": 0.1}, {"car": 0.7, "jeep": 0.3}), "car")
    assert (both.seen, both.score, both.of_target.score) == (True, 0.7, 0.9)
    one = seen(panel({"car": 0.9, "jeep": 0.1}, {"car": 0.4, "jeep": 0.6}), "car")
    assert (one.seen, one.of_target.seen) == (False, True)


def row(role: str, arm: str, judge: Judge) -> Row:
    subject = Subject("car", role, "object", "car")
    return next(iter(rows(judge, [Answer(subject, "name", "a car", 0, PICTURE[0])], arm)))


def test_a_doubt_counts_against_the_edit_whatever_is_asked_and_of_whichever_model() -> None:
    """A target after the edit is seen on a suspicion; kept concepts and positive controls are not."""
    doubtful = panel({"car": 0.9, "jeep": 0.1}, {"car": 0.3, "jeep": 0.7})
    asked = [(role, arm) for role in ("target", "general") for arm in EVERY_ARM]
    found = [(role, arm) for role, arm in asked if row(role, arm, doubtful).seen]
    assert found == [("target", "after"), ("target", DENOISER)], "the denoiser alone is the edited model, too"
    assert row("target", "after", doubtful).score == 0.9
    assert row("general", "after", doubtful).score == 0.3


def test_judges_that_differ_recognise_nothing() -> None:
    agreed = panel({"car": 0.9, "jeep": 0.1}, {"car": 0.7, "jeep": 0.3})
    assert row("target", "after", agreed).shows == "car"
    assert row("target", "after", panel({"car": 0.9}, {"jeep": 0.7})).shows == NOTHING
    assert row("target", "after", panel({"car": 0.9}, {NOTHING: 0.7})).shows == NOTHING
    assert row("target", "after", Gives({"car": 0.9})).shows == "", "one judge alone names something in any noise"


def test_one_may_call_by_an_alias_what_another_calls_by_its_name() -> None:
    team = panel({"taxi": 0.9, "car": 0.1}, {"cab": 0.8, "car": 0.2})
    (sighting,) = look_for_any(team, PICTURE, [["taxi", "cab"]], "object")
    assert (sighting.seen, sighting.score) == (True, 0.8)
    assert not look_for_any(team, PICTURE, [["taxi"]], "object")[0].seen


def test_a_panel_within_an_ensemble_keeps_its_vote() -> None:
    team = Ensemble([panel({"car": 0.9}, {"car": 0.7})])
    assert look_for_any(team, PICTURE, [["car"]], "object")[0].seen


@pytest.mark.parametrize("thresholds", [
    {"object": {"first": 0.2}},
    {"object": {"first": 0.2, "second": 0.1, "third": 0.1}},
    {},
    {**THRESHOLDS, "style": {"first": 0.2}},
])  # fmt: skip
def test_a_threshold_that_is_missing_or_nobodys_is_refused(thresholds: dict) -> None:
    with pytest.raises(ModelFormatError, match="give each of these one"):
        Panel({"first": Gives({"car": 1.0}), "second": Gives({"car": 1.0})}, thresholds, "digest")


class Knows(Gives):
    """A member that knows a few names and refuses all others, as a classifier does."""

    def knows(self, name: str, category: str) -> bool:
        return name in self.chances


def test_a_member_that_does_not_know_a_name_has_no_say_and_somebody_must_know_it() -> None:
    members: dict[str, Judge] = {"first": Gives({"quokka": 0.9}), "second": Knows({"car": 0.7})}
    team = Panel(members, THRESHOLDS, "digest")
    (sighting,) = team.look(PICTURE, ["quokka"], "object")
    assert (sighting.seen, sighting.score, sighting.shows) == (True, 0.9, ""), "what it shows is not said by one alone"
    assert not team.look(PICTURE, ["car"], "object")[0].seen
    ignorant: dict[str, Judge] = {"first": Knows({"bus": 1.0}), "second": Knows({"car": 0.7})}
    with pytest.raises(ConceptError, match="no judge of this panel knows the object 'quokka'"):
        Panel(ignorant, THRESHOLDS, "digest").look(PICTURE, ["quokka"], "object")


def test_the_built_in_panel_knows_a_name_however_it_is_written_and_takes_new_ones() -> None:
    shown, judge = pictures.load()[[item.name for item in OBJECTS].index("taxi"), :1], open_judge(JUDGE)
    assert judge.look(shown, ["Taxi"], "object") == judge.look(shown, ["taxi"], "object")
    assert not judge.look(shown, ["quasar"], "object")[0].of_target.seen
    assert known(JUDGE) == {"object": None, "style": None}


def test_a_panel_judges_what_its_members_judge() -> None:
    team = Panel({"first": Gives({"car": 1.0})}, {"object": {"first": 0.2}}, "digest")
    with pytest.raises(ConceptError, match="no category 'style'"):
        team.look(PICTURE, ["noto"], "style")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two real classifiers of colours, of which the second has a label for pictures of nothing."""
    folder = tmp_path_factory.mktemp("panel")
    card(classifier(folder / "first"), kind="classifier", categories=["object"])
    own = {"object": ["red", "green"]}
    card(classifier(folder / "second"), kind="classifier", categories=own, nothing="blue")
    return card(folder, kind="panel", members=["first", "second"], thresholds=THRESHOLDS)


def test_a_classifier_chooses_among_the_labels_of_its_category_and_nothing(folder: Path) -> None:
    assert known(folder / "second") == {"object": frozenset({"red", "green"})}
    second = open_judge(folder / "second")
    found = second.look(np.stack([RED, BLUE]), ["red", "red"], "object")
    assert [(one.seen, one.shows) for one in found] == [(True, "red"), (False, NOTHING)]
    with pytest.raises(ConceptError, match="no label 'blue'"):
        second.look(RED[None], ["blue"], "object")


def test_a_panels_folder_opens_and_its_digest_covers_members_and_thresholds(folder: Path) -> None:
    judge = open_judge(folder)
    assert isinstance(judge, Panel)
    assert known(folder) == {"object": frozenset({"red", "green", "blue"})}
    assert [one.seen for one in judge.look(np.stack([RED, GREEN]), ["red", "red"], "object")] == [True, False]
    assert judge.digest == folder_digest(folder)
    card(folder, kind="panel", members=["first", "second"], thresholds={"object": {"first": 0.2, "second": 0.11}})
    assert open_judge(folder).digest != judge.digest
    (folder / "second" / "note.txt").write_text("another member")
    assert folder_digest(folder) != judge.digest


@pytest.mark.parametrize(("fields", "why"), [
    ({"members": ["first"], "thresholds": {"object": {"first": 0.0}}}, "thresholds is .* a number above 0"),
    ({"members": ["first"], "thresholds": {"object": {"first": float("nan")}}}, "number above 0|cannot be read"),
    ({"members": ["first"], "thresholds": {"object": {"first": 1}}}, "thresholds is .* a number above 0"),
    ({"members": ["first"]}, "a panel has members, thresholds"),
    ({"members": ["../first"], "thresholds": THRESHOLDS}, "folders inside this one"),
])  # fmt: skip
def test_a_card_of_a_panel_without_sound_thresholds_is_refused(tmp_path: Path, fields: dict, why: str) -> None:
    with pytest.raises(ModelFormatError, match=why):
        read_card(card(tmp_path / "panel", kind="panel", **fields))


def test_a_classifiers_card_names_only_labels_that_it_has(tmp_path: Path) -> None:
    folder = card(classifier(tmp_path / "one"), kind="classifier", categories={"object": [*LABELS, "white"]})
    with pytest.raises(ModelFormatError, match="names 'white', which is no label"):
        open_judge(folder)
