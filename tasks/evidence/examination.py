"""The examination of a model: the policy's own concepts, what its level adds, and how many pictures.

It follows from state, base and judge alone. So every step that needs it works it out anew, and no file between two
steps says how little was to be asked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import product
from typing import Any

import pandas as pd

from expunge.engine import emoji
from expunge.engine.emoji.catalogue import OBJECTS, STYLES
from expunge.engine.errors import SettingError, UnknownArchitecture
from expunge.engine.judges import error
from expunge.engine.judges.card import names
from expunge.engine.models.load import open_model
from expunge.engine.models.sampling import Sampler
from expunge.engine.probes import Question, Subject
from expunge.engine.probes.attacks import search_effort
from expunge.engine.probes.levels import Level, questions_at, readable
from expunge.engine.probes.retained import retained_subjects
from expunge.engine.spec import spoken
from expunge.engine.stats.evidence.attack_budgets import due
from expunge.engine.stats.evidence.table import ARMS, never_shown
from expunge.engine.stats.limits.acceptance import Acceptance
from expunge.engine.stats.sampling_plan import asked, plan_of
from expunge.engine.stats.verdict import JudgeError
from expunge.engine.text.typed_forms import other_spellings
from expunge.policies import DesiredState, PolicyError
from expunge.tasks.core.machine.device import device
from expunge.tasks.core.policy_adapter import acceptance, drawn_anew, level_of, sampler, subjects
from expunge.tasks.core.work_order import Order
from expunge.tasks.evidence.look_alikes import neighbours


@dataclass(frozen=True)
class Examination:
    """All that is asked and how it is judged.

    `plan` has a row for each of the questions, with its round; `unread` are questions too long for the text encoder;
    `sampler` draws all pictures, those of attacks too; `judge` is the judge's own error by category, where it was
    measured; `seed` is the first one that an attack takes.
    """

    level: Level
    sampler: Sampler
    acceptance: Acceptance
    judge: Mapping[str, JudgeError]
    subjects: tuple[Subject, ...]
    questions: tuple[Question, ...]
    plan: pd.DataFrame
    unread: tuple[Question, ...]
    seed: int

    @property
    def targets(self) -> list[Subject]:
        return [subject for subject in self.subjects if subject.role == "target"]

    @property
    def names(self) -> dict[str, str]:
        """Return what people call each concept, by id."""
        return {subject.id: subject.name for subject in self.subjects}

    @property
    def tries(self) -> int:
        """Pictures that all attacks on all targets take of one model."""
        return len(self.targets) * sum(attack.cost for attack in self.level.attacks)

    @property
    def effort(self) -> float:
        """Return what all attacks on all targets of both models are worth, in pictures; their searches serve both."""
        attacks = self.level.attacks
        once = [len(ARMS) * attack.effort - (len(ARMS) - 1) * search_effort(attack) for attack in attacks]
        return len(self.targets) * sum(once)

    def rows(self, evidence: pd.DataFrame, arms: Sequence[str] = ARMS) -> int:
        """Return how many rows there must be: all arms of every question of the rule, and of every attack's tries.

        A target that the unedited model was asked for and never showed cannot be attacked, so it has no tries.
        """
        aimed_at = {target.id for target in self.targets} - set(never_shown(evidence))
        tries = sum(
            made.cost
            for concept, attack in product(aimed_at, self.level.attacks)
            for made in due(attack, concept, evidence, self.acceptance)
        )
        return len(arms) * (len(asked(self.plan, evidence, self.acceptance, self.judge)) + tries)


@lru_cache(maxsize=4)
def examination(order: Order) -> Examination:
    """Return the examination of each model for this order; a level that adds to the policy opens the base.

    Raises PolicyError where the level makes an attack that cannot be made on such a model, or in so few steps.
    """
    state = drawn_anew(order.desired, order.attempt)
    wanted, limits, by = state.acceptance, acceptance(state, order.attempt), sampler(state)
    level = level_of(state, order.attempt)
    pools = names(order.judge_folder)
    examined, unread = as_judged(subjects(state), pools), []
    base = open_model(order.base_folder, order.base, device()) if level.asks_more else None
    if base is not None:
        _refuse_unattackable(level, base)
        examined = _examined(order, base, examined, level, state, pools)
    questions = questions_at(level.name, examined, wanted.prompts, wanted.seeds, state.seed)
    if base is not None:
        questions, unread = readable(base, questions)
    plan = plan_of(questions, limits, wanted.round_seeds)
    judge = error.read(order.judge_folder, order.judge)
    return Examination(level, by, limits, judge, tuple(examined), tuple(questions), plan, tuple(unread), state.seed)


def _refuse_unattackable(level: Level, base: Any) -> None:
    for attack in level.attacks:
        try:
            attack.check(base)
        except (UnknownArchitecture, SettingError) as error:
            what = f"at {level.name!r} the model is attacked by {attack.name}, and {error}"
            raise PolicyError("acceptance.level", what, "ask for `quick`, which makes no attacks") from error


def _examined(
    order: Order,
    base: Any,
    subjects: Sequence[Subject],
    level: Level,
    state: DesiredState,
    labels: Mapping[str, Sequence[str]],
) -> list[Subject]:
    """Return the policy's concepts with what is known of them, and further ones to examine for damage.

    The further ones are those of the judge's `labels` that the level wants.
    """
    subjects = [_with_synonyms(subject) for subject in subjects] if order.base_folder == emoji.MODEL else list(subjects)
    subjects = [replace(subject, spellings=other_spellings(base, subject.name)) for subject in subjects]
    erased = {spoken(name) for subject in subjects if subject.role == "target" for name in subject.names}
    pools = {category: [name for name in own if spoken(name) not in erased] for category, own in labels.items()}
    plain = questions_at("quick", subjects, state.acceptance.prompts, state.acceptance.seeds, state.seed)
    near = neighbours(order, base, plain, pools, level.look_alikes, sampler(state)) if level.look_alikes else {}
    return subjects + retained_subjects(subjects, near, pools, level.name, state.seed)


def as_judged(subjects: Sequence[Subject], labels: Mapping[str, Sequence[str]]) -> list[Subject]:
    """Return the subjects with the aliases that the judge knows as `labels`.

    What the judge calls by an alias is the target, and no rival of it.
    """

    def known(subject: Subject) -> tuple[str, ...]:
        aliases = {spoken(alias) for alias in subject.aliases}
        return tuple(label for label in labels.get(subject.category, ()) if spoken(label) in aliases)

    return [replace(subject, seen_as=known(subject)) for subject in subjects]


def _with_synonyms(subject: Subject) -> Subject:
    """Return the subject with the synonyms and clues that the built-in model learnt; of a style it knows no clues."""
    known = {spoken(item.name): item for item in {"object": OBJECTS, "style": STYLES}.get(subject.category, ())}
    entry = known.get(spoken(subject.name))
    if entry is None or subject.role != "target":
        return subject
    named = set(map(spoken, subject.names))
    others = tuple(word for word in entry.synonyms if spoken(word) not in named)
    return replace(subject, synonyms=others, clues=getattr(entry, "clues", ()))
