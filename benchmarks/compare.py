"""Every editor on the same work, on pictures of the built-in model: `python -m benchmarks.compare`.

Erases 1 to 100 objects, 1 to 4 styles, mixed sets and a look-alike set, each in three seeded draws, with every editor
at its published defaults; `--tune` chooses settings on objects that are kept apart (`benchmarks/common/concepts.py`)
and `--tuned` measures with these as well; `--told` then chooses what the tuned editor is told, as the default's was
chosen. Editors are told the targets' names, their look-alikes and the kept styles, and no synonym and no other object;
but those that keep the model's own words (`general_words`) keep most of these among them. Asked are the targets by name
(once each at least) and by synonyms, look-alikes, other objects and other styles, 16 pictures a group at most, by the
same prompts and seeds on the unedited and on every edited model. Some of the prompts are templates of editors; with
`--unseen` none is, and lines are kept in `measured/unseen.tsv`.

Each line of `measured/compare.tsv` is one (editor, case, draw) of one model; lines that are there are not measured
again, so it may be stopped at any time. With `--replan` every edit in closed form is planned once more, and measured
again where an editor's code or wordings have changed so that its deltas are others. The tables
and the plot in `docs/benchmarks.md` are made of these lines by `--write`.

Editors that train take minutes a line and are measured where they are named (`--editor esd`). `--with rounds=1` gives
the one editor that is named settings that are not its defaults, such as its authors publish for other work, and
`--names 1000` as many names to retain beside the policy's, which are the model's own words and pairs of them. A model
that was trained again without some concepts, `--retrained FOLDER --without NAME ...`, is one more editor in the case
that erases just these, or in a case of its own if there is none. `--beside scapre auto 'speed, tuned'` measures nothing
and prints H_o of these in the draws that all of them have.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from benchmarks.common import concepts, measure, tables
from benchmarks.common.arms import (
    RETRAINED,
    UNEDITED,
    Arm,
    input_ladder,
    ladder,
    tuned,
    with_best_inputs,
    with_settings,
)
from benchmarks.common.concepts import Case
from benchmarks.common.ladders import LADDERS, TOLD
from benchmarks.common.results import FOLDER, Results
from expunge.engine.editors import EDITORS
from expunge.engine.editors.training import TRAINERS
from expunge.engine.emoji import CLIP_JUDGE, MODEL
from expunge.engine.errors import EngineError
from expunge.engine.files.digests import folder_digest
from expunge.engine.files.tensor_files import tensor_digest
from expunge.engine.judges import ClipJudge
from expunge.engine.models.load import open_model
from expunge.engine.models.picture_store import PictureStore
from expunge.engine.planning.auto_search import AUTO
from expunge.engine.planning.make import make
from expunge.engine.plans.edit_plan import applied, relative_changes
from expunge.engine.probes import Question
from expunge.engine.spec import EditSpec

KEY = ("model", "arm", "settings", "case", "draw", "pictures")
RATES = (*measure.GROUPS, "h_o", "distance")
COLUMNS = (*KEY, *RATES, "faults", "change", "seconds", "deltas", "problem")
PICTURES = 16


class Bench:
    """The built-in model, its judge and the pictures drawn so far."""

    def __init__(self, folder: Path = measure.STORE, unseen: bool = False) -> None:
        self.unseen = unseen
        self.model, self.digest = open_model(MODEL), folder_digest(MODEL)
        self.judge, self.store = ClipJudge(CLIP_JUDGE), PictureStore(folder)

    def run(
        self, arms: Sequence[Arm], cases: Iterable[Case], pictures: int, results: Results, replan: bool = False
    ) -> None:
        """Measure what `results` lacks, case by case; with `replan`, also what is edited otherwise by now."""
        for case in cases:
            due = [arm for arm in arms if self._is_due(arm, case, pictures, results, replan)]
            for arm in tqdm(due, desc=f"{case.name} #{case.draw}", unit="editor"):
                results.add({**self._key(arm, case, pictures), **self.measured(arm, case, pictures)})

    def _is_due(self, arm: Arm, case: Case, pictures: int, results: Results, replan: bool) -> bool:
        key = self._key(arm, case, pictures)
        if key not in results or not replan or arm.editor in (UNEDITED, RETRAINED, *TRAINERS):
            return key not in results
        try:
            weights = tensor_digest(make(self.model, self._spec(arm, case)).deltas)
        except EngineError:
            weights = ""
        return results.where(**key)[0]["deltas"] != weights[:12]

    def measured(self, arm: Arm, case: Case, pictures: int) -> dict[str, Any]:
        """Rates, distance, change and time of one arm; of an editor that refuses, its `problem`."""
        asked = measure.asked(case, pictures, self.unseen)
        questions = [item.question for item in asked]
        before = measure.pictures(self.model, self.digest, self.store, questions)
        try:
            after, figures = self.after(arm, case, questions)
        except EngineError as error:
            return {"problem": " ".join(str(error).split())}
        return {**measure.scores(asked, measure.seen(self.judge, after, questions), after, before), **figures}

    def after(self, arm: Arm, case: Case, questions: Sequence[Question]) -> tuple[np.ndarray, dict[str, Any]]:
        """Return the arm's pictures, and the figures of its plan."""
        if arm.editor == UNEDITED:
            return measure.pictures(self.model, self.digest, self.store, questions), {}
        if arm.editor == RETRAINED:
            folder = arm.settings["folder"]
            return measure.pictures(open_model(folder), folder_digest(folder), self.store, questions), {}
        start = time.perf_counter()
        edit = make(self.model, self._spec(arm, case))
        seconds = time.perf_counter() - start
        weights = tensor_digest(edit.deltas)
        with applied(self.model, edit):
            after = measure.pictures(self.model, weights, self.store, questions)
        change = max(relative_changes(self.model, edit).values())
        drift = max((layer.get("drift", math.nan) for layer in edit.diagnostics.values()), default=math.nan)
        return after, {"change": change, "drift": drift, "seconds": seconds, "deltas": weights[:12]}

    def _spec(self, arm: Arm, case: Case) -> EditSpec:
        plain = measure.spec(case, arm.editor, arm.settings)
        return measure.retaining(plain, self.model, arm.names) if arm.names else plain

    def _key(self, arm: Arm, case: Case, pictures: int) -> dict[str, Any]:
        named = {"model": self.digest[:12], "arm": arm.name, "settings": arm.recorded(case)}
        return {**named, "case": case.name, "draw": case.draw, "pictures": pictures}


