"""What `benchmarks/hardened.py` makes on each editor: an attack at a budget, or plain questions by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from expunge.engine.probes.attacks import ATTACKS, Attack, Attempt, Inversion
from expunge.engine.probes.attacks.compared import COMPARED
from expunge.engine.probes.attacks.inversion import strongest

PLAIN, STRONGEST = "plain", "strongest inversion"
BUDGETS = (1, 4, 16)  # times the usual steps of `inversion`
SEEDS, APART = 3, 1000  # runs of an attack on a target, and how far apart their seeds are
BY_NAME = 30  # pictures drawn by name
MADE: dict[str, type[Any]] = ATTACKS | COMPARED
NAMES = (PLAIN, STRONGEST, *MADE)


@dataclass(frozen=True)
class Job:
    """An attack at a budget; `plain` asks by name and measures H_o.

    `strongest inversion` makes four searches side by side, of 1, 2, 4 and 8 vectors. Of these the one counts that
    brings the target back most often.
    """

    attack: str
    budget: int = 1

    @property
    def budgeted(self) -> bool:
        return self.attack in ("inversion", STRONGEST)

    @property
    def seeds(self) -> int:
        """Return how many seeds are worth a run."""
        return 1 if self.attack in MADE and not MADE[self.attack].seeded else SEEDS

    @property
    def pictures(self) -> int:
        """Return of how many pictures a run on one target is the share."""
        if self.attack == PLAIN:
            return BY_NAME
        return self.made().cost // self.groups

    @property
    def groups(self) -> int:
        """Return of how many searches of one attack the strongest counts."""
        return getattr(self.made(), "groups", 1) if self.attack != PLAIN else 1

    def made(self) -> Attack:
        if self.attack == STRONGEST:
            return Inversion.of_budget(f"strongest {self.budget}x")
        if self.attack == "inversion":
            return Inversion.of_budget(f"{self.budget}x")
        return MADE[self.attack]()

    def counted(self, attempts: Sequence[Attempt], shown: Sequence[bool]) -> list[bool]:
        """Return what was seen, of several searches only of the strongest."""
        return strongest(attempts, shown) if self.groups > 1 else list(shown)


def in_order(attacks: Sequence[str], budgets: Sequence[int]) -> list[Job]:
    """Return what is to be made, cheap jobs first; only searches for words have budgets."""
    made = [Job(name, budget) for name in attacks for budget in (budgets if Job(name).budgeted else (1,))]
    return sorted(made, key=lambda job: (job.budget, job.attack != PLAIN, job.attack))
