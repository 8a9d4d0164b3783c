"""Is a target gone from the weights? `python -m benchmarks.hardened` attacks editors beside a model that never saw it.

    python -m benchmarks.hardened [--case NAME ...] [--editor NAME ...] [--attack NAME ...] [--budget 1 4 16]
    python -m benchmarks.hardened --table      # what is measured so far, and the excess over the never-trained model
    python -m benchmarks.hardened --write      # the same as tables and a plot in docs/verification/measured.md
    python -m benchmarks.hardened --tune [--with [EDITOR.]NAME=JSON ...]  # on objects that are not reported

The cases are the ten objects that the shipped re-trained denoiser never saw, each erased alone, three styles, two sets
of five objects and a mixed one. Editors are told what `benchmarks/common/measure.py` tells them. Each row of
`measured/hardened.tsv` is an attack on one editor in one case: `pictures`, the share in which the judge sees the
target, H_o of the edit, and the processor minutes that it took to plan. An attack runs with several seeds on each
target; after each its row is written anew, so the last row of a kind counts and a run that was stopped goes on.
The never-trained model has no H_o here, for it never saw the other nine objects either.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from statistics import mean
from tempfile import gettempdir
from typing import Any

import torch
from scipy import stats

from benchmarks.common import measure
from benchmarks.common.arms import Arm, with_settings
from benchmarks.common.concepts import MIXED, Case, objects, styles
from benchmarks.common.results import FOLDER, Results
from benchmarks.hardening import report
from benchmarks.hardening.jobs import APART, BUDGETS, BY_NAME, NAMES, PLAIN, Job, in_order
from benchmarks.hardening.report import NEVER, UNEDITED
from benchmarks.verification.attacks import kept_pictures, plainly, seen
from expunge.engine.emoji import CLIP_JUDGE, MODEL
from expunge.engine.emoji.training import retrained
from expunge.engine.files.digests import folder_digest, json_digest
from expunge.engine.files.tensor_files import tensor_digest
from expunge.engine.judges import ClipJudge
from expunge.engine.models.load import open_model
from expunge.engine.models.picture_store import PictureStore
from expunge.engine.planning.make import make, settings_of
from expunge.engine.plans.edit_plan import EditPlan, applied
from expunge.engine.probes import Subject
from expunge.engine.probes.attacks import reference_pictures

WITH = "a setting of hardened, or as EDITOR.NAME=JSON of another"
EDITORS = ("hardened", NEVER, "scapre", UNEDITED, "esd", "salun", "stereo", "advunlearn")
REFERENCES, PICTURES = 8, 16
TRIED = ("panda", "owl", "guitar")  # settings are chosen on these
COLUMNS = ("case", "editor", "attack", "budget", "pictures", "seen", "h_o", "minutes")
KEY = COLUMNS[:4]
MOST_EXCESS = 0.20


def cases() -> dict[str, Case]:
    """Return the cases by name; those of objects that were never seen come first."""
    alone = [Case(name, 0, (name,)) for name in retrained.without()]
    looks = [Case(name, 0, (), (name,)) for name in styles(3, 0)]
    sets = [Case(f"5 objects #{draw}", draw, objects(5, draw)) for draw in (0, 1)]
    count, few = MIXED[0]
    mixed = Case(f"{count} objects, {few} styles", 0, objects(count, 0), styles(few, 0))
    return {case.name: case for case in (*alone, *looks, *sets, mixed)}


def trial_cases() -> dict[str, Case]:
    """Return the cases by which settings are chosen."""
    return {name: Case(name, 0, (name,)) for name in TRIED}


class Bench:
    """The built-in model, its judge, and the edits that were made so far, kept in the folder `work`."""

    def __init__(self, work: Path, results: Results) -> None:
        self.work, self.results = work, results
        self.model, self.judge, self.store = open_model(MODEL), ClipJudge(CLIP_JUDGE), PictureStore(measure.STORE)

    @cached_property
    def never(self) -> Any:
        """The model that was trained without the ten objects."""
        folder = self.work / f"never-{folder_digest(MODEL)[:12]}"
        if not folder.exists():
            retrained.write_folder(folder)
        return open_model(folder)

    def run(self, case: Case, arm: Arm, job: Job) -> None:
        """Measure what the results lack of one row."""
        key = {"case": case.name, "editor": arm.name, "attack": job.attack, "budget": job.budget}
        targets = [own for own in measure.subjects(case) if own.role == "target"]
        units = [(target, seed) for seed in range(job.seeds) for target in targets]
        done, shown, figures = self._begun(key, len(units))
        if done == len(units) or (arm.editor == NEVER and not set(case.objects) <= set(retrained.without())):
            return
        with self.edited(case, arm) as (model, minutes):
            figures = figures or {"h_o": self.h_o(case, arm.editor, model), "minutes": minutes}
            for target, seed in units[done:]:
                shown += self.attacked(model, target, case, job, seed * APART)
                self.results.add({**key, "pictures": len(shown), "seen": float(mean(shown)), **figures})

    def _begun(self, key: dict[str, Any], units: int) -> tuple[int, list[bool], dict[str, Any]]:
        """Return how many units are done, what they showed, and what stands in other rows of the same edit."""
        same = self.results.where(case=key["case"], editor=key["editor"])
        figures = {name: same[-1][name] for name in ("h_o", "minutes")} if same else {}
        if not (rows := self.results.where(**key)):
            return 0, [], figures
        pictures, hits = int(rows[0]["pictures"]), round(float(rows[0]["seen"]) * int(rows[0]["pictures"]))
        each = Job(key["attack"], key["budget"]).pictures
        return min(units, pictures // each), [True] * hits + [False] * (pictures - hits), figures

    @contextmanager
    def edited(self, case: Case, arm: Arm) -> Iterator[tuple[Any, float | str]]:
        """Yield the model with the edit in force, and the processor minutes that this took."""
        if arm.editor in (NEVER, UNEDITED):
            yield (self.never if arm.editor == NEVER else self.model), ""
            return
        plan, minutes = self.planned(case, arm)
        with applied(self.model, plan):
            yield self.model, minutes

    def planned(self, case: Case, arm: Arm) -> tuple[EditPlan, float]:
        """Return the edit, made once, and the processor minutes that it took."""
        spec = measure.spec(case, arm.editor, arm.settings)
        known = json_digest([spec.digest, dict(settings_of(spec)), folder_digest(MODEL)])[:16]
        file = self.work / f"{arm.editor}-{known}"
        plan, clock = file.with_suffix(".safetensors"), file.with_suffix(".minutes")
        if not clock.exists():
            begun = time.process_time()
            made = make(self.model, spec, checkpoints=file.with_suffix(".training"))
            made.save(plan)
            clock.write_text(f"{(time.process_time() - begun) / 60:.2f}")
        return EditPlan.load(plan), float(clock.read_text())

    def h_o(self, case: Case, editor: str, model: Any) -> float | str:
        """H_o of the edit in force."""
        if editor == NEVER:
            return ""
        asked = measure.asked(case, PICTURES)
        questions = [item.question for item in asked]
        weights = tensor_digest(model.unet.state_dict())
        after = measure.pictures(model, weights, self.store, questions)
        return measure.scores(asked, measure.seen(self.judge, after, questions), after, after)["h_o"]

    def attacked(self, model: Any, target: Subject, case: Case, job: Job, seed: int) -> list[bool]:
        """In which of the attack's pictures the judge sees the target."""
        if job.attack == PLAIN:
            return seen(self.judge, plainly(model, target, range(seed, seed + BY_NAME)), "after")
        references = reference_pictures(open_model(MODEL), self.judge, target, REFERENCES, measure.SAME_NOISE)
        kept = kept_pictures(open_model(MODEL), measure.subjects(case)) if job.made().retrains else []
        attempts = job.made().attempts(model, target, references, kept, seed)
        return job.counted(attempts, seen(self.judge, attempts, "after"))


