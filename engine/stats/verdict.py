"""The parts of a verdict as frozen data, and their canonical JSON."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Self

from expunge.canonical_json import canonical_json
from expunge.engine.files.comparison import Comparison
from expunge.engine.files.reading.strict_json import parse_json
from expunge.engine.stats.limits.acceptance import Acceptance
from expunge.engine.stats.limits.grade import explained, grade_of


class Outcome(StrEnum):
    """The outcome of a verdict, from best to gravest."""

    PASS = "PASS"
    INCONCLUSIVE = "INCONCLUSIVE"
    FAIL = "FAIL"
    ERROR = "ERROR"


OUTCOME_OF = {
    "evidence": Outcome.ERROR,
    "not-compared": Outcome.ERROR,
    "nothing-erased": Outcome.FAIL,
    "undeclared-change": Outcome.FAIL,
    "unlike-base": Outcome.INCONCLUSIVE,
    "denoiser-shows": Outcome.FAIL,
    "target-seen": Outcome.FAIL,
    "group-drop": Outcome.FAIL,
    "concept-collapse": Outcome.FAIL,
    "collapse-suspected": Outcome.INCONCLUSIVE,
    "noise-seen": Outcome.FAIL,
    "noise-too-few": Outcome.INCONCLUSIVE,
    "noise-unproven": Outcome.INCONCLUSIVE,
    "noise-unmeasured": Outcome.INCONCLUSIVE,
    "probe-survives": Outcome.FAIL,
    "survival-suspected": Outcome.INCONCLUSIVE,
    "target-control": Outcome.INCONCLUSIVE,
    "target-too-few": Outcome.INCONCLUSIVE,
    "target-unproven": Outcome.INCONCLUSIVE,
    "probe-control": Outcome.INCONCLUSIVE,
    "probe-seen": Outcome.FAIL,
    "probe-too-few": Outcome.INCONCLUSIVE,
    "probe-unproven": Outcome.INCONCLUSIVE,
    "attack-control": Outcome.INCONCLUSIVE,
    "attack-impossible": Outcome.INCONCLUSIVE,
    "attack-seen": Outcome.FAIL,
    "attack-too-few": Outcome.INCONCLUSIVE,
    "attack-unproven": Outcome.INCONCLUSIVE,
    "group-control": Outcome.INCONCLUSIVE,
    "group-too-few": Outcome.INCONCLUSIVE,
    "group-unproven": Outcome.INCONCLUSIVE,
}


@dataclass(frozen=True)
class Reason:
    """A reason why a verdict is no PASS.

    Attributes:
        code: a key of OUTCOME_OF.
        concept: a concept, the name of a group, the component of a model, or "".
        value: the measured value that missed `limit`.
        probe: the prompt family or attack, "" if the reason is about all prompts.
    """

    code: str
    concept: str
    message: str
    value: float | None = None
    limit: float | None = None
    probe: str = ""


@dataclass(frozen=True)
class Claim:
    """A statement about one concept or group, as a test: the claim is proven where its null hypothesis is rejected.

    Attributes:
        kind: says what is claimed. "target", "probe", "attack" and "noise": the rate is below `limit`. "group": the
            drop is below it. "collapse": the drop of this kept concept is above it. "survival": the rate of this prompt
            family, or of its one `prompt`, is above it.
        p: the p-value by itself, rounded up to six places.
        holm: the p-value adjusted for all claims of the verdict, rounded up to six places. The claims with holm <=
            family_alpha are proven together.
    """

    kind: str
    concept: str
    probe: str
    limit: float
    p: float
    holm: float
    prompt: str = ""

    @property
    def asked_by(self) -> str:
        """Return the prompt family, and the prompt if the claim is about one."""
        return f"{self.probe} {self.prompt!r}" if self.prompt else self.probe


@dataclass(frozen=True)
class Rate:
    """The rate `seen` of `n` edited pictures, with its bounds; `before` is the share seen on the unedited model.

    The bounds are of the share that the judge sees (`bounds_of` "seen"). Where the judge's error is known, they are of
    the share that shows the concept ("true").
    """

    n: int
    before: float
    seen: int
    rate: float
    lower: float
    upper: float
    bounds_of: str = "seen"


@dataclass(frozen=True)
class Drop:
    """The loss over `n` pairs: shares seen before and after, pairs lost and gained, the drop with its bounds.

    `drop` is of the share that the judge sees. `bounds_of` says what the bounds are of, as for a `Rate`.
    """

    n: int
    before: float
    after: float
    lost: int
    gained: int
    drop: float
    lower: float
    upper: float
    bounds_of: str = "seen"


@dataclass(frozen=True)
class JudgeError:
    """The error of a judge, counted on labelled pictures.

    The judge saw the label in `hits` of `labelled` pictures. In `false_alarms` of `negatives` pictures it saw what they
    do not show. `pictures` describes the pictures in words.

    Raises:
        ValueError: a count is below 0 or exceeds its whole.
    """

    hits: int
    labelled: int
    false_alarms: int
    negatives: int
    pictures: str = ""

    def __post_init__(self) -> None:
        if not (0 <= self.hits <= self.labelled and 0 <= self.false_alarms <= self.negatives):
            raise ValueError(f"{self} has a count below 0 or above its whole: measure the judge again")


AS_TARGET = "target/"
"""The prefix of a category for the error of the reading that counts for targets, where that was measured separately."""


def target_error(errors: Mapping[str, JudgeError], category: str) -> JudgeError | None:
    """Return the judge's error for targets of this category, or that of the category where it has no separate one."""
    return errors.get(f"{AS_TARGET}{category}", errors.get(category))


