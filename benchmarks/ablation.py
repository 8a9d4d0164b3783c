"""What each part of ScaPre brings, on pictures of the built-in model: `python -m benchmarks.ablation [--write]`.

Erases the objects that settings are chosen on, never a reported one (`benchmarks/common/concepts.py`), with the default
and with one part of it switched on or off at a time, and asks as `benchmarks/compare.py` does. Lines go to
`measured/ablation.tsv` and are not measured again; `--write` puts their table into `docs/method/choice-of-settings.md`.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.common import concepts, measure, tables
from benchmarks.common.arms import Arm
from benchmarks.common.page import DOCS, put, table
from benchmarks.common.results import FOLDER, Results
from benchmarks.compare import COLUMNS, KEY, PICTURES, Bench
from benchmarks.timing import scapre_parts
from expunge.engine.editors.base import EMPTY
from expunge.engine.emoji import MODEL
from expunge.engine.files.digests import folder_digest
from expunge.engine.planning.auto_search import AUTO

PARTS: dict[str, dict[str, Any]] = {
    "scapre, the default": {},
    "no vocabulary": {"general": 0.0},
    "no retain set": {"retain": 0.0},
    "kin as others": {"kin": 1.0},
    "last subject token alone": {"tokens": "last"},
    "tokens from the subject on": {"tokens": "tail"},
    "names without templates": {"bare": True},
    **scapre_parts.PARTS,
    "strength auto": {"strength": AUTO},
    "a third of the vocabulary's weight": {"general": 20.0},
    "three times the vocabulary's weight": {"general": 180.0},
    "strength 3": {"strength": 3.0},
    "strength 30": {"strength": 30.0},
    "empty anchor": {"default_anchor": EMPTY},
    "empty anchor, strength 3": {"default_anchor": EMPTY, "strength": 3.0},
}
ANCHOR = "lemon"  # among the objects for tuning, and too badly drawn to be one that is asked for
WITH_ANCHOR = f"anchor {ANCHOR}"
DRIFT = "drift"
CASES = (10, 20)


def main() -> None:
    args = arguments()
    found = Results(args.measured / "ablation.tsv", (*COLUMNS, DRIFT), KEY)
    if not args.only_write:
        run(Bench(args.store), args.case, args.pictures, found)
    if args.write or args.only_write:
        rows = found.where(model=folder_digest(MODEL)[:12], pictures=args.pictures)
        put("ablation", page(rows), DOCS / "method" / "choice-of-settings.md")


def run(bench: Bench, chosen: Sequence[str] | None, pictures: int, found: Results) -> None:
    arms = [*(Arm(name, "scapre", settings) for name, settings in PARTS.items()), Arm("editor auto", AUTO)]
    for case in concepts.tuning_cases(CASES):
        if chosen is None or case.name in chosen:
            bench.run(arms, [case], pictures, found)
            anchored = [] if ANCHOR in case.objects else [replace(case, anchor=ANCHOR)]
            bench.run([Arm(WITH_ANCHOR, "scapre")], anchored, pictures, found)


def page(rows: Sequence[dict[str, str]]) -> str:
    """One table a case, in the order of `PARTS`; ValueError if nothing was measured."""
    if not rows:
        raise ValueError(f"nothing was measured on this model; run benchmarks.ablation first ({FOLDER})")
    return "\n\n".join(_section(case, rows) for case in tables.order(rows))


def _section(case: str, rows: Sequence[dict[str, str]]) -> str:
    own = [row for row in rows if row["case"] == case]
    lines = [[*tables.line(row["arm"], [row]), tables.over_draws([row], DRIFT, "{:.4f}".format)] for row in own]
    asked = f"{case}, {own[0]['pictures']} pictures a group, per cent:"
    refused = [f"- {row['arm']}: {row['problem']}" for row in own if row["problem"]]
    return "\n\n".join([asked, table([*tables.HEADER, DRIFT], lines), *refused])


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", action="append", choices=[case.name for case in concepts.tuning_cases(CASES)])
    parser.add_argument("--pictures", type=int, default=PICTURES, help="a group of questions, at most")
    parser.add_argument("--write", action="store_true", help="then write the table into its page")
    parser.add_argument("--only-write", action="store_true", help="only write it, of what is measured already")
    parser.add_argument("--measured", type=Path, default=FOLDER, help="folder of the lines that were measured")
    parser.add_argument("--store", type=Path, default=measure.STORE, help="where pictures are kept")
    return parser.parse_args()


if __name__ == "__main__":
    main()
