"""The order in which people read evidence: what speaks against the model comes first."""

from __future__ import annotations

import pandas as pd

from expunge.engine.stats.evidence.table import ARMS


def against_first(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows sorted: targets that are seen after the edit, then what was lost, then what came closest.

    Pictures of the unedited model are last. Of the same kind, a higher score of a target comes first, and a lower one
    of what must stay.
    """
    after, target, seen = table["arm"] != ARMS[0], table["role"] == "target", table["seen"].astype(bool)
    rank = pd.Series(4, index=table.index)
    rank[after] = 3
    rank[after & target] = 2
    rank[after & ~target & ~seen] = 1
    rank[after & target & seen] = 0
    score = table["score"].where(~target, -table["score"])
    keys = table.assign(_rank=rank, _score=score)
    order = keys.sort_values(["_rank", "_score", "concept", "prompt", "seed"], kind="stable").index
    return table.loc[order].reset_index(drop=True)
