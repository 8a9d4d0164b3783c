"""No policy goes below the floor, whatever field it hides in; what is in force is raised."""

from __future__ import annotations

from pathlib import Path

import pytest

import expunge.policies
from expunge.policies import Floor, PolicyErrors, desired_state, held_to, parse, parse_floor, read, read_floor
from expunge.policies.floor import Kinds, Terms, below
from expunge.policies.kinds import REQUESTS
from expunge.policies.model.schema import ATTACKS_AT, Acceptance

FOLDER = Path(expunge.policies.__file__).parent
FLOOR = read_floor(FOLDER / "floor.yaml")
TEXT = (FOLDER / "floor.yaml").read_text()


def loose(text: str, floor: Floor = FLOOR) -> dict[str, tuple[int | None, str]]:
    """By field the line and the words of what a policy is refused for."""
    try:
        parse(text.encode(), "case.yaml", floor)
    except PolicyErrors as errors:
        return {error.field: (error.line, str(error)) for error in errors.errors}
    return {}


@pytest.mark.parametrize("name", ["demo", "one-object", "five-objects", "hardened"])
def test_the_examples_keep_the_built_in_floor(name: str) -> None:
    assert read(FOLDER / "examples" / f"{name}.yaml", FLOOR).concepts


def test_attack_a_pass_at_51_percent_confidence_with_a_limit_of_87_percent(edited) -> None:
    text = edited("confidence: 0.95", "confidence: 0.51").replace(
        "max_target_rate: 0.10", "max_target_rate: 0.87\n  min_control_rate: 0.9"
    )
    assert parse(text.encode(), "case.yaml").acceptance.confidence == 0.51, "the file itself is valid"
    found = loose(text)
    assert set(found) == {"acceptance.confidence", "acceptance.max_target_rate"}
    line, words = found["acceptance.confidence"]
    assert line is not None
    assert text.splitlines()[line - 1].strip() == "confidence: 0.51"
    assert "0.51" in words
    assert "0.9" in words
    assert "copyright" in words


def test_attack_adversarial_with_every_attack_waived(edited) -> None:
    waived = ", ".join(f"{name}: 1" for name in ATTACKS_AT["adversarial"])
    found = loose(edited("  seeds: 8", f"  seeds: 8\n  level: adversarial\n  probe_limits: {{{waived}}}"))
    assert set(found) == {f"acceptance.probe_limits.{name}" for name in FLOOR.default.never_waived}


@pytest.mark.parametrize("probe", ["relearn", "inversion", "name", "alias"])
def test_attack_a_limit_of_99_percent_waives_and_is_not_called_waived(edited, probe: str) -> None:
    found = loose(edited("  seeds: 8", f"  seeds: 8\n  level: adversarial\n  probe_limits: {{{probe}: 0.99}}"))
    assert set(found) == {f"acceptance.probe_limits.{probe}"}


def test_what_is_left_out_of_a_policy_is_held_to_the_floor_as_well(edited) -> None:
    floor = parse_floor(TEXT.replace("level: quick", "level: standard").encode(), "floor.yaml")
    line, words = loose(edited("  seeds: 8", "  prompts: 5"), floor)["acceptance.level"]
    assert "quick is looser than the floor, which has standard" in words
    assert line is not None


def test_a_kind_has_terms_of_its_own(edited) -> None:
    assert not loose(edited("seed: 0", "seed: 1"))
    assert "acceptance.level" in loose(edited("kind: copyright", "kind: ncii"))
    assert set(Kinds.model_fields) == set(REQUESTS)


def test_a_withdrawal_asks_for_nothing_that_could_be_too_little(edited) -> None:
    ncii = parse(edited("kind: copyright", "kind: ncii").encode(), "case.yaml")
    gone = ncii.model_copy(update={"concepts": (), "replaces": ("x",)})
    assert not list(below(gone, FLOOR))
    assert held_to(gone, FLOOR) == gone


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("  confidence: 0.90\n", "", "default.confidence: is missing"),
        ("confidence: 0.90", "confidnce: 0.90", "did you mean confidence?"),
        ("ncii:", "nci:", "did you mean ncii?"),
        ("  seeds: 8", "  seeds: 8\n  seeds: 1", "is written twice, on line 13 and on line 14"),
        ("level: quick", "level: hard", "use one of: quick, standard, adversarial"),
        (
            "start_picture, other_settings, relearn, word_sweep]",
            "start_pictures, other_settings, relearn, word_sweep]",
            "'start_pictures' is no attack",
        ),
        ("confidence: 0.90", "confidence: .nan", "is not a number"),
        ("default:", "default: &a", "sets the anchor"),
    ],
)
def test_a_floor_is_read_as_strictly_as_a_policy(old: str, new: str, words: str) -> None:
    with pytest.raises(PolicyErrors, match=r"floor\.yaml:\d+: ") as caught:
        parse_floor(TEXT.replace(old, new, 1).encode(), "floor.yaml")
    assert words in str(caught.value)


def test_the_digest_is_of_what_a_floor_says_and_not_of_how() -> None:
    other = parse_floor(("# another comment\n" + TEXT.replace("0.90", "0.9")).encode(), "floor.yaml")
    assert other.digest == FLOOR.digest
    assert parse_floor(TEXT.replace("0.90", "0.91").encode(), "floor.yaml").digest != FLOOR.digest


def test_every_term_is_one_of_a_policys_or_says_what_of_it_is_held() -> None:
    own = {"max_family_rate", "never_waived"}
    assert set(Terms.model_fields) - own <= set(Acceptance.model_fields)
    ungoverned = {"sampling", "round_seeds", "steps", "guidance", "probe_limits", "max_noise_rate"}
    assert set(Acceptance.model_fields) - set(Terms.model_fields) == ungoverned


def test_what_is_in_force_is_raised_to_the_floor_and_nothing_of_it_is_lowered(edited) -> None:
    text = edited("  seeds: 8", "  seeds: 2\n  level: adversarial\n  probe_limits: {relearn: 1, prompt_search: 1}")
    old = parse(text.replace("confidence: 0.95", "confidence: 0.51").encode(), "case.yaml")
    state = desired_state([held_to(old, FLOOR)]).acceptance
    assert (state.confidence, state.seeds, state.level) == (0.9, 8, "adversarial")
    assert (state.probe_limits["relearn"], state.probe_limits["prompt_search"]) == (0.3, 1)
    assert state.max_target_rate == 0.1, "stricter than the floor, as its policy says"
    assert not list(below(held_to(old, FLOOR), FLOOR))
