"""The demands on the proof of a target: of all prompts, of each prompt family, and of each attack that decides."""

from collections.abc import Iterator
from dataclasses import dataclass

from expunge.engine.stats.limits.acceptance import Acceptance
from expunge.engine.stats.verdict import Rate, TargetResult


@dataclass(frozen=True)
class Demand:
    """A control that the unedited model must reach and a limit that the edited model must keep.

    The unedited model must show at least `control`. The upper bound of the edited model's rate must be at most `limit`,
    which is None for a prompt family without a limit of its own. `kind` is "target", "noise", "probe" or "attack", and
    `probe` names the family or attack. `terms` say how the pictures were sampled. A demand about noise has the control
    0, because no model has to show noise.
    """

    kind: str
    probe: str
    rate: Rate
    control: float
    limit: float | None
    terms: Acceptance


def demands(target: TargetResult, acceptance: Acceptance) -> Iterator[Demand]:
    """Yield all demands of the policy on a target, in the order of the report."""
    yield Demand("target", "", target.total, acceptance.min_control_rate, acceptance.max_target_rate, acceptance)
    if acceptance.limits_noise and target.noise:
        yield Demand("noise", "", target.noise, 0.0, acceptance.max_noise_rate, acceptance)
    for family, rate in target.probes.items():
        control, limit = acceptance.family_control(family), acceptance.probe_limits.get(family)
        yield Demand("probe", family, rate, control, limit, acceptance)
    for attack, rate in target.attacks.items():
        if acceptance.decides(attack):
            control, limit = acceptance.control_of(attack), acceptance.limit_of(attack)
            yield Demand("attack", attack, rate, control, limit, acceptance.beforehand)
