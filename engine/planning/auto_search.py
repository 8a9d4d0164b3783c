"""The choice of settings: the least change that does what is asked, judged by proxies first and by pictures last.

`editor: auto` stands for an editor whose settings are searched for. The choices form a ladder: a few values of the
settings that say how much is erased at the cost of how much else. Each rung is planned, which takes no picture. It
passes if its proxies do, over the worst layer: `residual`, the energy of the targets left over their anchors, and
`drift`, the relative energy by which what is kept moved. Those that pass are taken from the smallest relative change of
a layer upwards. The first one is the choice or, if the caller gives a proof on pictures, the first one that the proof
accepts. So every rung with a smaller change than the choice failed the proxies or the proof, and the trials list these
one by one. Nothing is drawn at random.

The proxies are no promise about pictures. They decide what is worth a picture, and with what to start. Where no rung
keeps their limits, the proof is asked all the same, first about what leaves least of the targets.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from expunge.engine.editors import checked_settings, editor_named, settings_for, unknown
from expunge.engine.errors import EditError, SettingError
from expunge.engine.files.tensor_files import tensor_digest
from expunge.engine.planning.search_space import SEARCHED, rungs
from expunge.engine.plans.edit_plan import EditPlan
from expunge.engine.spec import EditSpec

AUTO = "auto"
SHOWN = "it is the same edit, to the bit, as one that pictures spoke against"


@dataclass(frozen=True)
class AutoSettings:
    """Settings of the search.

    `editor` is the one whose ladder is searched. `max_residual` and `max_drift` are the proxies' limits over the worst
    layer. `proofs` is how many rungs may be judged by pictures.

    The limits are `scapre`'s. Each editor's proxies are of the tokens that it reads itself. So those of one that reads
    bare names (`uce`, `rece`, `speed`) are smaller at the same pictures, and where nothing is kept nothing drifts.
    """

    editor: str = field(default="scapre", metadata={"choices": SEARCHED})
    max_residual: float = 0.07
    max_drift: float = 0.05
    proofs: int = 6


@dataclass(frozen=True)
class Trial:
    """One rung: what sets it apart, and how it fared.

    `worst` is the largest `change`, `residual` and `drift` of any layer, empty if it could not be planned. `accepted`
    is the proof's answer, None if it was not asked. `problem` says why it was not worth a picture, or what pictures
    showed against it. `barred` says that it may not be chosen at all.
    """

    settings: Mapping[str, Any]
    worst: Mapping[str, float]
    problem: str = ""
    accepted: bool | None = None
    barred: bool = False

    @property
    def may_be_shown(self) -> bool:
        """Return whether pictures may be asked of it, whatever the proxies say."""
        return bool(self.worst) and not self.barred and all(map(math.isfinite, self.worst.values()))


@dataclass(frozen=True)
class Tuned:
    """The plan that was chosen and every rung that was tried, in the order of the ladder."""

    plan: EditPlan
    trials: tuple[Trial, ...]


class NothingAccepted(EditError):
    """No rung meets what was asked; `trials` are all that were tried."""

    def __init__(self, problem: str, trials: Sequence[Trial]) -> None:
        super().__init__(AUTO, problem)
        self.trials = tuple(trials)


Judgement = Callable[[EditPlan], str]
"""Takes a plan and returns what is wrong with it, or "" if nothing is."""


def least(
    spec: EditSpec,
    draft: Callable[[EditSpec], EditPlan],
    proof: Judgement | None = None,
    bar: Judgement | None = None,
) -> Tuned:
    """Return the least change on the ladder that passes or, where none does, what leaves least and a proof accepts.

    The plan names the editor and the settings that were chosen. The specification that it records is the one that left
    them open.

    Args:
        spec: the specification with `editor: auto`.
        draft: plans one specification that names its editor.
        proof: judges a plan by pictures.
        bar: judges, before any picture, whether a plan is of no use.
    Raises:
        NothingAccepted: there is no such change.
        SettingError: as for any editor.
    """
    auto, choices = asked(spec), ladder(spec)
    trials = [_tried(choice, draft, auto, bar) for choice in choices]
    worth = _ascending(trials, [n for n, trial in enumerate(trials) if not trial.problem], "change")
    if not worth and proof:
        worth = _ascending(trials, [n for n, trial in enumerate(trials) if trial.may_be_shown], "residual")
    if not worth:
        raise NothingAccepted(_none_worth_it(trials, auto), trials)
    shown: set[str] = set()
    for place in worth:
        if proof and len(shown) == auto.proofs:
            break
        made = replace(draft(choices[place]), spec=search_digest(spec))
        if proof is None:
            return Tuned(made, tuple(trials))
        if (edit := tensor_digest(made.deltas)) in shown:
            trials[place] = replace(trials[place], problem=SHOWN)
            continue
        shown.add(edit)
        against = proof(made)
        trials[place] = replace(trials[place], problem=against, accepted=not against)
        if not against:
            return Tuned(made, tuple(trials))
    raise NothingAccepted(_none_accepted(trials), trials)


def _ascending(trials: Sequence[Trial], places: Iterable[int], by: str) -> list[int]:
    return sorted(places, key=lambda place: (trials[place].worst[by], place))


def asked(spec: EditSpec) -> AutoSettings:
    """Return the settings of the search that a specification with `editor: auto` asks for.

    Its other settings are the editor's, and fixed.

    Raises:
        SettingError: it names an editor itself, or a setting that neither the search nor its editor has.
    """
    if spec.editor != AUTO:
        raise SettingError(f"editor is {spec.editor!r}, which leaves nothing to choose; use {AUTO!r}")
    given = {name: value for name, value in spec.settings.items() if name in _NAMES}
    auto = checked_settings(AUTO, AutoSettings, given)
    own = [entry.name for entry in fields(editor_named(auto.editor).settings)]
    for name in spec.settings:
        if name not in (*_NAMES, *own):
            raise unknown(f"{AUTO} and {auto.editor} have no setting {name!r}", name, (*sorted(_NAMES), *own))
    return auto


def ladder(spec: EditSpec) -> list[EditSpec]:
    """Return the choices for a specification with `editor: auto`: specifications that name their editor.

    Where every target names its anchor, there is no choice of a default anchor. Where no words are read, there is none
    of their weight.
    """
    editor = asked(spec).editor
    fixed = {name: value for name, value in spec.settings.items() if name not in _NAMES}
    idle = {"default_anchor"} if all(target.anchor for target in spec.targets) else set()
    idle |= {"general"} if fixed.get("general_words") == 0 else set()
    return [replace(spec, editor=editor, settings={**rung, **fixed}) for rung in rungs(editor, without={*fixed, *idle})]


def search_digest(spec: EditSpec) -> str:
    """Return the digest of the specification with every default of the search filled in.

    So another search has another digest.
    """
    return replace(spec, settings={**asdict(asked(spec)), **spec.settings}).digest


def could_be(settings: Mapping[str, Any], spec: EditSpec) -> bool:
    """Return whether `settings`, all of an editor's, are on the ladder that the specification is searched on."""
    return any(settings == asdict(settings_for(editor_named(rung.editor), rung.settings)) for rung in ladder(spec))