def results(path: Path) -> Results:
    return Results(path, COLUMNS, KEY)


def main() -> None:
    args = arguments()
    found = results(args.measured / ("unseen.tsv" if args.unseen else "compare.tsv"))
    if not (args.only_write or args.beside):
        _measure(args, Bench(args.store, args.unseen), found)
    rows = found.where(model=folder_digest(MODEL)[:12], pictures=args.pictures)
    if args.beside:
        print(tables.beside(rows, args.beside))
    if args.write or args.only_write:
        tables.write(rows)


def _measure(args: argparse.Namespace, bench: Bench, found: Results) -> None:
    names = args.editor or [UNEDITED, *EDITORS, AUTO]
    trials = results(args.measured / "tuning.tsv")
    ladders = [name for name in names if name in LADDERS]
    for name in ladders if args.tune else []:
        bench.run(ladder(name), concepts.tuning_cases(), args.pictures, trials, args.replan)
    chosen = [tuned(name, trials, bench.digest, args.trials or args.pictures) for name in ladders if args.tuned]
    rivals = [arm for arm in chosen if arm.editor in TOLD] if args.told else []
    for arm in rivals if args.tune else []:
        bench.run(input_ladder(arm), concepts.tuning_cases(), args.pictures, trials, args.replan)
    chosen += [with_best_inputs(arm, trials, bench.digest, args.trials or args.pictures) for arm in rivals]
    plain = [*(Arm(name, name) for name in names), *chosen]
    arms = [with_settings(names[0], args.settings, args.names)] if args.settings or args.names else plain
    cases = [case for case in concepts.cases(args.draws) if not args.case or case.name in args.case]
    bench.run(arms, cases, args.pictures, found, args.replan)
    if args.retrained:
        case = concepts.case_without(args.without)
        bench.run([*arms, Arm(RETRAINED, RETRAINED, {"folder": args.retrained})], [case], args.pictures, found)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--editor", action="append", help="one or more; every editor by default")
    parser.add_argument(
        "--with", dest="settings", nargs="+", default=[], metavar="NAME=JSON", help="for the one editor named"
    )
    parser.add_argument("--names", type=int, default=0, help="retained beside, for the one editor named")
    parser.add_argument("--case", action="append", choices=[case.name for case in concepts.cases(1)])
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--pictures", type=int, default=PICTURES, help="a group of questions, at most")
    parser.add_argument("--tune", action="store_true", help="choose settings on the objects that are kept apart, first")
    parser.add_argument("--tuned", action="store_true", help="also measure with the settings that --tune chose before")
    parser.add_argument("--told", action="store_true", help="with --tuned: then also with what the default is told")
    parser.add_argument("--trials", type=int, help="pictures a group by which --tune chose, if not as --pictures")
    parser.add_argument("--replan", action="store_true", help="also measure again what is edited otherwise by now")
    parser.add_argument("--unseen", action="store_true", help="ask prompts alone that no template of an editor makes")
    parser.add_argument("--write", action="store_true", help="then write docs/benchmarks.md")
    parser.add_argument("--only-write", action="store_true", help="only write it, of what is measured already")
    parser.add_argument(
        "--beside", nargs="+", metavar="EDITOR", help="only print H_o of these in the draws that all have"
    )
    parser.add_argument("--retrained", type=Path, help="folder of a model that was trained without some concepts")
    parser.add_argument(
        "--without",
        nargs="+",
        default=[],
        metavar="NAME",
        choices=concepts.NAMES,
        help="the objects and styles it never saw",
    )
    parser.add_argument("--measured", type=Path, default=FOLDER, help="folder of the lines that were measured")
    parser.add_argument("--store", type=Path, default=measure.STORE, help="where pictures are kept")
    args = parser.parse_args()
    if args.unseen and (args.write or args.only_write):
        parser.error("what --unseen measures is printed by --beside")
    if args.unseen and args.tune:
        parser.error("settings are chosen by --tune on the prompts of the tables, before --unseen measures with them")
    if (args.settings or args.names) and len(args.editor or []) != 1:
        parser.error("--with and --names are for one --editor")
    return args


if __name__ == "__main__":
    main()
