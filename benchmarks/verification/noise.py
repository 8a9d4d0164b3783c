"""Whether pictures of several prompts are an independent sample: `python -m benchmarks.verification.noise`.

Half an edit of five objects (every delta times `--share`), so that each is seen now and then, asked for in 5 prompts
with 16 seeds, once with each prompt starting from noise of its own (`Sampler.apart`), once with a seed being the same
noise in every prompt. The design effect is the variance, over seeds, of how many prompts show the object, over the
sum of the prompts' own variances: 1 if pictures that share a seed have nothing more in common than others, 5 if one
picture a seed says what all five say. The bounds of a verdict take it to be 1.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import concepts, measure
from benchmarks.common.page import table
from expunge.engine.emoji import CLIP_JUDGE, MODEL
from expunge.engine.judges import ClipJudge
from expunge.engine.models.load import open_model
from expunge.engine.models.picture_store import PictureStore
from expunge.engine.models.sampling import Sampler
from expunge.engine.planning.closed_form import plan
from expunge.engine.plans.edit_plan import EditPlan, applied
from expunge.engine.probes import Subject, questions

PROMPTS, SEEDS = 5, 16
NOISE = {"each prompt its own": Sampler(), "a seed's, in every prompt": measure.SAME_NOISE}


def half_erased(model: Any, case: concepts.Case, share: float) -> EditPlan:
    whole = plan(model, measure.spec(case, "scapre", {}))
    return replace(whole, deltas={name: share * delta for name, delta in whole.deltas.items()})


def variances(seen: np.ndarray) -> tuple[float, float]:
    """(of the number of prompts that show it, over seeds; the sum of the prompts' own)."""
    return float(seen.sum(0).var(ddof=1)), float(seen.var(1, ddof=1).sum())


def effect(together: float, apart: float) -> str:
    return f"{together / apart:.2f}" if apart else "-"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--share", type=float, default=0.5)
    parser.add_argument("--store", type=Path, default=measure.STORE, help="where pictures are kept")
    args = parser.parse_args()
    model, store, case = open_model(MODEL), PictureStore(args.store), concepts.tuning_cases()[0]
    judge = ClipJudge(CLIP_JUDGE)
    made, lines, totals = half_erased(model, case, args.share), [], {name: np.zeros(2) for name in NOISE}
    for name in case.objects:
        asked = questions([Subject(concepts.identifier(name), "target", "object", name)], PROMPTS, SEEDS)
        line = [name]
        for noise, sampler in NOISE.items():
            with applied(model, made):
                shown = measure.pictures(model, made.digest, store, asked, sampler)
            seen = measure.seen(judge, shown, asked).reshape(PROMPTS, SEEDS).astype(float)
            totals[noise] += variances(seen)
            line += [f"{100 * seen.mean():.1f}", effect(*variances(seen))]
        lines.append(line)
    lines.append(["all together", *(cell for noise in NOISE for cell in ("", effect(*totals[noise])))])
    print(table(["object", *(f"{noise}: {what}" for noise in NOISE for what in ("seen, %", "design effect"))], lines))


if __name__ == "__main__":
    main()