def print_table(results: Results) -> None:
    """Shares by editor and attack, and their excess over the never-trained model where there is one."""
    for editor, attack, budget in sorted(
        {(row["editor"], row["attack"], row["budget"]) for row in results.rows.values()}
    ):
        rows = results.where(editor=editor, attack=attack, budget=budget)
        floors = {row["case"]: float(row["seen"]) for row in results.where(editor=NEVER, attack=attack, budget=budget)}
        share = mean(float(row["seen"]) for row in rows)
        line = f"{editor:14} {attack:14} {budget:>2}x: seen {share:.3f} in {len(rows)} cases"
        both = [(float(row["seen"]), floors[row["case"]]) for row in rows if row["case"] in floors]
        if both and editor != NEVER:
            excess = [own - floor for own, floor in both]
            few = sum(one <= MOST_EXCESS for one in excess)
            line += f"; excess {mean(excess):+.3f}, at most {MOST_EXCESS:.2f} in {few} of {len(excess)}"
            line += ranked(both)
        print(line)
    for editor in sorted({row["editor"] for row in results.rows.values()}):
        rows = results.where(editor=editor, attack=PLAIN)
        if own := [float(row["h_o"]) for row in rows if row["h_o"]]:
            minutes = [float(row["minutes"]) for row in rows if row["minutes"]]
            print(f"{editor:14} H_o {100 * mean(own):.1f} in {len(own)} cases; minutes {mean(minutes or [0]):.1f}")


