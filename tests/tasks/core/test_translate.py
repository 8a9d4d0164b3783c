"""What a policy says of acceptance reaches the statistics, and both rooms know the same attacks."""

from datetime import UTC, datetime
from typing import Any, get_args

import pytest

from expunge.engine.models.sampling import Sampler
from expunge.engine.probes.levels import level_named
from expunge.engine.probes.prompts.families import prompts
from expunge.engine.stats.limits.attack_names import ATTACKS
from expunge.engine.text.templates import WORDED_AS
from expunge.policies import Policy, desired_state
from expunge.policies.model import schema as policies_schema
from expunge.tasks.core.policy_adapter import acceptance, edit_spec, sampler, subjects


def policy(**limits: object) -> Policy:
    concept = {"id": "owl", "name": "owl", "category": "object"}
    return Policy.model_validate(
        {
            "schema_version": "1",
            "request_id": "a",
            "kind": "copyright",
            "received_at": datetime(2026, 1, 1, tzinfo=UTC),
            "base": {"uri": "builtin:emoji", "sha256": "ab" * 32},
            "concepts": (concept,),
            "acceptance": limits,
        }
    )


def test_the_policys_own_prompts_are_asked_with_each_name_in_its_place():
    told = policy().model_dump() | {
        "concepts": (
            {
                "id": "owl",
                "name": "owl",
                "aliases": ("night bird",),
                "prompts": ("a {} by the sea", "who hoots"),
                "category": "object",
            },
        ),
        "retain": ({"id": "cat", "name": "cat", "prompts": ("a {}",), "kind": "general", "category": "object"},),
    }
    owl, cat = subjects(desired_state([Policy.model_validate(told)]))
    assert owl.prompts == ("an owl by the sea", "who hoots")
    assert owl.alias_prompts == ("a night bird by the sea",)
    asked = prompts(owl, 0, ["cat"])
    assert [family for family, _ in asked] == ["alias", "policy", "policy", "alias"]
    assert asked[1:] == [("policy", owl.prompts[0]), ("policy", owl.prompts[1]), ("alias", owl.alias_prompts[0])]
    assert cat.prompts == ("a cat",)


def test_an_alias_that_two_policies_give_to_their_concepts_is_erased_once_and_asked_of_both():
    minnie, mickey = (
        Policy.model_validate(
            policy().model_dump()
            | {
                "request_id": name,
                "concepts": ({"id": name, "name": name, "aliases": ("the mouse", f"{name} m"), "category": "object"},),
            }
        )
        for name in ("minnie", "mickey")
    )
    state = desired_state([minnie, mickey])
    assert [target.names for target in edit_spec(state).targets] == [
        ("mickey", "mickey m", "the mouse"),
        ("minnie", "minnie m"),
    ]
    assert [len(subject.aliases) for subject in subjects(state)] == [2, 2]


def test_every_limit_of_a_policy_is_a_limit_of_the_verdict():
    given = {
        "max_target_rate": 0.11,
        "max_attack_rate": 0.22,
        "max_retain_drop": 0.07,
        "min_control_rate": 0.9,
        "confidence": 0.99,
        "probe_limits": {"alias": 0.3, "inversion": 0.4},
        "sampling": "sequential",
    }
    limits = acceptance(desired_state([policy(**given)]))
    assert {name: getattr(limits, name) for name in given} == given


def test_pictures_are_drawn_in_the_steps_and_under_the_guidance_of_the_policy():
    assert sampler(desired_state([policy(steps=25, guidance=7.5)])) == Sampler(steps=25, guidance=7.5)


def test_the_defaults_of_policy_and_statistics_agree():
    assert sampler(desired_state([policy()])) == Sampler()
    limits = acceptance(desired_state([policy()]))
    plain = type(limits)(0.1, 0.05, 0.85, 0.95)
    assert (limits.max_attack_rate, limits.probe_limits, limits.sampling) == (plain.max_attack_rate, {}, plain.sampling)


def test_policies_and_engine_name_the_same_attacks():
    for level, attacks in policies_schema.ATTACKS_AT.items():
        assert attacks == tuple(attack.name for attack in level_named(level).attacks)
    assert set(policies_schema.ATTACKS_AT["adversarial"]) == set(ATTACKS)


def test_a_level_demands_its_attacks_so_that_none_can_be_left_out():
    quick, hard = (acceptance(desired_state([policy(level=level)])) for level in ("quick", "adversarial"))
    assert (quick.attacks, set(hard.attacks)) == ((), set(ATTACKS))


def test_every_category_of_a_policy_has_wordings() -> None:
    assert set(WORDED_AS) == set(get_args(policies_schema.Category))


def test_an_alias_of_two_goes_to_the_first_in_every_spelling():
    minnie, mickey = (
        Policy.model_validate(
            policy().model_dump()
            | {
                "request_id": name,
                "concepts": ({"id": name, "name": name, "aliases": (alias,), "category": "object"},),
            }
        )
        for name, alias in (("minnie", "mouse no. 1"), ("mickey", "mouse no.1"))
    )
    assert [target.names for target in edit_spec(desired_state([minnie, mickey])).targets] == [
        ("mickey", "mouse no.1", "mouse no. 1"),
        ("minnie",),
    ]


@pytest.mark.parametrize(
    ("limits", "settings", "editor"),
    [
        ({"level": "adversarial"}, {}, "hardened"),
        ({"level": "adversarial", "probe_limits": {"inversion": 1.0}}, {}, "auto"),
        ({"level": "adversarial"}, {"editor": "rece"}, "auto"),
        ({"level": "standard"}, {}, "auto"),
    ],
)
def test_auto_trains_where_an_attack_that_learns_decides(limits: Any, settings: Any, editor: str) -> None:
    told = policy(**limits).model_dump() | {"editor": {"name": "auto", "settings": settings}}
    spec = edit_spec(desired_state([Policy.model_validate(told)]))
    assert (spec.editor, spec.settings) == (editor, settings)
