"""The ledger: blind to order, a union of what is erased, the stricter of two demands, and no guessing."""

from __future__ import annotations

import itertools
import random
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from expunge.policies import (
    DesiredState,
    Policy,
    PolicyConflict,
    PolicyError,
    PolicyErrors,
    composed_json,
    desired_state,
    in_force,
    refuse_misplaced,
)
from expunge.policies.model.schema import Acceptance, Editor

WORDS = ["taxi", "cab", "panda", "bear", "koala", "owl", "rose", "tulip", "lion", "tiger"]


def concept(name: str, **more: Any) -> dict[str, Any]:
    return {"id": name.lower().replace(" ", "-"), "name": name, "category": "object", **more}


def kept(name: str, **more: Any) -> dict[str, Any]:
    return concept(name, **{"kind": "general", **more})


def policy(
    request_id: str, concepts: list[dict[str, Any]], retain: list[dict[str, Any]] | None = None, **more: Any
) -> Policy:
    fields = {
        "schema_version": "1",
        "request_id": request_id,
        "kind": "copyright",
        "received_at": datetime(2026, 1, 1, tzinfo=UTC),
        "base": {"uri": "builtin:emoji", "sha256": "ab" * 32},
        "concepts": tuple(concepts),
        "retain": tuple(retain or ()),
    }
    return Policy.model_validate(fields | more)


def names(state: DesiredState) -> list[str]:
    return [item.name for item in state.concepts]


def random_policy(request_id: str, rng: random.Random) -> Policy:
    """Some words erased, each with some others as aliases, some kept; ids are the words, so they never conflict."""
    words = rng.sample(WORDS, len(WORDS))
    cut = rng.randint(1, 4)
    spelled = [rng.choice([word, word.upper(), word.title()]) for word in words]
    concepts = [
        concept(name, prompts=tuple(rng.sample(["a b", "c d", "e f"], rng.randint(0, 3)))) for name in spelled[:cut]
    ]
    for i in range(rng.randint(0, 2)):
        concepts[i % cut].setdefault("aliases", (f"{words[i % cut]} {rng.randint(1, 3)}",))
    retain = [kept(name, kind=rng.choice(["general", "look_alike"])) for name in spelled[cut : cut + 3]]
    acceptance = {"max_target_rate": rng.choice([0.05, 0.1]), "seeds": rng.randint(1, 9)}
    limits = {"max_weight_delta": rng.choice([0.1, 0.5]), "max_concepts": rng.randint(4, 9)}
    return policy(request_id, concepts, retain, acceptance=acceptance, limits=limits)


@pytest.mark.parametrize("seed", range(30))
def test_order_and_repetition_change_nothing(seed: int) -> None:
    rng = random.Random(seed)
    asked_for = [random_policy(f"r{i}", rng) for i in range(4)]
    state = desired_state(asked_for)
    others = [desired_state(order) for order in itertools.permutations(asked_for)]
    others.append(desired_state(asked_for + asked_for[:2]))
    assert all((other, other.digest) == (state, state.digest) for other in others)


@pytest.mark.parametrize("seed", range(30))
def test_everything_asked_is_erased_and_nothing_erased_is_kept(seed: int) -> None:
    rng = random.Random(seed)
    asked_for = [random_policy(f"r{i}", rng) for i in range(4)]
    state = desired_state(asked_for)
    erased = {name.casefold() for item in state.concepts for name in (item.name, *item.aliases)}
    asked = {name.casefold() for one in asked_for for item in one.concepts for name in (item.name, *item.aliases)}
    assert erased == asked
    wished = {item.name.casefold() for one in asked_for for item in one.retain}
    assert {item.name.casefold() for item in state.retain} == wished - erased
    assert state.acceptance.max_target_rate == min(one.acceptance.max_target_rate for one in asked_for)
    assert state.acceptance.seeds == max(one.acceptance.seeds for one in asked_for)
    assert state.limits.max_weight_delta == min(one.limits.max_weight_delta for one in asked_for)
    assert state.limits.max_compute_minutes == sum(one.limits.max_compute_minutes for one in asked_for)
    assert [item.id for item in state.concepts] == sorted(item.id for item in state.concepts)