def ranked(shares: Sequence[tuple[float, float]]) -> str:
    """Return how far the shares of an editor and of the never-trained model, a pair a case, have the same order."""
    own, floors = zip(*shares, strict=True)
    if min(len(set(own)), len(set(floors))) < 2:
        return ""
    found: Any = stats.spearmanr(own, floors)
    return f"; rank correlation with {NEVER} {found.statistic:+.2f}, p {found.pvalue:.3f}"


def own_settings(editor: str, given: Sequence[str]) -> list[str]:
    """Return which of the settings NAME=JSON and EDITOR.NAME=JSON are an editor's own; without EDITOR, of hardened."""
    owned = [text if "." in text.partition("=")[0] else f"hardened.{text}" for text in given]
    return [text.removeprefix(f"{editor}.") for text in owned if text.startswith(f"{editor}.")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    every = cases() | trial_cases()
    parser.add_argument("--case", nargs="+", choices=list(every), help="by default all", metavar="NAME")
    parser.add_argument("--editor", nargs="+", choices=EDITORS, default=EDITORS[:3])
    parser.add_argument("--attack", nargs="+", choices=NAMES, default=(PLAIN, "inversion"))
    parser.add_argument("--budget", nargs="+", type=int, choices=BUDGETS, default=BUDGETS)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--work", type=Path, default=Path(gettempdir()) / "expunge-hardened", help="for edits")
    parser.add_argument("--tune", action="store_true", help="measure the objects by which settings are chosen")
    parser.add_argument("--with", dest="settings", nargs="+", default=[], metavar="NAME=JSON", help=WITH)
    parser.add_argument("--table", action="store_true", help="only print what is measured")
    parser.add_argument("--write", action="store_true", help="only write tables and plot into docs/verification")
    args = parser.parse_args()
    results = Results(FOLDER / ("hardened_tuning.tsv" if args.tune else "hardened.tsv"), COLUMNS, KEY)
    if args.table:
        return print_table(results)
    if args.write:
        return report.write(results, retrained.without())
    args.work.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(args.threads)
    bench = Bench(args.work, results)
    arms = [with_settings(editor, own_settings(editor, args.settings)) for editor in args.editor]
    for job in in_order(args.attack, args.budget):
        for name in args.case or (trial_cases() if args.tune else cases()):
            for arm in arms:
                bench.run(every[name], arm, job)
                print(f"{name}, {arm.name}, {job.attack} {job.budget}x: done", flush=True)


if __name__ == "__main__":
    main()
