"""Budgets of an attack: where it fails on the unedited model, it is made again with a larger budget.

The prompt of an attempt names its budget, so the table itself shows which budgets were used. Only the unedited model's
rows decide whether a larger budget is due. So nothing that the edited model shows can get it an easier or a weaker
attack. All models are attacked with every budget that is due.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from expunge.engine.stats.acceptance import Acceptance
from expunge.engine.stats.evidence_table import ARMS, is_attack, where

LABEL = ", budget "


def labelled(title: str, budget: int) -> str:
    """Return the prompt of an attempt with this budget; budgets are counted from 1."""
    return title if budget == 1 else f"{title}{LABEL}{budget}"


def budgets_of(rows: pd.DataFrame) -> np.ndarray:
    """Return the number of each row's budget, int [rows]."""
    return rows["prompt"].str.extract(rf"{LABEL}(\d{{1,3}})$")[0].astype("Int64").fillna(1).to_numpy(dtype=int)


def counted(pairs: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the pairs of an attack's largest budget, and all pairs that count.

    A target that a smaller budget brought back after the edit counts against the edit. Its failures add nothing.
    """
    largest = budgets_of(pairs) == budgets_of(pairs).max()
    return where(pairs, largest), where(pairs, largest | pairs["seen_after"].to_numpy(dtype=bool))


def due(attack: Any, concept: str, evidence: pd.DataFrame, acceptance: Acceptance) -> list[Any]:
    """Return the attack with each budget of which the evidence must have rows on this concept.

    The attacks are those of `expunge.engine.probes.attacks`.
    """
    before = (evidence["concept"] == concept) & (evidence["probe"] == attack.name) & (evidence["arm"] == ARMS[0])
    rows = where(evidence, before)
    found, numbers = [attack], budgets_of(rows)
    while (more := found[-1].raised()) is not None:
        own = where(rows, numbers == len(found))["seen"].to_numpy(dtype=bool)
        if not len(own) or own.mean() >= acceptance.control_of(attack.name):
            break
        found.append(more)
    return found


def stray(evidence: pd.DataFrame, acceptance: Acceptance) -> Iterator[str]:
    """Yield in words each attack with a larger budget than it needed.

    A larger budget needs that the one before was made and was not enough.
    """
    attacked = where(evidence, is_attack(evidence) & (evidence["arm"] == ARMS[0]).to_numpy(dtype=bool))
    for (concept, attack), rows in attacked.groupby(["concept", "probe"]):
        numbers, seen = budgets_of(rows), rows["seen"].to_numpy(dtype=bool)
        last = numbers.max()
        for number in range(1, last):
            own = seen[numbers == number]
            if not len(own) or own.mean() >= acceptance.control_of(str(attack)):
                yield f"{attack} on {concept} was made with budget {last}, and budget {number} gave no reason to"
