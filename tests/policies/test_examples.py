"""The shipped examples: good, about things the built-in model can draw, and the same after a round trip."""

from __future__ import annotations

import csv
import dataclasses
import pickle
from pathlib import Path

import pytest
from pydantic import ValidationError

import expunge.policies
from expunge.policies import Policy, PolicyConflict, PolicyError, PolicyErrors

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "policies" / "examples").glob("*.yaml"))


def table(name: str) -> dict[str, dict[str, str]]:
    with open(ROOT / "engine" / "emoji" / name, encoding="utf-8", newline="") as handle:
        return {row["name"]: row for row in csv.DictReader(handle, delimiter="\t", quoting=csv.QUOTE_NONE)}


def dumped(policy: Policy) -> bytes:
    return expunge.policies.composed_json(policy.model_dump(mode="json"))


def test_there_are_four_examples() -> None:
    assert [path.stem for path in EXAMPLES] == ["demo", "five-objects", "hardened", "one-object"]


@pytest.mark.parametrize(
    ("name", "digest"),
    [
        ("demo", "f6e87f4eab8900bf6221861a71012783ca74e4a2df93b8f6f9febf3a051100eb"),
        ("five-objects", "b272cd889c55aa73ba08f236a33ea21bbe1455b015f3bdbe9384b08abd88eae0"),
        ("hardened", "057ee2c011a5543701c5446964042c368518ba1610c5acddb4aa117b9db710a1"),
        ("one-object", "c555b0cb893670997d294b4bad0c48ed051d4bdb1db6542c80ab4a056f062530"),
    ],
)
def test_what_a_kept_policy_says_has_the_digest_that_its_receipts_name(name: str, digest: str) -> None:
    """A new field, or another default, changes it, and then every policy in force would pass for altered: a new field
    has to be a `later` one, and another default needs another `schema_version`."""
    assert expunge.policies.read(ROOT / "policies" / "examples" / f"{name}.yaml").digest == digest


@pytest.mark.parametrize(("line", "same"), [("steps: 12", True), ("guidance: 2.0", True), ("guidance: 7.5", False)])
def test_a_later_field_is_part_of_the_digest_unless_it_says_what_was_always_so(line: str, same: bool) -> None:
    text = EXAMPLES[0].read_text(encoding="utf-8")
    more = text.replace("acceptance:\n", f"acceptance:\n  {line}\n")
    assert more != text
    assert (
        expunge.policies.parse(more.encode(), "a").digest == expunge.policies.parse(text.encode(), "b").digest
    ) == same


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_examples_survive_a_round_trip(path: Path) -> None:
    policy = expunge.policies.read(path)
    assert expunge.policies.parse(dumped(policy), "again") == policy
    assert expunge.policies.read(str(path)).digest == policy.digest
    assert Policy.model_validate_json(dumped(policy)).digest == policy.digest


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_examples_name_what_the_built_in_model_draws(path: Path) -> None:
    drawable = {"object": table("objects.tsv"), "style": table("styles.tsv")}
    policy = expunge.policies.read(path)
    for entry in (*policy.concepts, *policy.retain):
        assert entry.name in drawable[entry.category]
    for concept in policy.concepts:
        assert set(concept.aliases) <= set(drawable[concept.category][concept.name]["synonyms"].split(","))


def test_the_demo_erases_one_style_and_three_objects() -> None:
    concepts = expunge.policies.read(ROOT / "policies" / "examples" / "demo.yaml").concepts
    assert sorted(concept.category for concept in concepts) == ["object", "object", "object", "style"]


def test_the_example_of_an_erasure_from_the_weights_waives_nothing_and_names_the_editor() -> None:
    policy = expunge.policies.read(ROOT / "policies" / "examples" / "hardened.yaml")
    assert (policy.acceptance.level, policy.editor.name) == ("adversarial", "hardened")
    assert not policy.acceptance.probe_limits


def test_the_digest_sees_content_and_not_spelling() -> None:
    text = EXAMPLES[0].read_text(encoding="utf-8")
    digest = expunge.policies.parse(text.encode(), "a").digest
    assert len(digest) == 64
    assert expunge.policies.parse(("# a remark\n" + text + "\n").encode(), "b").digest == digest
    assert expunge.policies.parse(text.replace("seed: 0", "seed: 1").encode(), "c").digest != digest


def test_the_digest_is_the_same_for_composed_and_decomposed_text() -> None:
    text = EXAMPLES[0].read_text(encoding="utf-8")
    one, other = (text.replace("three objects", word).encode() for word in ("caf\u00e9", "cafe\u0301"))
    assert one != other
    assert expunge.policies.parse(one, "a").digest == expunge.policies.parse(other, "b").digest


def test_minus_zero_is_zero() -> None:
    text = EXAMPLES[0].read_text(encoding="utf-8")
    settings = (f"name: scapre\n  settings: {{kin: {zero}}}" for zero in ("0.0", "-0.0"))
    plus, minus = (text.replace("name: scapre", chosen) for chosen in settings)
    assert plus != minus
    assert expunge.policies.parse(plus.encode(), "a").digest == expunge.policies.parse(minus.encode(), "b").digest


def test_a_policy_cannot_be_changed() -> None:
    policy = expunge.policies.read(EXAMPLES[0])
    with pytest.raises(ValidationError, match="frozen"):
        policy.seed = 3  # pyright: ignore[reportAttributeAccessIssue]


@dataclasses.dataclass
class Odd:
    x: int = 0


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), "\ud800", {1: 2}, {"\u00e9": 1, "e\u0301": 2}, Odd()])
def test_composed_json_refuses_what_has_no_one_spelling(bad: object) -> None:
    with pytest.raises((ValueError, TypeError)):
        expunge.policies.composed_json({"a": [bad]})


def test_composed_json_is_sorted_compact_and_composed() -> None:
    assert expunge.policies.composed_json({"b": (1, 0.1), "a": "e\u0301"}) == '{"a":"\u00e9","b":[1,0.1]}'.encode()


def test_errors_survive_pickling() -> None:
    one = PolicyError("seed", "is odd", "make it even", 3, "a.yaml")
    for error in (one, PolicyErrors([one]), PolicyConflict("seed", "differs", "make them equal", ["b", "a"])):
        again = pickle.loads(pickle.dumps(error))
        assert str(again) == str(error)
        assert vars(again) == vars(error) or isinstance(error, PolicyErrors)
    assert str(one) == "a.yaml:3: seed: is odd; make it even"


def test_errors_without_a_line_come_last() -> None:
    errors = PolicyErrors([PolicyError("", "x", "y"), PolicyError("b", "x", "y", 9), PolicyError("a", "x", "y", 2)])
    assert [error.line for error in errors.errors] == [2, 9, None]