@dataclass(frozen=True)
class TargetResult:
    """The result of one concept to erase.

    Attributes:
        total: the rate over the prompts of all families that count for the proof (`expunge.engine.stats.estimates`),
            without attacks.
        probes: the rate by prompt family.
        attacks: the success rate (ASR) by attack.
        prompts: the rate by prompt, for those families whose prompts are held to a limit one by one and that have
            several.
        noise: the share of its pictures that show nothing recognisable; None where the judge cannot say.
        replaced_by: the labels that its edited pictures show most often, each with its number.
    """

    concept: str
    category: str
    total: Rate
    probes: dict[str, Rate]
    attacks: dict[str, Rate] = field(default_factory=dict)
    prompts: dict[str, dict[str, Rate]] = field(default_factory=dict)
    noise: Rate | None = None
    replaced_by: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True)
class RetainResult:
    concept: str
    role: str
    category: str
    total: Drop


@dataclass(frozen=True)
class GroupResult:
    """All kept concepts of one role and category together; `worst` is the one that dropped most."""

    name: str
    concepts: int
    worst: str
    total: Drop

    @property
    def category(self) -> str:
        return self.name.split("/", 1)[1]


@dataclass(frozen=True)
class Verdict:
    """The outcome and everything it rests on.

    Attributes:
        evidence: the digest of the evidence table, "" where the table is unfit.
        family_alpha: the largest chance that any of the claims called proven is false.
        judge: the judge's error by category, as far as it was known.
        comparison: how the candidate differs from its base. None where there was no candidate, as in the forecast of
            what could be proven at best.
    """

    outcome: Outcome
    reasons: tuple[Reason, ...]
    targets: tuple[TargetResult, ...]
    retained: tuple[RetainResult, ...]
    groups: tuple[GroupResult, ...]
    planned: int
    evaluated: int
    acceptance: Acceptance
    evidence: str
    family_alpha: float
    claims: tuple[Claim, ...] = ()
    judge: dict[str, JudgeError] = field(default_factory=dict)
    comparison: Comparison | None = None

    def __post_init__(self) -> None:
        if self.outcome != (due := gravest(self.reasons)):
            raise ValueError(f"outcome is {self.outcome}, its reasons give {due}: the verdict was altered")

    @property
    def proven(self) -> tuple[Claim, ...]:
        """Return the claims that hold together: the chance that any of them is false is at most `family_alpha`."""
        return tuple(claim for claim in self.claims if claim.holm <= self.family_alpha)

    @property
    def suspected(self) -> tuple[Claim, ...]:
        """Return the collapses of kept concepts that would be proven if each were the only claim.

        They are not proven among all claims, and so they are not ruled out.
        """
        most = self.acceptance.suspicion
        doubts = (claim for claim in self.claims if claim.kind == "collapse" and claim.p <= most)
        return tuple(claim for claim in doubts if claim.holm > self.family_alpha)

    @property
    def grade(self) -> str:
        """Return on one line what a PASS assures, or what the policy asked for where the outcome is no PASS."""
        return grade_of(self.outcome == Outcome.PASS, self.acceptance, [list(one.attacks) for one in self.targets])

    @property
    def assurance(self) -> str:
        """Return in plain sentences what a PASS assures a rights holder of, and what it does not."""
        return explained(self.acceptance, [list(one.attacks) for one in self.targets])

    def to_json(self) -> str:
        """Return canonical JSON with the grade. All floats are rounded to six places already."""
        return canonical_json({**asdict(self), "grade": self.grade}).decode()

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a verdict from a file that holds the output of `to_json`."""
        return cls.from_json(path.read_text(encoding="utf-8"))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read a verdict from the output of `to_json`. Raises ValueError, KeyError or TypeError on anything else."""
        raw = parse_json(text.encode())
        stated = raw.pop("grade", None)
        raw["outcome"] = Outcome(raw["outcome"])
        raw["acceptance"] = Acceptance.of(raw["acceptance"])
        raw["reasons"] = tuple(Reason(**item) for item in raw["reasons"])
        raw["targets"] = tuple(_target_of(item) for item in raw["targets"])
        raw["retained"] = tuple(RetainResult(**{**item, "total": Drop(**item["total"])}) for item in raw["retained"])
        raw["groups"] = tuple(GroupResult(**{**item, "total": Drop(**item["total"])}) for item in raw["groups"])
        raw["claims"] = tuple(Claim(**item) for item in raw["claims"])
        raw["judge"] = {category: JudgeError(**item) for category, item in raw["judge"].items()}
        raw["comparison"] = Comparison.of(found) if (found := raw.get("comparison")) else None
        verdict = cls(**raw)
        if stated not in (None, verdict.grade):  # earlier versions wrote no grade
            raise ValueError(f"grade is {stated!r}, its terms give {verdict.grade!r}: the verdict was altered")
        return verdict


def gravest(reasons: tuple[Reason, ...]) -> Outcome:
    """Return the gravest outcome among those of the reasons; PASS without reasons."""
    return max((OUTCOME_OF[reason.code] for reason in reasons), key=list(Outcome).index, default=Outcome.PASS)


def _target_of(raw: dict[str, Any]) -> TargetResult:
    probes, attacks = (_rates_of(raw[part]) for part in ("probes", "attacks"))
    prompts = {family: _rates_of(own) for family, own in raw.get("prompts", {}).items()}
    noise = Rate(**raw["noise"]) if raw.get("noise") else None
    replaced_by = tuple((label, count) for label, count in raw.get("replaced_by", ()))
    total = Rate(**raw["total"])
    return TargetResult(raw["concept"], raw["category"], total, probes, attacks, prompts, noise, replaced_by)


def _rates_of(raw: dict[str, Any]) -> dict[str, Rate]:
    return {name: Rate(**rate) for name, rate in raw.items()}
