"""From what the policies desire to what the engine needs: the one place where the two rooms meet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from expunge.engine.models.sampling import Sampler
from expunge.engine.planning.auto_search import AUTO
from expunge.engine.probes import Subject
from expunge.engine.probes.levels import INFORMATIVE, NAMED, Level, level_named
from expunge.engine.spec import EditSpec, Retain, Target, spoken
from expunge.engine.stats.limits.acceptance import Acceptance
from expunge.engine.stats.limits.attempts import confidence_at, growth, seed_of
from expunge.engine.text.templates import WORDED_AS, own_wordings
from expunge.policies import DesiredState, reading_key
from expunge.policies.model.schema import Concept

HARDENED = "hardened"
LEARNS_FROM_WEIGHTS = "inversion"


def edit_spec(state: DesiredState) -> EditSpec:
    """Targets, retained concepts, editor and seed of a desired state."""
    names = _names(state.concepts)
    editor, settings = _editor(state)
    return EditSpec(
        targets=tuple(
            Target(item.id, names[item.id], WORDED_AS[item.category], item.anchor, item.prompts)
            for item in state.concepts
        ),
        retain=tuple(
            Retain(item.id, (item.name,), WORDED_AS[item.category], item.kind, item.kin) for item in state.retain
        ),
        editor=editor,
        settings=settings,
        seed=state.seed,
    )


def _editor(state: DesiredState) -> tuple[str, Mapping[str, Any]]:
    """Return the editor and its settings.

    `auto` without settings is the one that trains where an attack that learns from the weights decides, for no edit in
    closed form withstands it.
    """
    own, terms = state.editor, acceptance(state)
    is_open = own.name == AUTO and not own.settings
    if is_open and LEARNS_FROM_WEIGHTS in terms.attacks and terms.decides(LEARNS_FROM_WEIGHTS):
        return HARDENED, {}
    return own.name, own.settings


def _names(concepts: Sequence[Concept]) -> dict[str, tuple[str, ...]]:
    """Return the names of each concept by its id.

    An alias of two, which two policies may give, is the first one's, in every spelling: erased by one it is gone for
    both, and neither policy could be changed for the other's sake.
    """
    owners = {reading_key(concept.name): concept.id for concept in concepts}
    for concept in concepts:
        for alias in concept.aliases:
            owners.setdefault(reading_key(alias), concept.id)
    names: dict[str, dict[str, str]] = {concept.id: {} for concept in concepts}  # by how they are spoken
    for concept in concepts:
        for name in (concept.name, *concept.aliases):
            names[owners[reading_key(name)]].setdefault(spoken(name), name)
    return {id: tuple(own.values()) for id, own in names.items()}


def subjects(state: DesiredState) -> list[Subject]:
    """Return everything to be examined: targets first, then what must be kept."""
    targets = [_target(concept) for concept in state.concepts]
    kept = [Subject(c.id, c.kind, c.category, c.name, (), _said(c.prompts, (c.name,))) for c in state.retain]
    return targets + kept


def _target(concept: Concept) -> Subject:
    open_ = [prompt for prompt in concept.prompts if "{}" in prompt]
    return Subject(
        id=concept.id,
        role="target",
        category=concept.category,
        name=concept.name,
        aliases=concept.aliases,
        prompts=_said(concept.prompts, (concept.name,)),
        alias_prompts=_said(open_, concept.aliases),
    )


def _said(prompts: Sequence[str], names: Sequence[str]) -> tuple[str, ...]:
    return tuple(wording.text for wording in own_wordings(prompts, names))


def drawn_anew(state: DesiredState, attempt: int) -> DesiredState:
    """Return the state with the seed that this attempt draws its pictures by; what it edits by stays."""
    return state.model_copy(update={"seed": seed_of(state.seed, state.digest, attempt)})


def sampler(state: DesiredState) -> Sampler:
    """Return how every picture of a desired state's examination is drawn."""
    return Sampler(steps=state.acceptance.steps, guidance=state.acceptance.guidance)


def level_of(state: DesiredState, attempt: int = 0) -> Level:
    """Return the level of a desired state; its attacks draw as many pictures as this attempt needs."""
    times = growth(state.acceptance.confidence, attempt)
    return level_named(state.acceptance.level).drawn_by(sampler(state)).grown(times)


def acceptance(state: DesiredState, attempt: int = 0) -> Acceptance:
    """Return the limits of a desired state; its level says which attacks every target must have been put through.

    The confidence is that of this attempt, so that all of them together keep the policy's.
    """
    limits = state.acceptance
    return Acceptance(
        max_target_rate=limits.max_target_rate,
        max_retain_drop=limits.max_retain_drop,
        min_control_rate=limits.min_control_rate,
        confidence=confidence_at(limits.confidence, attempt),
        max_attack_rate=limits.max_attack_rate,
        probe_limits=limits.probe_limits,
        sampling=limits.sampling,
        attacks=tuple(attack.name for attack in level_named(limits.level).attacks),
        informative=INFORMATIVE,
        unspared=state.unspared,
        named=NAMED,
        max_noise_rate=limits.max_noise_rate,
        level=limits.level,
        attempt=attempt,
    )
