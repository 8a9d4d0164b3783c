"""What the proof of a target rests on: one demand for all prompts, one a prompt family, one an attack that decides."""

from collections.abc import Iterator
from dataclasses import dataclass

from expunge.engine.stats.acceptance import Acceptance
from expunge.engine.stats.verdict import Rate, TargetResult


@dataclass(frozen=True)
class Demand:
    """The unedited model must show at least `control`, and of the edited one at most `limit` may be proven possible.

    `kind` is "target", "noise", "probe" or "attack", and `probe` names the family or attack. `limit` is None for a
    family without one of its own. `terms` say how its pictures were counted. A demand about noise has no control, for
    nobody has to show any.
    """

    kind: str
    probe: str
    rate: Rate
    control: float
    limit: float | None
    terms: Acceptance


def demands(target: TargetResult, acceptance: Acceptance) -> Iterator[Demand]:
    """All that the policy asks of a target, in the order in which it is told."""
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
