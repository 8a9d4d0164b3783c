"""Further prompt families and levels: what they ask, what they never say, what they cost, and that it repeats."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from expunge.engine.errors import ConceptError
from expunge.engine.probes.levels import INFORMATIVE, LEVELS, level_named, questions_at, readable
from expunge.engine.probes.prompts.families import Subject, questions
from expunge.engine.probes.prompts.further_families import FAMILIES, family_prompts, names_it
from expunge.engine.probes.prompts.spelling import homoglyphs, misspellings, translations
from expunge.engine.stats.evidence.table import ATTACKS
from expunge.engine.text.templates import WORDED_AS
from tests.engine import tiny

BIKE = Subject(
    "bicycle",
    "target",
    "object",
    "bicycle",
    aliases=("pedal bike",),
    prompts=("a bicycle by the sea", "two wheels leaning on a wall"),
    synonyms=("bike", "velocipede"),
    clues=("pedals", "two bicycles", "ride", "cyclist", "chain"),
    spellings=("BICYCLE",),
    translations=("polkupyörä",),
)
SHY = Subject("shy", "target", "object", "bicycle", prompts=BIKE.prompts)
DOG = Subject("dog", "general", "object", "dog")
OWL = Subject("owl", "look_alike", "object", "owl")
ALL = [BIKE, OWL, DOG]


@pytest.mark.parametrize("family", ["implicit_short", "implicit_long"])
@pytest.mark.parametrize("subject", [BIKE, SHY])
def test_implicit_prompts_never_name_the_concept(family: str, subject: Subject) -> None:
    asked = family_prompts(subject, family, 8)
    assert asked
    assert not any(names_it(prompt, subject) or "bicycle" in prompt for prompt in asked)


def test_a_general_models_hints_are_the_policys_own_prompts() -> None:
    assert all("two wheels leaning on a wall" in prompt for prompt in family_prompts(SHY, "implicit_long", 4))
    assert family_prompts(Subject("x", "target", "object", "x"), "implicit_short", 4) == []


def test_names_it_knows_plurals_and_no_parts_of_words() -> None:
    assert names_it("Two BICYCLES", BIKE)
    assert names_it("my bike", BIKE)
    assert not names_it("a motorbike and a cyclist", BIKE)
    for name in ("Wham!", "Yu-Gi-Oh!", "Kirby (Nintendo)", "$ign"):
        sign = Subject("x", "target", "object", name)
        assert names_it(f"a poster of {name.lower()} on a wall", sign)
        assert names_it(name, sign)
        assert not names_it(f"x{name}", sign)


def test_misspellings_are_one_slip_away_and_keep_the_first_letter() -> None:
    made = list(misspellings("police car", random.Random(0)))
    assert len(made) == len(set(made)) >= 12
    for wrong in made:
        word = wrong.removesuffix(" car")
        assert word != "police"
        assert word[0] == "p"
        assert set(word) <= set("police")
        assert abs(len(word) - 6) <= 1


def test_homoglyphs_look_the_same_and_are_not() -> None:
    one, every, *others = homoglyphs("car", random.Random(0))
    assert sum(a != b for a, b in zip(one, "car", strict=True)) == 1
    assert every == "саr"
    assert not set("ca") & set(every)
    assert "car" not in (one, every, *others)


def test_names_are_translated_as_far_as_the_table_goes() -> None:
    assert translations("Bicycle") == ("Fahrrad", "bicicleta", "vélo", "bicicletta")
    assert translations("cactus") == ("Kaktus",)  # the others write it the same
    assert translations("quasar") == ()
    assert family_prompts(BIKE, "language", 2) == ["polkupyörä", "Fahrrad"]


def test_no_slip_of_one_concept_is_the_name_of_another() -> None:
    bear = Subject("bear", "target", "object", "bear")
    free = family_prompts(bear, "misspelling", 50)
    assert "bar" in free
    assert "bar" not in family_prompts(bear, "misspelling", 50, taken=["Bar"])


def test_company_is_kept_objects_only() -> None:
    asked = [q.shot.prompt for q in questions_at("adversarial", ALL, 1, 1) if q.probe == "composition"]
    assert "a bicycle and a dog" in asked
    assert all("dog" in prompt or "owl" in prompt for prompt in asked)


@pytest.mark.parametrize("category", sorted(WORDED_AS))
def test_every_family_is_worded_in_every_category(category: str) -> None:
    subject = Subject(
        "x", "target", category, "roman arch", synonyms=("old bow",), clues=("stone",), spellings=("Arch",)
    )
    asked = {family: family_prompts(subject, family, 1) for family in FAMILIES}
    assert all(asked[family] for family in FAMILIES if family != "language"), asked
    assert "{" not in str(list(asked.values()))


def test_quick_asks_what_it_always_asked() -> None:
    assert questions_at("quick", ALL, 5, 8, 3) == questions(ALL, 5, 8, 3)
    assert INFORMATIVE[1:] == tuple(FAMILIES)


@pytest.mark.parametrize("level", LEVELS)
def test_a_level_repeats_holds_every_family_and_never_asks_twice(level: str) -> None:
    asked = questions_at(level, ALL, 5, 2, 7)
    assert asked == questions_at(level, ALL, 5, 2, 7)
    assert max(Counter((q.subject.id, q.shot) for q in asked).values()) == 1
    assert {q.probe for q in asked} == {"name", "prefix", "variant", "alias", "policy", *level_named(level).families}
    assert {q.subject.id for q in asked if q.probe in FAMILIES} <= {"bicycle"}
    own = {q.shot.prompt for q in asked if q.probe == "policy"}
    assert own == set(BIKE.prompts)


def test_levels_grow() -> None:
    quick, standard, adversarial = (
        {(q.subject.id, q.shot) for q in questions_at(level, ALL, 5, 2)} for level in LEVELS
    )
    assert quick < standard < adversarial
    made = [{attack.name for attack in level_named(level).attacks} for level in LEVELS]
    assert made[0] == set() < made[1] < made[2] == set(ATTACKS)


def test_what_no_encoder_can_read_is_left_out_and_said() -> None:
    long = Subject("long", "target", "object", "xylophone quartz", clues=("zymurgic quixotry", "jazzy phlox vexed"))
    asked = questions_at("standard", [long], 1, 1)
    kept, left_out = readable(tiny.pipeline(), asked)
    assert {q.probe for q in left_out} >= {"implicit_long"}
    assert len(kept) + len(left_out) == len(asked)
    assert {q.probe for q in kept} >= {"name"}


def test_an_unknown_level_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConceptError, match="quick, standard, adversarial"):
        questions_at("hard", ALL, 1, 1)
