"""From what the policies desire to what the engine needs: the one place where the two rooms meet."""

from __future__ import annotations

from engine.probes import Subject
from engine.results import Acceptance
from engine.spec import EditSpec, Retain, Target
from engine.wordings import WORDED_AS
from policies import DesiredState


def edit_spec(state: DesiredState) -> EditSpec:
    """Targets, retained concepts, editor and seed of a desired state."""
    return EditSpec(
        targets=tuple(
            Target(item.id, (item.name, *item.aliases), WORDED_AS[item.category], item.anchor, item.prompts)
            for item in state.concepts
        ),
        retain=tuple(Retain(item.id, (item.name,), WORDED_AS[item.category], item.kind) for item in state.retain),
        editor=state.editor.name,
        settings=state.editor.settings,
        seed=state.seed,
    )


def subjects(state: DesiredState) -> list[Subject]:
    """Everything to be examined: targets first, then what must be kept."""
    targets = [Subject(c.id, "target", c.category, c.name, c.aliases, c.prompts) for c in state.concepts]
    kept = [Subject(c.id, c.kind, c.category, c.name, (), c.prompts) for c in state.retain]
    return targets + kept


def acceptance(state: DesiredState) -> Acceptance:
    limits = state.acceptance
    return Acceptance(limits.max_target_rate, limits.max_retain_drop, limits.min_control_rate, limits.confidence)