def _tried(rung: EditSpec, draft: Callable[[EditSpec], EditPlan], auto: AutoSettings, bar: Judgement | None) -> Trial:
    try:
        made = draft(rung)
    except EditError as error:
        return Trial(rung.settings, {}, str(error))
    layers, against = list(made.diagnostics.values()), bar(made) if bar else ""
    worst = {name: _worst(layer[name] for layer in layers) for name in ("change", "residual", "drift")}
    beyond = [
        f"{name} {worst[name]:.3g} is above {limit:g}"
        for name, limit in (("residual", auto.max_residual), ("drift", auto.max_drift))
        if not worst[name] <= limit
    ]
    return Trial(rung.settings, worst, "; ".join([*filter(None, [against]), *beyond]), barred=bool(against))


def _worst(values: Iterable[float]) -> float:
    """Return the largest value, or NaN if any is."""
    return max(values, key=lambda value: (math.isnan(value), value))


def _none_worth_it(trials: Sequence[Trial], auto: AutoSettings) -> str:
    planned = [trial for trial in trials if trial.worst]
    if not planned:
        return f"none of {len(trials)} settings could be planned; the first failed with: {trials[0].problem}"
    barred, free = ([trial for trial in planned if trial.barred is own] for own in (True, False))
    nearer = f"{len(barred)} are barred, that with the least change by: {_least(barred).problem}" if barred else ""
    if not free:
        return f"of {len(trials)} settings of {auto.editor} {nearer}"
    residual, drift = (max(limit, 1e-9) for limit in (auto.max_residual, auto.max_drift))
    nearest = min(free, key=lambda trial: max(trial.worst["residual"] / residual, trial.worst["drift"] / drift))
    least, moved = nearest.worst["residual"], nearest.worst["drift"]
    return (
        f"none of {len(trials)} settings of {auto.editor} leaves at most {auto.max_residual:g} of the targets and "
        f"moves what is kept by at most {auto.max_drift:g}; nearest is {dict(nearest.settings)}, which leaves "
        f"{least:.3g} and moves {moved:.3g}: name fewer concepts at once, or raise max_residual or max_drift"
        + (f" ({nearer})" if nearer else "")
    )


def _least(trials: Sequence[Trial]) -> Trial:
    return min(trials, key=lambda trial: trial.worst["change"])


def _none_accepted(trials: Sequence[Trial]) -> str:
    shown = sum(trial.accepted is not None for trial in trials)
    return (
        f"pictures accepted none of the {shown} settings put to them, of {len(trials)}: name an anchor, name fewer "
        "concepts at once, raise proofs, or widen the policy's acceptance"
    )


_NAMES = {entry.name for entry in fields(AutoSettings)}