def test_a_withdrawn_policy_leaves_no_trace() -> None:
    one, other = policy("a", [concept("taxi")], [kept("rose")]), policy("b", [concept("rose")])
    assert desired_state([one, other]).retain == ()
    assert desired_state([one]).digest == desired_state([policy("c", [concept("taxi")], [kept("rose")])]).digest
    assert desired_state([one]).digest != desired_state([one, other]).digest
    assert desired_state([one]).request_ids == ("a",)


def test_one_concept_named_twice_is_one() -> None:
    one = policy("a", [concept("taxi", aliases=("cab",), prompts=("a taxi in rain",))])
    other = policy("b", [{**concept("Cab"), "aliases": ("hackney",), "prompts": ("a cab at night",)}])
    state = desired_state([one, other])
    assert names(state) == ["Cab"]
    assert state.concepts[0].id == "cab"
    assert state.concepts[0].aliases == ("hackney", "taxi")
    assert state.concepts[0].prompts == ("a cab at night", "a taxi in rain")


def test_a_chain_of_names_is_one_concept_in_any_order() -> None:
    chain = [
        policy("a", [concept("one", aliases=("two",))]),
        policy("b", [concept("three", aliases=("four",))]),
        policy("c", [concept("two", aliases=("three",))]),
    ]
    states = [desired_state(order) for order in itertools.permutations(chain)]
    assert names(states[0]) == ["one"]
    assert states[0].concepts[0].aliases == ("four", "three", "two")
    assert all(state == states[0] for state in states)


def test_what_would_become_something_erased_becomes_what_that_becomes() -> None:
    taxi = policy("a", [concept("taxi", anchor="car")])
    car = policy("b", [concept("Car", aliases=("automobile",), anchor="house")])
    ring = [policy("c", [concept("lion", anchor="automobile")]), policy("d", [concept("house", anchor="Lion")])]
    anchors = lambda state: {item.name: item.anchor for item in state.concepts}  # noqa: E731
    for order in itertools.permutations([taxi, car]):
        assert anchors(desired_state(order)) == {"taxi": "house", "Car": "house"}
    states = [desired_state(order) for order in itertools.permutations([taxi, car, *ring])]
    assert anchors(states[0]) == {"taxi": "", "Car": "", "lion": "", "house": ""}
    assert len({state.digest for state in states}) == 1


def test_a_merged_concept_keeps_its_place_by_id() -> None:
    one = policy("a", [concept("bee"), concept("cat")])
    other = policy("b", [concept("dog", aliases=("bee",))])
    assert [item.id for item in desired_state([one, other]).concepts] == ["bee", "cat"]


def test_one_base_at_two_addresses_is_one_base() -> None:
    one = policy("a", [concept("owl")])
    other = policy("b", [concept("lion")], base={"uri": "file:/models/emoji", "sha256": "ab" * 32})
    for order in ([one, other], [other, one]):
        assert desired_state(order).base.uri == "builtin:emoji"
    early = policy("0", [concept("rose")], base={"uri": "file:/models/emoji", "sha256": "ab" * 32})
    assert desired_state([early, one]).base.uri == "builtin:emoji"


def test_an_alias_in_common_does_not_make_one_concept() -> None:
    one, other = (
        policy("a", [concept("tangerine", aliases=("orange",))]),
        policy("b", [concept("clementine", aliases=("orange",))]),
    )
    assert names(desired_state([one, other])) == ["clementine", "tangerine"]


def test_a_look_alike_stays_one_and_prompts_add_up() -> None:
    one = policy("a", [concept("panda")], [kept("bear", prompts=("a bear",))])
    other = policy("b", [concept("koala")], [kept("Bear", kind="look_alike", prompts=("the bear",))])
    (bear,) = desired_state([one, other]).retain
    assert bear.kind == "look_alike"
    assert bear.prompts == ("a bear", "the bear")


