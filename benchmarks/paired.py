"""Where the default is shown to be first: `python -m benchmarks.paired [--write]`.

Nothing is drawn. For each case and each rival in closed form the H_o of `scapre` is compared with the rival's in the
draws that both were measured in: a one-sided paired t-test, over at least `DRAWS` draws, Holm-corrected for all
comparisons of one table. The default is first in a case where every rival of the table is behind it with a corrected p
of at most `ALPHA`. Elsewhere it is not shown, which says nothing against either. Editors that train have fewer draws
and are not tested. `--write` puts the two tables into `docs/benchmarks.md`.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from scipy.stats import ttest_rel

from benchmarks.common import tables
from benchmarks.common.arms import UNEDITED
from benchmarks.common.page import put, table
from benchmarks.common.results import FOLDER
from benchmarks.compare import PICTURES, results
from expunge.engine.editors import EDITORS
from expunge.engine.emoji import MODEL
from expunge.engine.files.digests import folder_digest
from expunge.engine.stats.bounds.holm import holm

DEFAULT, DRAWS, ALPHA = "scapre", 5, 0.05
PUBLISHED = tuple(name for name in EDITORS if name != DEFAULT)
GROUPS = {"as published": PUBLISHED, "tuned on this model": tuple(name + tables.TUNED for name in PUBLISHED)}


@dataclass(frozen=True)
class Comparison:
    """The default's H_o less a rival's, draw by draw, in the draws that both have."""

    case: str
    rival: str
    leads: tuple[float, ...]

    @property
    def p(self) -> float:
        """Return the p-value of a rival that is as good or better; 1 of too few draws, or where there is no value."""
        if len(self.leads) < DRAWS:
            return 1.0
        p = float(ttest_rel(self.leads, [0.0] * len(self.leads), alternative="greater").pvalue)
        return 1.0 if math.isnan(p) else p


def compared(rows: Sequence[tables.Row], case: str, rival: str) -> Comparison:
    """Pair the draws of a case; a rival that refused a draw has no H_o in it and is not compared there."""
    values = {
        arm: {row["draw"]: float(row["h_o"]) for row in rows if (row["arm"], row["case"]) == (arm, case) and row["h_o"]}
        for arm in (DEFAULT, rival)
    }
    shared = sorted(values[DEFAULT].keys() & values[rival].keys())
    return Comparison(case, rival, tuple(values[DEFAULT][draw] - values[rival][draw] for draw in shared))


def page(rows: Sequence[tables.Row]) -> str:
    """Return one table for each group of rivals; ValueError if nothing was measured."""
    if not rows:
        raise ValueError(f"nothing was measured on this model; run benchmarks.compare first ({FOLDER})")
    rows = tables.latest(rows)
    return "\n\n".join(_section(group, rows, rivals) for group, rivals in GROUPS.items())


def _section(group: str, rows: Sequence[tables.Row], rivals: Iterable[str]) -> str:
    pairs = [compared(rows, case, rival) for case in tables.order(rows) for rival in rivals]
    corrected = dict(zip([(pair.case, pair.rival) for pair in pairs], holm([pair.p for pair in pairs]), strict=True))
    lines = [
        _line([pair for pair in pairs if pair.case == case], corrected) for case in dict.fromkeys(p.case for p in pairs)
    ]
    caption = f"Against closed-form editors {group}, {len(pairs)} comparisons:"
    return f"{caption}\n\n" + table(
        ["case", "nearest rival", "mean lead, points", "draws", "corrected p", "first"], lines
    )


def _line(pairs: Sequence[Comparison], corrected: dict[tuple[str, str], float]) -> list[str]:
    """Return the line of one case: the least mean lead, the fewest draws, the largest p of all rivals, the claim."""
    met = [pair for pair in pairs if pair.leads]
    if not met:
        return [pairs[0].case, "-", "-", "0", "-", "not shown"]
    nearest = min(met, key=lambda pair: fmean(pair.leads))
    draws = min(len(pair.leads) for pair in pairs)
    worst = max(corrected[pair.case, pair.rival] for pair in pairs)
    shown = "-" if draws < DRAWS else f"{worst:.3f}"
    claim = "first" if worst <= ALPHA else "not shown"
    return [nearest.case, nearest.rival, f"{100 * fmean(nearest.leads):.1f}", str(draws), shown, claim]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=PICTURES, help="a group of questions, at most")
    parser.add_argument("--measured", type=Path, default=FOLDER, help="folder of the lines that were measured")
    parser.add_argument("--write", action="store_true", help="also write the tables into docs/benchmarks.md")
    args = parser.parse_args()
    found = results(args.measured / "compare.tsv").where(model=folder_digest(MODEL)[:12], pictures=args.pictures)
    text = page([row for row in found if row["arm"] != UNEDITED])
    print(text)
    if args.write:
        put("first", text)


if __name__ == "__main__":
    main()
