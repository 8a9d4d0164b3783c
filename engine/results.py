"""What a verdict says: its parts as frozen data, and their canonical JSON."""

import json
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Self

from engine.canonical import canonical_json


class Outcome(StrEnum):
    """From best to gravest."""

    PASS = "PASS"
    INCONCLUSIVE = "INCONCLUSIVE"
    FAIL = "FAIL"
    ERROR = "ERROR"


OUTCOME_OF = {
    "evidence": Outcome.ERROR,
    "target-seen": Outcome.FAIL,
    "group-drop": Outcome.FAIL,
    "concept-collapse": Outcome.FAIL,
    "target-control": Outcome.INCONCLUSIVE,
    "target-too-few": Outcome.INCONCLUSIVE,
    "target-unproven": Outcome.INCONCLUSIVE,
    "group-control": Outcome.INCONCLUSIVE,
    "group-too-few": Outcome.INCONCLUSIVE,
    "group-unproven": Outcome.INCONCLUSIVE,
}


@dataclass(frozen=True)
class Acceptance:
    """The policy's limits, all shares. Raises ValueError naming the field."""

    max_target_rate: float
    max_retain_drop: float
    min_control_rate: float
    confidence: float

    def __post_init__(self) -> None:
        for name in ("max_target_rate", "max_retain_drop", "confidence"):
            if not 0 < (value := getattr(self, name)) < 1:
                raise ValueError(f"{name} is {value}: choose a share above 0 and below 1, pictures prove nothing else")
        if not 0 < self.min_control_rate <= 1:
            raise ValueError(f"min_control_rate is {self.min_control_rate}: choose a share above 0 and up to 1")


@dataclass(frozen=True)
class Reason:
    """Why a verdict is no PASS: `code` is a key of OUTCOME_OF, `concept` a concept, a group's name or ""."""

    code: str
    concept: str
    message: str
    value: float | None = None
    limit: float | None = None


@dataclass(frozen=True)
class Rate:
    """`seen` of `n` pictures after the edit, with its bounds; `before` is the share seen on the unedited model."""

    n: int
    before: float
    seen: int
    rate: float
    lower: float
    upper: float


@dataclass(frozen=True)
class Drop:
    """Loss over `n` pairs: shares seen before and after, pairs lost and gained, the drop with its bounds."""

    n: int
    before: float
    after: float
    lost: int
    gained: int
    drop: float
    lower: float
    upper: float


@dataclass(frozen=True)
class JudgeError:
    """How a judge did on labelled pictures.

    It saw the label in `hits` of `labelled` pictures, and in `false_alarms` of `negatives` pictures it saw what they do
    not show. Raises ValueError where a count is more than its whole.
    """

    hits: int
    labelled: int
    false_alarms: int
    negatives: int

    def __post_init__(self) -> None:
        if not (0 <= self.hits <= self.labelled and 0 <= self.false_alarms <= self.negatives):
            raise ValueError(f"{self} has a count above its whole: measure the judge again")


@dataclass(frozen=True)
class TargetResult:
    """One concept to erase; `probes` holds the same rate by prompt family, to read and not to decide on."""

    concept: str
    category: str
    total: Rate
    probes: dict[str, Rate]


@dataclass(frozen=True)
class RetainResult:
    concept: str
    role: str
    category: str
    total: Drop


@dataclass(frozen=True)
class GroupResult:
    """All retained concepts of one role and category together; `worst` is the one that dropped most."""

    name: str
    concepts: int
    worst: str
    total: Drop


@dataclass(frozen=True)
class Verdict:
    """The outcome and all it rests on; `evidence` is the digest of the table, "" where the table is unfit."""

    outcome: Outcome
    reasons: tuple[Reason, ...]
    targets: tuple[TargetResult, ...]
    retained: tuple[RetainResult, ...]
    groups: tuple[GroupResult, ...]
    planned: int
    evaluated: int
    acceptance: Acceptance
    evidence: str

    def __post_init__(self) -> None:
        if self.outcome != (due := gravest(self.reasons)):
            raise ValueError(f"outcome is {self.outcome}, its reasons give {due}: the verdict was altered")

    def to_json(self) -> str:
        """Canonical JSON; floats carry six places already."""
        return canonical_json(asdict(self)).decode()

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a file that holds what `to_json` wrote."""
        return cls.from_json(path.read_text(encoding="utf-8"))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote. Raises ValueError, KeyError or TypeError on anything else."""
        raw = json.loads(text)
        raw["outcome"] = Outcome(raw["outcome"])
        raw["acceptance"] = Acceptance(**raw["acceptance"])
        raw["reasons"] = tuple(Reason(**item) for item in raw["reasons"])
        raw["targets"] = tuple(_target_of(item) for item in raw["targets"])
        raw["retained"] = tuple(RetainResult(**{**item, "total": Drop(**item["total"])}) for item in raw["retained"])
        raw["groups"] = tuple(GroupResult(**{**item, "total": Drop(**item["total"])}) for item in raw["groups"])
        return cls(**raw)


def gravest(reasons: tuple[Reason, ...]) -> Outcome:
    """The outcome that the reasons lead to together; PASS without any."""
    return max((OUTCOME_OF[reason.code] for reason in reasons), key=list(Outcome).index, default=Outcome.PASS)


def _target_of(raw: dict[str, Any]) -> TargetResult:
    probes = {probe: Rate(**rate) for probe, rate in raw["probes"].items()}
    return TargetResult(raw["concept"], raw["category"], Rate(**raw["total"]), probes)
