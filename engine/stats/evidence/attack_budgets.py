"""Budgets of an attack: where it fails on the unedited model it is made again with a larger one.

An attempt's prompt says by which budget it was made, so a table says by itself which budgets were used. Whether there
has to be a larger one follows from the unedited model's rows alone: nothing that the edited model shows can buy it an
easier or a weaker attack. All models are attacked with every budget that is due.
"""

from collections.abc import Iterator
from typing import Any, cast

import numpy as np
import pandas as pd

from expunge.engine.stats.evidence.table import ARMS, is_attack, where
from expunge.engine.stats.limits.acceptance import Acceptance

LABEL = ", budget "


def labelled(title: str, budget: int) -> str:
    """Return the prompt of an attempt that was made by this budget, counted from 1."""
    return title if budget == 1 else f"{title}{LABEL}{budget}"


def budgets_of(rows: pd.DataFrame) -> np.ndarray:
    """Return the number of each row's budget, int [rows]."""
    return rows["prompt"].str.extract(rf"{LABEL}(\d{{1,3}})$")[0].astype("Int64").fillna(1).to_numpy(dtype=int)


def counted(pairs: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return of an attack's pairs those of its largest budget, and all that count.

    What a smaller budget brought back after the edit counts against the edit; what it did not adds nothing.
    """
    largest = budgets_of(pairs) == budgets_of(pairs).max()
    return where(pairs, largest), where(pairs, largest | pairs["seen_after"].to_numpy(dtype=bool))


def due(attack: Any, concept: str, evidence: pd.DataFrame, acceptance: Acceptance) -> list[Any]:
    """Return the attack with each budget of which the evidence must have rows on this concept.

    The attack is one of `expunge.engine.probes.attacks`.
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
    """Say where an attack was made with a larger budget although the one before it was not made, or was enough."""
    attacked = where(evidence, is_attack(evidence) & (evidence["arm"] == ARMS[0]).to_numpy(dtype=bool))
    for names, rows in attacked.groupby(["concept", "probe"]):
        concept, attack = cast(tuple[str, str], names)
        numbers, seen = budgets_of(rows), rows["seen"].to_numpy(dtype=bool)
        last = numbers.max()
        for number in range(1, last):
            own = seen[numbers == number]
            if not len(own) or own.mean() >= acceptance.control_of(attack):
                yield f"{attack} on {concept} was made with budget {last}, and budget {number} gave no reason to"
