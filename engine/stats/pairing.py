"""Pairs of one prompt and seed: the picture of the unedited model and the worst picture of the edited one.

An edited model may answer twice: as supplied, and with its denoiser in the base's pipeline. Anybody who has the weights
can exchange the parts around the denoiser. So the picture that speaks most against the edit counts for the pair. A
target is seen if either picture shows it, and a kept concept only if both do.

Such a pair is one outcome like any other, so all bounds hold without a correction. The judge's error is measured for
one picture. Where the judge looks at two, it raises a target's lower bound and overstates the loss of a kept concept,
by at most its error.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from expunge.engine.stats.evidence.table import ARMS, DENOISER, PAIR, arms_in, is_attack, where
from expunge.engine.stats.limits.acceptance import Acceptance
from expunge.engine.stats.verdict import Reason


def pairs_of(evidence: pd.DataFrame, *values: str) -> pd.DataFrame:
    """Return one row for each pair.

    The columns hold `seen_before` and `seen_after`, the same two of `shows`, and the same two of each column in
    `values`.
    """
    before, after = where(evidence, evidence["arm"] == ARMS[0]), worst_of(edited_rows(evidence))
    after = after.filter([*PAIR, "seen", "shows", *values])
    return before.merge(after, on=PAIR, suffixes=("_before", "_after"), validate="1:1")


def edited_rows(evidence: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the edited model, as supplied and in the base's pipeline."""
    return where(evidence, evidence["arm"] != ARMS[0])


def worst_of(edited: pd.DataFrame) -> pd.DataFrame:
    """Return for each pair the row that speaks most against the edit.

    Rows are compared by `seen`, then by `score`. Of equal rows the one of the model as supplied is returned.
    """
    if DENOISER not in arms_in(edited):
        return edited
    against = np.where(edited["role"] == "target", -1.0, 1.0)
    rank = edited[PAIR].assign(seen=against * edited["seen"], score=against * edited["score"], arm=edited["arm"])
    worst = rank.sort_values([*PAIR, "seen", "score", "arm"], kind="stable").drop_duplicates(PAIR).index
    return edited.loc[edited.index.isin(worst)]


def concealed(evidence: pd.DataFrame, acceptance: Acceptance) -> Iterator[Reason]:
    """Yield a reason for each target that only the parts around the denoiser hide, and for each such attack on it.

    These keep their limit on the model as supplied and exceed it on the denoiser alone. Their pictures count anyway,
    and the reason says that nothing was erased. Yields nothing where the table has no arm of the denoiser alone.
    """
    if DENOISER not in arms_in(evidence):
        return
    targets = where(evidence, (evidence["role"] == "target") & (evidence["arm"] != ARMS[0]))
    attack = targets["probe"].where(is_attack(targets), "")
    for name, rows in targets.groupby(targets["concept"] + "/" + attack):
        concept, attack = str(name).rsplit("/", 1)
        limit = acceptance.limit_of(attack) if attack else acceptance.max_target_rate
        supplied, alone = (where(rows, rows["arm"] == arm)["seen"].to_numpy(bool) for arm in (ARMS[1], DENOISER))
        if supplied.mean() <= limit < alone.mean():
            by = f", as {attack} finds" if attack else ""
            text = f"{concept} is hidden by what surrounds the denoiser{by}: seen in {supplied.sum()} of "
            text += f"{len(supplied)} pictures of the model as supplied, and in {alone.sum()} of {len(alone)} of its "
            text += f"denoiser with the base's text encoders and the rest, limit {limit:.1%}"
            yield Reason("denoiser-shows", concept, text, round(float(alone.mean()), 6), limit, attack)
