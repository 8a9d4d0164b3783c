"""The grade of a verdict: one line that says what a PASS assures, and what it does not."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from expunge.engine.stats.limits.acceptance import Acceptance
from expunge.engine.stats.limits.attack_names import ATTACKS
from expunge.engine.stats.limits.attempts import confidence_over_all

LEARNING = ("inversion", "prompt_search", "word_sweep")
"""The attacks that learn the concept from its pictures and have the weights."""


ASSURANCES = {
    "by words": "Prompts, and what can be guessed from text alone, no longer show the target. "
    "Whoever has the weights may still teach them a word for it.",
    "by weights": "Prompts no longer show the target, and attacks that learn from its pictures, with the weights in "
    "hand, did not bring it back either.",
}
"""The meaning of each assurance for a reader who knows no machine learning."""
GUESSING = "concept_vector"
"""The attack that guesses words from text alone."""
NAMES_ALONE = (
    "Prompts that name the target no longer show it. Other words for it were not searched for, and whoever has the "
    "weights may still teach them one."
)
"""What is assured by words where no attack that guesses them decided, as at level quick."""


def grade_of(passed: bool, terms: Acceptance, attacks: Sequence[Collection[str]]) -> str:
    """Return level, limits, confidence, waived attacks and assurance on one line.

    Of a verdict that is no PASS they are what the policy asked for, and nothing of it is proven.

    Args:
        attacks: for each target, the attacks made on it.
    """
    parts = (
        f"{'' if passed else 'asked for '}{assurance(terms, attacks)}",
        f"level {terms.level or 'not named'}",
        _limits(terms),
        _confidence(terms),
        f"waived: {', '.join(_waived(terms)) or 'none'}",
    )
    return "; ".join(parts)


def assurance(terms: Acceptance, attacks: Sequence[Collection[str]]) -> str:
    """Return the assurance, "by weights" or "by words".

    It is "by weights" only where every attack that learns was made on every target and decided.
    """
    asked = all(name in terms.attacks and terms.decides(name) for name in LEARNING)
    made = bool(attacks) and all(name in own for own in attacks for name in LEARNING)
    return "by weights" if asked and made else "by words"


def explained(terms: Acceptance, attacks: Sequence[Collection[str]]) -> str:
    """Return in plain sentences what a PASS on these terms assures of, and what it does not."""
    name = assurance(terms, attacks)
    guessed = GUESSING in terms.attacks and terms.decides(GUESSING)
    return ASSURANCES[name] if guessed or name == "by weights" else NAMES_ALONE


def _waived(terms: Acceptance) -> list[str]:
    return [name for name in terms.attacks if not terms.decides(name)]


def _limits(terms: Acceptance) -> str:
    deciding = [terms.limit_of(name) for name in terms.attacks if terms.decides(name)]
    loosest = max((limit for name, limit in terms.probe_limits.items() if name not in ATTACKS), default=0.0)
    attacks = f"attacks {max(deciding):.3g}" if deciding else "no attack decides"
    parts = [f"targets {terms.max_target_rate:.3g}", attacks, f"kept losses {terms.max_retain_drop:.3g}"]
    if loosest > terms.max_target_rate:
        parts.insert(1, f"single prompt families {loosest:.3g}")
    return "limits " + ", ".join(parts)


def _confidence(terms: Acceptance) -> str:
    if not terms.attempt:
        return f"confidence {_percent(terms.confidence)}"
    total = _percent(confidence_over_all(terms.confidence, terms.attempt))
    return f"confidence {total} over all attempts, this is attempt {terms.attempt} at {_percent(terms.confidence)}"


def _percent(share: float) -> str:
    return f"{100 * share:.6g} %"
