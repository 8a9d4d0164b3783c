"""Probe prompts: name, alias and policy wordings, hardly ever an editor's template, never naming an erased thing."""

from __future__ import annotations

import pytest

from expunge.engine.errors import ConceptError
from expunge.engine.probes.prompts.families import EVERYDAY, Subject, prompts, questions, wordings
from expunge.engine.text.templates import WORDED_AS, templates

PANDA = Subject("panda", "target", "object", "panda", ("bamboo eater",), ("a panda on a swing",))
FLAT = Subject("flat", "target", "style", "flat")
OWL = Subject("owl", "look_alike", "object", "owl")
KEY = Subject("key", "general", "object", "key")


def test_names_aliases_and_the_policys_own_prompts_are_asked() -> None:
    asked = prompts(PANDA, 3, EVERYDAY)
    assert [family for family, _ in asked] == ["name", "prefix", "prefix", "alias", "policy"]
    assert asked[-1] == ("policy", "a panda on a swing")
    assert all("panda" in prompt for family, prompt in asked if family != "alias")
    assert [prompt for family, prompt in asked if family == "alias"] == ["bamboo eater"]


def test_no_prompt_is_asked_twice_and_the_articles_fit() -> None:
    texts = [prompt for _, prompt in prompts(OWL, 99, EVERYDAY)]
    assert len(texts) == len(set(texts)) == len(wordings("object"))
    assert "a photo of an owl" in texts


def test_styles_are_asked_on_kept_objects_only() -> None:
    asked = questions([PANDA, FLAT, OWL, KEY], count=5, seeds=1)
    on = [question.shot.prompt for question in asked if question.subject is FLAT]
    assert all("panda" not in prompt for prompt in on)
    assert any("a key" in prompt for prompt in on)
    assert any("an owl" in prompt for prompt in on)


def test_where_no_object_is_kept_styles_are_asked_on_everyday_things_but_no_erased_one() -> None:
    house = Subject("house", "target", "object", "House")
    on = {question.shot.prompt for question in questions([house, FLAT], count=20, seeds=1) if question.subject is FLAT}
    assert not any("house" in prompt for prompt in on)
    assert {word for word in EVERYDAY if any(word in prompt for prompt in on)} == set(EVERYDAY) - {"house"}


def test_every_question_has_every_seed() -> None:
    asked = questions([OWL, KEY], count=2, seeds=3, seed=10)
    assert len(asked) == 2 * 2 * 3
    assert {question.shot.seed for question in asked} == {10, 11, 12}


@pytest.mark.parametrize("category", sorted(WORDED_AS))
def test_most_probe_wordings_are_not_the_editors_templates(category: str) -> None:
    seen = {template.replace("a {}", "{a}").replace("an {}", "{a}") for template in templates(WORDED_AS[category])}
    fresh = [wording for family, wording in wordings(category) if family == "variant" and wording not in seen]
    assert len(fresh) >= 2


def test_an_unknown_category_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConceptError, match="object"):
        wordings("sound")
