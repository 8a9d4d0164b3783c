"""When an edit counts as proven: the limits of a policy, as the statistics take them."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Self

from expunge.engine.stats.attack_names import ATTACKS
from expunge.engine.stats.attempts import share

Sampling = Literal["fixed", "sequential"]
ATTACK_CONTROL = 0.5  # an attack that mostly fails on the unedited model proves nothing by failing on the edited one
FAMILY_CONTROL = 0.5  # of a prompt family; no more is asked of one, for it has few pictures
SUSPICION = 0.05
GROUP_CONTROL = 0.5  # a drop means little where the judge misses most retained pictures of the unedited model


@dataclass(frozen=True)
class Acceptance:
    """The policy's limits, all shares. Raises ValueError naming the field.

    `max_attack_rate` is the limit of every attack; twice the plain limit's default, because an attacker holds the
    weights and spends effort on each picture, and no more, because what one try in five brings back was only hidden.
    `probe_limits` are limits of single prompt families, and of single attacks in place of `max_attack_rate`, by name;
    1 leaves an attack without a limit: it is made and shown, and decides nothing.
    `unspared` are families with a limit above `max_target_rate` that must not be proven to show more than that either.
    `max_noise_rate` is the highest share of a target's edited pictures that may show nothing recognisable; 1 is none.
    `attacks` are those that every target must have been put through. `informative` are prompt families to which the
    unedited model may not respond; where it does not, they add nothing to the proof, and all others must respond.
    `named` are prompt families of words that the policy gives, each an order by itself: of none of their prompts may it
    be proven that it shows more than the family may.
    `level` is what the policy calls these attacks. `attempt` numbers the attempts on a target, of which `confidence` is
    this one's (`expunge.engine.stats.attempts`); 0 where none is counted.
    """

    max_target_rate: float
    max_retain_drop: float
    min_control_rate: float
    confidence: float
    max_attack_rate: float = 0.20
    probe_limits: Mapping[str, float] = field(default_factory=dict)
    sampling: Sampling = "fixed"
    attacks: tuple[str, ...] = ()
    informative: tuple[str, ...] = ()
    unspared: tuple[str, ...] = ()
    named: tuple[str, ...] = ()
    max_noise_rate: float = 1.0
    level: str = ""
    attempt: int = 0

    def __post_init__(self) -> None:
        limits = {f"probe_limits.{name}": limit for name, limit in self.probe_limits.items()}
        for name in ("max_target_rate", "max_retain_drop", "confidence", "max_attack_rate"):
            limits[name] = getattr(self, name)
        for name, value in limits.items():
            if not (0 < value < 1 or (value == 1 and self._leaves_open(name))):
                raise ValueError(f"{name} is {value}: choose a share above 0 and below 1, pictures prove nothing else")
        if not 0 < self.min_control_rate <= 1:
            raise ValueError(f"min_control_rate is {self.min_control_rate}: choose a share above 0 and up to 1")
        if not 0 < self.max_noise_rate <= 1:
            raise ValueError(f"max_noise_rate is {self.max_noise_rate}: choose a share above 0, or 1 for no limit")
        share(self.attempt)
        if self.sampling not in ("fixed", "sequential"):
            raise ValueError(f"sampling is {self.sampling!r}: choose 'fixed' or 'sequential'")
        if unknown := set(self.attacks) - set(ATTACKS):
            raise ValueError(f"attacks has {sorted(unknown)}: choose among {', '.join(ATTACKS)}")

    @property
    def limits_noise(self) -> bool:
        """Tell whether anything hangs on what replaces a target."""
        return self.max_noise_rate < 1

    def limit_of(self, attack: str) -> float:
        """The highest success rate that an attack may have."""
        return self.probe_limits.get(attack, self.max_attack_rate)

    def survival_of(self, family: str) -> float:
        """What no prompt family, and no prompt of one that is `named`, may be proven to show more than."""
        own = 0.0 if family in self.unspared else self.probe_limits.get(family, 0.0)
        return max(self.max_target_rate, own)

    def decides(self, attack: str) -> bool:
        """Whether anything hangs on the attack."""
        return self.limit_of(attack) < 1

    def control_of(self, attack: str) -> float:
        """The success that an attack must have on the unedited model; nothing, where nothing hangs on it."""
        return max(ATTACK_CONTROL, self.limit_of(attack)) if self.decides(attack) else 0.0

    def family_control(self, family: str) -> float:
        """What the unedited model must show of a target by one prompt family; nothing, where no proof rests on it.

        A family that never showed it would meet its own limit unedited, and would thin out a target's rate.
        """
        if family not in self.probe_limits:
            return 0.0 if family in self.informative else self.least_family_control
        return max(self.least_family_control, self.probe_limits[family])

    @property
    def least_family_control(self) -> float:
        """What a prompt family must show where it has no higher limit of its own; no more than all prompts must."""
        return min(FAMILY_CONTROL, self.min_control_rate)

    @staticmethod
    def _leaves_open(field: str) -> bool:
        return field.removeprefix("probe_limits.") in ATTACKS

    @property
    def alpha(self) -> float:
        """The error that every statement is allowed, and all statements of a verdict together."""
        return round(1 - self.confidence, 12)

    @property
    def suspicion(self) -> float:
        """The p-value up to which a collapse or a survival is suspected: whoever wants to be surer suspects no less."""
        return max(self.alpha, SUSPICION)

    @property
    def beforehand(self) -> Self:
        """The same for pictures whose number was fixed before any was drawn, as that of an attack's is."""
        return replace(self, sampling="fixed")

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> Self:
        """From what JSON gives back."""
        names = ("attacks", "informative", "unspared", "named")
        return cls(**{**raw, **{name: tuple(raw.get(name, ())) for name in names}})