def test_kin_add_up_and_a_policy_without_any_has_the_digest_it_had() -> None:
    plain = policy("a", [concept("car")], [kept("taxi", kind="look_alike")])
    own = policy("b", [concept("Car", aliases=("auto",))], [kept("taxi", kind="look_alike", kin=("auto",))])
    (taxi,) = desired_state([plain, own]).retain
    assert taxi.kin == ("auto",)
    assert "kin" not in plain.model_dump(mode="json")["retain"][0]
    assert own.digest != policy("b", [concept("Car", aliases=("auto",))], [kept("taxi", kind="look_alike")]).digest
    state = desired_state([own])
    assert DesiredState.model_validate_json(state.model_dump_json()) == state


def test_an_erased_alias_is_not_kept() -> None:
    one, other = (
        policy("a", [concept("panda", aliases=("Bamboo Bear",))]),
        policy("b", [concept("owl")], [kept("bamboo bear")]),
    )
    assert desired_state([one, other]).retain == ()


def test_max_concepts_binds_a_policy_and_not_their_sum() -> None:
    small = {"max_concepts": 1}
    state = desired_state([policy("a", [concept("owl")], limits=small), policy("b", [concept("lion")], limits=small)])
    assert names(state) == ["lion", "owl"]


def test_the_order_of_settings_is_no_difference() -> None:
    one = policy("a", [concept("owl")], editor={"name": "uce", "settings": {"x": 1, "y": 2}})
    other = policy("b", [concept("lion")], editor={"name": "uce", "settings": {"y": 2, "x": 1}})
    assert names(desired_state([one, other])) == ["lion", "owl"]


def test_of_two_acceptances_the_stricter_holds_part_by_part() -> None:
    open_to = {"inversion": 1.0, "start_picture": 0.5, "alias": 0.3}
    mild = {"level": "adversarial", "sampling": "sequential", "probe_limits": open_to}
    hard = {"level": "standard", "max_attack_rate": 0.1, "probe_limits": {"alias": 0.2}, "round_seeds": 4}
    one = policy("a", [concept("owl")], acceptance=mild)
    other = policy("b", [concept("lion")], acceptance=hard)
    for order in ([one, other], [other, one]):
        merged = desired_state(order).acceptance
        assert (merged.level, merged.sampling, merged.round_seeds) == ("adversarial", "fixed", 4)
        assert merged.max_attack_rate == 0.1
        # b allows its own attacks 0.1, and says nothing of those that its level does not make
        assert merged.probe_limits == {
            **{"alias": 0.2, "inversion": 1.0, "start_picture": 0.1},
            **dict.fromkeys(("prompt_search", "word_sweep"), 0.2),
        }
        assert desired_state(order).unspared == (), "both name it"
    assert desired_state([one]).acceptance.sampling == "sequential"


def test_of_two_demands_on_the_proof_the_stricter_holds() -> None:
    one = {"max_retain_drop": 0.02, "min_control_rate": 0.8, "confidence": 0.99, "prompts": 5}
    other = {"max_retain_drop": 0.1, "min_control_rate": 0.9, "confidence": 0.9, "prompts": 9}
    both = [policy("a", [concept("owl")], acceptance=one), policy("b", [concept("lion")], acceptance=other)]
    for order in (both, both[::-1]):
        merged = desired_state(order).acceptance
        assert (merged.max_retain_drop, merged.min_control_rate) == (0.02, 0.9)
        assert (merged.confidence, merged.prompts) == (0.99, 9)


def test_minutes_add_up_to_no_more_than_a_policy_may_say() -> None:
    long = {"max_compute_minutes": 60_000.0}
    state = desired_state([policy("a", [concept("owl")], limits=long), policy("b", [concept("lion")], limits=long)])
    assert state.limits.max_compute_minutes == 100_000


