"""The findings of a verdict, one row a statement, as report, model card, MLflow and terminal show them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from expunge.engine.stats.estimates import silent
from expunge.engine.stats.limits.acceptance import GROUP_CONTROL
from expunge.engine.stats.verdict import Claim, Drop, GroupResult, Rate, RetainResult, TargetResult, Verdict

State = Literal["met", "missed", "unproven", "open"]
"""How a bound stands to its limit: "met", "missed" where more than the limit was measured, "unproven" where the bound
alone is above it, or "open" where the unedited model does not show what was looked for, so that it proves nothing."""
Names = Mapping[str, str]
"""What people call each concept, by id."""
NO_LIMIT = 1.0  # an attack that the policy has made and shown and lets decide nothing
ROLES = {"look_alike": "look-alikes", "general": "others"}


@dataclass(frozen=True)
class Gone:
    """A target that must be seen no more, in all prompts or by one limited prompt family or attack (`probe`).

    `control` is the share that the unedited model must show; `families` are the rates by prompt family, `silent` those
    to which the unedited model does not respond, so that they prove nothing.
    """

    concept: str
    name: str
    category: str
    probe: str
    rate: Rate
    control: float
    claim: Claim
    proven: bool
    families: Mapping[str, Rate]
    silent: tuple[str, ...]

    @property
    def limit(self) -> float:
        return self.claim.limit

    @property
    def decides(self) -> bool:
        return self.limit < NO_LIMIT

    @property
    def shown(self) -> bool:
        """The positive control: without it, not seeing the concept after the edit means nothing."""
        return self.rate.before >= self.control

    @property
    def met(self) -> bool:
        return self.shown and self.rate.upper <= self.limit

    @property
    def state(self) -> State:
        return _state(self.shown, self.met, self.rate.rate, self.limit)


@dataclass(frozen=True)
class Stayed:
    """A group of `members` whose drop is to be proven small, or one concept that must stay and may not collapse.

    The claim of a group is that it stayed, that of a concept that it collapsed, which may be `suspected` without proof.
    """

    concept: str
    name: str
    role: str
    category: str
    members: int
    worst: str
    drop: Drop
    claim: Claim
    proven: bool
    suspected: bool = False

    @property
    def limit(self) -> float:
        return self.claim.limit

    @property
    def shown(self) -> bool:
        """Return whether the unedited model shows it: what was not there cannot be lost, and was not kept either."""
        return self.drop.before >= GROUP_CONTROL

    @property
    def met(self) -> bool:
        if self.claim.kind == "collapse":
            return not (self.proven or self.suspected)
        return self.shown and self.drop.upper <= self.limit

    @property
    def state(self) -> State:
        if self.claim.kind == "collapse":
            return "met" if self.met else "missed" if self.proven else "unproven"
        return _state(self.shown, self.met, self.drop.drop, self.limit)


@dataclass(frozen=True)
class Replaced:
    """The substitutes of a target: the rate of pictures that show nothing recognisable, and what others show most."""

    concept: str
    name: str
    noise: Rate
    by: tuple[tuple[str, int], ...]
    limit: float

    @property
    def met(self) -> bool:
        return self.noise.upper <= self.limit

    @property
    def state(self) -> State:
        return _state(True, self.met, self.noise.rate, self.limit)


@dataclass(frozen=True)
class Findings:
    """All rows of a verdict; none where the evidence is unfit and nothing was counted."""

    targets: tuple[Gone, ...]
    probes: tuple[Gone, ...]
    attacks: tuple[Gone, ...]
    groups: tuple[Stayed, ...]
    kept: tuple[Stayed, ...]
    replaced: tuple[Replaced, ...] = ()

    @classmethod
    def of(cls, verdict: Verdict, names: Names) -> Findings:
        targets = {target.concept: target for target in verdict.targets}
        groups, kept = ({one.name: one for one in verdict.groups}, {one.concept: one for one in verdict.retained})
        own = {kind: [claim for claim in verdict.claims if claim.kind == kind] for kind in KINDS}
        own["attack"] += [
            Claim("attack", target.concept, attack, NO_LIMIT, 1.0, 1.0)
            for target in verdict.targets
            for attack in target.attacks
            if not verdict.acceptance.decides(attack)
        ]
        gone = {
            kind: tuple(_gone(verdict, targets[claim.concept], claim, names) for claim in own[kind])
            for kind in ("target", "probe", "attack")
        }
        return cls(
            targets=gone["target"],
            probes=gone["probe"],
            attacks=gone["attack"],
            groups=tuple(_group(verdict, groups[claim.concept], claim, names) for claim in own["group"]),
            replaced=tuple(
                Replaced(
                    target.concept,
                    names.get(target.concept, target.concept),
                    target.noise,
                    target.replaced_by,
                    verdict.acceptance.max_noise_rate,
                )
                for target in verdict.targets
                if target.noise
            ),
            kept=tuple(_kept(verdict, kept[claim.concept], claim, names) for claim in own["collapse"]),
        )


KINDS = ("target", "probe", "attack", "group", "collapse")


def _state(shown: bool, met: bool, measured: float, limit: float) -> State:
    if not shown:
        return "open"
    if met:
        return "met"
    return "missed" if measured > limit else "unproven"


def _gone(verdict: Verdict, target: TargetResult, claim: Claim, names: Names) -> Gone:
    limits, probe = verdict.acceptance, claim.probe
    rate, control = {
        "target": lambda: (target.total, limits.min_control_rate),
        "probe": lambda: (target.probes[probe], limits.family_control(probe)),
        "attack": lambda: (target.attacks[probe], limits.control_of(probe)),
    }[claim.kind]()
    return Gone(
        concept=target.concept,
        name=names.get(target.concept, target.concept),
        category=target.category,
        probe=probe,
        rate=rate,
        control=control,
        claim=claim,
        proven=claim in verdict.proven,
        families=target.probes,
        silent=silent(target.probes, limits),
    )


def _group(verdict: Verdict, group: GroupResult, claim: Claim, names: Names) -> Stayed:
    role, category = group.name.split("/")
    name, worst = f"{ROLES[role]}: {category}", names.get(group.worst, group.worst)
    proven = claim in verdict.proven
    return Stayed(group.name, name, role, category, group.concepts, worst, group.total, claim, proven)


def _kept(verdict: Verdict, kept: RetainResult, claim: Claim, names: Names) -> Stayed:
    name = names.get(kept.concept, kept.concept)
    proven, suspected = claim in verdict.proven, claim in verdict.suspected
    return Stayed(kept.concept, name, kept.role, kept.category, 1, name, kept.total, claim, proven, suspected)
