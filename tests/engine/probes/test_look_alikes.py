"""Look-alikes by encoder and judge, and what is proposed to be examined for damage."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch

from expunge.engine.emoji import CLIP_JUDGE
from expunge.engine.emoji.catalogue import OBJECTS
from expunge.engine.emoji.training import pictures
from expunge.engine.judges import ClipJudge
from expunge.engine.probes.look_alikes import ENCODER, LookAlike, confusions, look_alikes, union
from expunge.engine.probes.prompts.families import Subject
from expunge.engine.probes.retained import retained_subjects
from tests.engine import tiny
from tests.engine.families import tiny_families

SHIP = Subject("ship", "target", "object", "ship", aliases=("sailing boat",))
NAMES = ["river", "cat", "lamp", "boat", "house", "chair", "Sailing Boat", "ship", "boat"]
NEAR = {"ship": [LookAlike("boat", {ENCODER: 0.9}), LookAlike("Car", {ENCODER: 0.5}), LookAlike("lamp", {})]}
POOLS = {"object": ["boat", "cat", "ship", "cup", "tree", "kite", "drum"], "style": ["flat", "line", "blob", "noto"]}


@torch.no_grad()
def with_twins(pipeline: Any) -> Any:
    """`boat` is read almost as `ship` is."""
    words = pipeline.tokenizer.get_vocab()
    rows = pipeline.text_encoder.get_input_embeddings().weight
    rows[words["boat</w>"]] = 1.01 * rows[words["ship</w>"]]
    return pipeline


def test_the_nearest_by_the_encoder_comes_first_and_the_own_names_never() -> None:
    found = look_alikes(with_twins(tiny.pipeline()), SHIP, NAMES, 4)
    assert found[0].name == "boat"
    assert found[0].scores[ENCODER] > 0.99
    assert len(found) == 4
    assert not {"ship", "Sailing Boat"} & {item.name for item in found}
    plain = {item.name: item.scores[ENCODER] for item in look_alikes(tiny.pipeline(), SHIP, NAMES, 9)}
    assert plain["boat"] < 0.9  # the positive control: it is the twin embedding that was found


def test_the_order_of_candidates_does_not_matter_and_none_gives_none() -> None:
    model = tiny.pipeline()
    assert look_alikes(model, SHIP, NAMES, 4) == look_alikes(model, SHIP, NAMES[::-1], 4)
    assert look_alikes(model, SHIP, ["ship"], 4) == []


@pytest.mark.parametrize("name", ["sdxl", "sd3"])
def test_families_with_several_streams_are_read_as_well(name: str) -> None:
    found = look_alikes(getattr(tiny_families, name)(), SHIP, NAMES, 9)
    assert all(-1.001 <= item.scores[ENCODER] <= 1.001 for item in found)
    assert len(found) == 6


def test_the_judge_names_what_it_takes_the_pictures_for() -> None:
    names = [item.name for item in OBJECTS]
    bear, drawn, judge = Subject("bear", "target", "object", "bear"), pictures.load(), ClipJudge(CLIP_JUDGE)
    pandas, bears = drawn[names.index("panda")], drawn[names.index("bear")]
    first = confusions(judge, pandas, bear, names, 3)[0]
    assert first.name == "panda"
    assert first.scores["judge"] > 0.5
    assert all(0.5 > item.scores["judge"] > 1 / len(names) for item in confusions(judge, bears, bear, names, 3))
    assert len(confusions(judge, pandas, bear, names, 200)) < 20
    assert confusions(judge, bears[:0], bear, names, 3) == []


def test_a_union_names_each_once_with_all_its_scores() -> None:
    a = [LookAlike("taxi", {ENCODER: 0.9}), LookAlike("bus", {ENCODER: 0.8}), LookAlike("car", {ENCODER: 0.7})]
    b = [LookAlike("car", {"judge": 0.2}), LookAlike("bus", {"judge": 0.1})]
    found = union(a, b)
    assert [item.name for item in found] == ["car", "taxi", "bus"]
    assert found[0].scores == {ENCODER: 0.7, "judge": 0.2}


def test_a_policy_that_names_nothing_gets_look_alikes_and_general_ones() -> None:
    proposed = retained_subjects([SHIP], NEAR, POOLS, "standard")
    assert [item.name for item in proposed if item.role == "look_alike"] == ["boat", "Car", "lamp"]
    general = Counter(item.category for item in proposed if item.role == "general")
    assert general == {"object": 3, "style": 3}
    names = [item.name.casefold() for item in proposed]
    assert len(names) == len(set(names))
    assert "ship" not in names
    assert len({item.id for item in proposed}) == len(proposed)
    assert proposed == retained_subjects([SHIP], NEAR, POOLS, "standard")


def test_what_the_policy_keeps_counts_and_what_it_erases_is_never_kept() -> None:
    erased = Subject("car", "target", "object", "car")
    given = [
        SHIP,
        erased,
        Subject("b", "look_alike", "object", "Boat"),
        *(Subject(f"g{number}", "general", "style", f"s{number}") for number in range(3)),
    ]
    proposed = retained_subjects(given, NEAR, POOLS, "standard")
    assert [item.name for item in proposed if item.role == "look_alike"] == ["lamp"]
    assert {item.category for item in proposed} == {"object"}


def test_quick_adds_nothing() -> None:
    assert retained_subjects([SHIP], NEAR, POOLS, "quick") == []


def test_names_in_other_letters_are_told_apart() -> None:
    proposed = retained_subjects([SHIP], {}, {"object": ["松", "竹", "梅", "ship"]}, "standard")
    assert len({subject.id for subject in proposed}) == len(proposed) == 3
