"""What is asked is balanced, what is told leaves out what is reported as untold, and scores are those of the papers."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from benchmarks.common import measure
from benchmarks.common.concepts import Case
from expunge.engine.emoji.catalogue import OBJECTS, twins
from expunge.engine.emoji.training.quality import offered
from expunge.engine.models.sampling import Shot
from expunge.engine.probes import Question, Subject

CASE = Case("trial", 1, ("lemon", "penguin", "shark"), ("contrast",))


def test_editors_are_told_names_look_alikes_and_styles_but_no_synonyms_and_no_other_objects():
    told = measure.spec(CASE, "uce", {"lamb": 1.0})
    assert {target.names for target in told.targets} == {("lemon",), ("penguin",), ("shark",), ("contrast",)}
    kept = {kept.names[0] for kept in told.retain if kept.category == "object"}
    assert kept == {twin for name in CASE.objects for twin in twins(name)}
    assert next(target for target in told.targets if target.category == "style").anchor == "flat"
    assert told.settings == {"lamb": 1.0}


def test_what_is_asked_is_balanced_seeded_and_of_what_the_model_draws():
    asked = measure.asked(CASE, 12)
    assert asked == measure.asked(CASE, 12)
    counts = Counter(item.group for item in asked)
    assert set(counts) == set(measure.GROUPS)
    assert all(count <= 12 for count in counts.values())
    assert all(item.question.subject.name in offered() for item in asked)
    targets = Counter(item.question.subject.name for item in asked if item.group == "target")
    assert max(targets.values()) - min(targets.values()) <= 1
    assert all(item.question.shot.seed // 1000 == CASE.draw for item in asked)
    known = {item.name: item.synonyms for item in OBJECTS}
    for item in (item for item in asked if item.group == "synonym" and item.question.subject.category == "object"):
        assert any(synonym in item.question.shot.prompt for synonym in known[item.question.subject.name])


def test_unseen_are_prompts_of_no_template_for_the_same_concepts():
    asked, unseen = measure.asked(CASE, 12), measure.asked(CASE, 12, unseen=True)
    known = {"lemon", "a lemon", "a picture of a penguin", "shark style", "the lemon in contrast style"}
    assert known <= measure.templated()
    told = [item for item in asked if item.group != "synonym" and item.question.shot.prompt in measure.templated()]
    assert len(told) > len(asked) / 5
    assert not any(item.group != "synonym" and item.question.shot.prompt in measure.templated() for item in unseen)
    for group in measure.GROUPS:
        seen, fresh = ([item for item in items if item.group == group] for items in (asked, unseen))
        assert len(fresh) == len(seen)
    synonyms = [[item for item in items if item.group == "synonym"] for items in (asked, unseen)]
    assert synonyms[0] == synonyms[1]


def test_every_target_is_asked_for_even_where_there_are_more_than_pictures():
    many = Case("many", 0, tuple(item.name for item in OBJECTS[:40]))
    targets = {item.question.subject.name for item in measure.asked(many, 4) if item.group == "target"}
    assert targets == {item.name for item in OBJECTS[:40]} & offered()


def test_h_o_is_the_harmonic_mean_of_the_paper():
    rates = {"target": 0.0431, "synonym": 0.1, "other": 0.8456}
    expected = 3 / (1 / (1 - 0.0431) + 1 / 0.8456 + 1 / (1 - 0.1))
    assert measure.h_o(rates) == pytest.approx(expected)
    assert measure.h_o({"target": 1.0, "synonym": 0.0, "other": 1.0}) == 0
    assert measure.h_o({"target": 0.0, "other": 0.5, "style": 1.0}) == pytest.approx(2 / (1 + 1 / 0.75))


def test_faulty_pictures_count_against_the_edit():
    def item(group: str) -> measure.Asked:
        role = "target" if group == "target" else "general"
        return measure.Asked(group, Question(Subject("cat", role, "object", "cat"), "name", Shot("cat", 0)))

    good = np.random.default_rng(0).integers(0, 255, (8, 8, 3), dtype=np.uint8)
    black = np.zeros_like(good)
    asked = [item("target"), item("target"), item("other"), item("other")]
    shown, before = np.stack([good, black, good, black]), np.stack([good] * 4)
    found = measure.scores(asked, np.array([False, False, True, True]), shown, before)
    assert (found["target"], found["other"], found["faults"]) == (0.5, 0.5, 2)
    fit = measure.scores(asked, np.array([False, False, True, True]), before, before)
    assert (fit["target"], fit["other"], fit["faults"], fit["distance"]) == (0.0, 1.0, 0, 0.0)
    assert found["distance"] > 0.1