def test_who_makes_no_attacks_limits_none_of_anothers() -> None:
    attacked = policy("a", [concept("owl")], acceptance={"level": "standard", "max_attack_rate": 0.3})
    plain = policy("b", [concept("lion")], acceptance={"level": "quick"})
    for order in ([attacked, plain], [plain, attacked]):
        merged = desired_state(order).acceptance
        assert (merged.level, merged.max_attack_rate, merged.probe_limits) == ("standard", 0.3, {})


def test_a_loose_limit_of_one_policy_holds_and_spares_no_prompt_family_that_another_does_not_name() -> None:
    """Without a limit of its own a family fails if it is proven to show more than all prompts may."""
    silent = policy("a", [concept("owl")])
    loose = policy("b", [concept("lion")], acceptance={"probe_limits": {"synonym": 0.9, "alias": 0.05}})
    for order in ([silent, loose], [loose, silent]):
        state = desired_state(order)
        assert (state.acceptance.probe_limits, state.unspared) == ({"alias": 0.05, "synonym": 0.9}, ("synonym",))
    looser = policy("c", [concept("fox")], acceptance={"probe_limits": {"synonym": 0.95}})
    state = desired_state([loose, looser])
    assert (state.acceptance.probe_limits, state.unspared) == ({"alias": 0.05, "synonym": 0.9}, ())
    assert "unspared" not in state.model_dump(), "so the digests of before stay"


def test_a_family_that_is_limited_as_all_prompts_are_is_not_loose() -> None:
    silent = policy("a", [concept("owl")])
    same = policy("b", [concept("lion")], acceptance={"probe_limits": {"synonym": silent.acceptance.max_target_rate}})
    assert desired_state([silent, same]).unspared == ()


def test_a_state_survives_json() -> None:
    state = desired_state([policy("a", [concept("owl")], [kept("rose")])])
    assert DesiredState.model_validate_json(state.model_dump_json()) == state


OWL = policy("a", [concept("owl")], [kept("rose")])
CONFLICTS = {
    "base": (policy("b", [concept("lion")], base={"uri": "builtin:emoji", "sha256": "cd" * 32}), "base.sha256"),
    "editor": (policy("b", [concept("lion")], editor={"name": "uce"}), "editor"),
    "steps": (policy("b", [concept("lion")], acceptance={"steps": 30}), "acceptance.steps"),
    "guidance": (policy("b", [concept("lion")], acceptance={"guidance": 7.5}), "acceptance.guidance"),
    "settings": (policy("b", [concept("lion")], editor={"settings": {"x": 1}}), "editor"),
    "seed": (policy("b", [concept("lion")], seed=1), "seed"),
    "one id, two targets": (policy("b", [concept("lion") | {"id": "owl"}]), "id"),
    "one id, kept and erased": (policy("b", [concept("lion") | {"id": "rose"}]), "id"),
    "one id, two kept": (policy("b", [concept("lion")], [kept("tulip") | {"id": "rose"}]), "id"),
    "category": (policy("b", [concept("owl") | {"category": "character"}]), "category"),
    "category of a kept one": (policy("b", [concept("lion")], [kept("rose") | {"category": "style"}]), "category"),
    "anchor": (policy("b", [concept("owl", anchor="bird")]), "anchor"),
}


@pytest.mark.parametrize(("other", "field"), CONFLICTS.values(), ids=CONFLICTS.keys())
def test_a_conflict_names_both_requests_in_either_order(other: Policy, field: str) -> None:
    told = []
    for order in ([OWL, other], [other, OWL]):
        with pytest.raises(PolicyConflict) as caught:
            desired_state(order)
        assert caught.value.request_ids == ("a", "b")
        assert caught.value.field == field
        told.append(str(caught.value))
    assert told[0] == told[1]
    assert told[0].startswith("a and b: ")


def test_the_same_names_under_the_same_ids_do_not_conflict() -> None:
    assert names(desired_state([OWL, policy("b", [concept("owl")], [kept("rose")])])) == ["owl"]


def test_two_policies_under_one_request_id_conflict() -> None:
    with pytest.raises(PolicyConflict, match="two different policies"):
        desired_state([OWL, policy("a", [concept("lion")])])


def test_no_policy_is_no_state() -> None:
    with pytest.raises(ValueError, match="there is no policy"):
        desired_state([])


def test_what_is_replaced_has_no_say_any_more_in_any_order() -> None:
    old = policy("old", [concept("taxi")], editor={"name": "uce"}, seed=7, acceptance={"steps": 30})
    new = policy("new", [concept("panda")], replaces=("old",))
    other = policy("other", [concept("owl")])
    wanted = desired_state([new, other])
    assert names(wanted) == ["owl", "panda"]
    assert all(desired_state(order) == wanted for order in itertools.permutations([old, new, other]))
    assert wanted.request_ids == ("new", "other")
    assert [one.request_id for one in in_force([other, old, new])] == ["new", "other"]


def test_what_was_replaced_once_does_not_come_back_when_the_one_in_its_place_goes() -> None:
    old, new = policy("old", [concept("taxi")]), policy("new", [concept("panda")], replaces=("old",))
    last = policy("last", [concept("owl")], replaces=("new",))
    assert names(desired_state([old, new, last])) == ["owl"]


def test_a_withdrawal_takes_what_it_names_and_says_nothing_on_the_rest() -> None:
    kept_in_force = policy("stays", [concept("owl")], editor={"name": "uce"}, seed=7, acceptance={"confidence": 0.99})
    gone, withdrawal = policy("gone", [concept("taxi")]), policy("away", [], replaces=("gone",))
    assert desired_state([kept_in_force, gone, withdrawal]) == desired_state([kept_in_force])


def test_where_all_is_withdrawn_the_base_itself_is_desired_however_it_came_to_that() -> None:
    gone, away = policy("gone", [concept("taxi")], seed=7), policy("away", [], replaces=("gone",))
    assert not desired_state([gone]).restores
    state = desired_state([gone, away])
    assert (state.restores, state.base, state.request_ids) == (True, gone.base, ("away",))
    assert (state.seed, state.acceptance, state.editor) == (0, Acceptance(), Editor()), "its digest is always the same"
    twice = [policy("too", [concept("owl")]), policy("away-too", [], replaces=("too",))]
    assert desired_state([gone, away, *twice]).digest == state.digest
    back = policy("back", [concept("taxi")], seed=7)
    assert desired_state([gone, away, back]) == desired_state([back])


def test_policies_that_replace_each_other_in_a_ring_are_refused() -> None:
    one, other = policy("one", [concept("taxi")], replaces=("other",)), policy("other", [], replaces=("one",))
    with pytest.raises(PolicyConflict, match="one and other: replaces: goes round in a ring"):
        desired_state([one, other])


def test_only_what_is_on_record_can_be_replaced_once_and_what_was_replaced_is_refused() -> None:
    old, new = policy("old", [concept("taxi")]), policy("new", [concept("panda")], replaces=("old",))
    refuse_misplaced(new, [old], {"old"})
    refuse_misplaced(new, [old, new], {"old", "new"})
    refuse_misplaced(new, [], {"old"})  # it came to nothing, and its place can be taken all the same
    with pytest.raises(PolicyError, match=r"replaces\[0\]: no request 'old' is on record on this base"):
        refuse_misplaced(new, [], {"other"})
    again = policy("again", [], replaces=("old",))
    with pytest.raises(PolicyError, match=r"replaces\[0\]: 'old' was replaced by new already; name what is in force"):
        refuse_misplaced(again, [old, new], {"old", "new"})
    with pytest.raises(PolicyConflict, match="old was replaced by new; give a new request an id of its own"):
        refuse_misplaced(old, [old, new], {"old", "new"})


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"replaces": ("one",)}, r"replaces\[0\]: is this request itself"),
        ({"replaces": ("a", "a")}, r"replaces\[1\]: repeats 'a'"),
        ({"concepts": ()}, "concepts: is empty; name at least one concept to erase, or the requests"),
        ({"concepts": (), "replaces": ("a",), "seed": 3}, "seed: has no meaning in a policy that erases nothing"),
        ({"concepts": (), "replaces": ("a",), "retain": (kept("owl"),)}, "retain: has no meaning"),
        ({"concepts": (), "replaces": ("a",), "acceptance": {"seeds": 9}}, "acceptance: has no meaning"),
        ({"concepts": (), "replaces": ("a",), "limits": {"max_concepts": 3}}, "limits: has no meaning"),
        ({"concepts": (), "replaces": ("a",), "editor": {"name": "uce"}}, "editor: has no meaning"),
        ({"concepts": (), "replaces": ("a",), "reverify": {"max_age_days": 3}}, "reverify: has no meaning"),
    ],
)
def test_a_replacement_that_cannot_be_meant_is_refused(more: dict[str, Any], message: str) -> None:
    with pytest.raises((PolicyErrors, ValidationError), match=message):
        policy("one", **{"concepts": [concept("taxi")], **more})


@pytest.mark.parametrize("part", ["aliases", "prompts"])
def test_a_concept_has_at_most_a_hundred_entries_of_a_kind(part: str) -> None:
    hundred = tuple(f"owl {number}" for number in range(100))
    assert getattr(policy("a", [concept("owl", **{part: hundred})]).concepts[0], part) == hundred
    with pytest.raises((PolicyErrors, ValidationError), match=rf"concepts\[0\]\.{part}: has 101 entries"):
        policy("a", [concept("owl", **{part: (*hundred, "owl 100")})])


def test_a_policy_keeps_at_most_a_thousand_concepts() -> None:
    many = [kept(f"owl {number}") for number in range(1001)]
    assert len(policy("a", [concept("taxi")], many[:-1]).retain) == 1000
    with pytest.raises((PolicyErrors, ValidationError), match="retain: has 1001 entries"):
        policy("a", [concept("taxi")], many)


def test_a_policy_that_replaces_nothing_has_the_digest_that_it_had_before_there_was_such_a_field() -> None:
    assert b"replaces" not in composed_json(policy("one", [concept("taxi")]).model_dump(mode="json"))
    assert policy("one", [concept("taxi")], replaces=("a",)).digest != policy("one", [concept("taxi")]).digest


READ_AS_ONE = [
    ("7up", "7 up"),
    ("Levi's", "Levi\u2019s"),
    ('the "Guernica"', "the \u201cGuernica\u201d"),
    ("J.K. Rowling", "J. K. Rowling"),
    ("Mr.Bean", "Mr. Bean"),
    ("Spiderman2", "spiderman 2"),
]


@pytest.mark.parametrize(("one", "other"), READ_AS_ONE)
def test_spellings_that_an_encoder_reads_as_one_are_one_concept_of_two_policies(one: str, other: str) -> None:
    both = [policy("a", [concept(one, id="first")]), policy("b", [concept(other, id="second")])]
    for given in (both, both[::-1]):
        (found,) = desired_state(given).concepts
        assert (found.id, found.name, found.aliases) == ("first", one, (other,))


@pytest.mark.parametrize(("one", "other"), READ_AS_ONE)
def test_what_is_erased_in_one_spelling_is_kept_in_no_other_and_nothing_becomes_it(one: str, other: str) -> None:
    earlier = policy("a", [concept("panda", anchor=other)], [kept(other, id="kept"), kept("owl")])
    state = desired_state([earlier, policy("b", [concept(one, id="gone", anchor="house")])])
    assert [item.name for item in state.retain] == ["owl"]
    assert {item.name: item.anchor for item in state.concepts} == {"panda": "house", one: "house"}


def test_names_of_other_words_stay_two() -> None:
    state = desired_state([policy("a", [concept("spider man")], [kept("7 up")]), policy("b", [concept("spiderman")])])
    assert sorted(names(state)) == ["spider man", "spiderman"]
    assert [item.name for item in state.retain] == ["7 up"]
