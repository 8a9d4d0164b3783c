"""What an edit loses where people ask in free prose: `python -m benchmarks.prose [--write]`.

Every kept object that the model draws well is asked for in sentences that no editor, probe or training caption has
(`benchmarks/common/frames`). Of these pictures those count in which the judge sees the object on the unedited model;
lost are those of them in which it does not see it after the edit. The targets are asked for in such sentences too. The
twenty reported frames were written before anything was measured, and nothing may be chosen by them; `--choosing` asks
in twenty others on the objects that settings are chosen on.

A picture in which the unedited model barely shows the object is lost by chance as well, so some loss is no fault of an
edit. Lines of `measured/prose.tsv` that are there are not measured again. `--write` puts the table into
`docs/benchmarks.md`.
"""

from __future__ import annotations

import argparse
import itertools
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import concepts, measure, tables
from benchmarks.common.arms import UNEDITED, Arm, with_settings
from benchmarks.common.concepts import Case
from benchmarks.common.frames import CHOOSING, REPORTED, frames
from benchmarks.common.page import put, table
from benchmarks.common.results import FOLDER, Results
from benchmarks.compare import KEY as COMPARED
from benchmarks.compare import Bench
from expunge.engine.editors import EDITORS
from expunge.engine.emoji import MODEL
from expunge.engine.errors import EngineError
from expunge.engine.files.digests import folder_digest
from expunge.engine.models.sampling import Shot
from expunge.engine.probes import Question
from expunge.engine.text.templates import fill

COUNTS = ("shown", "lost", "targets", "targets_before", "targets_after")
KEY = (*COMPARED, "frames")
COLUMNS = (*KEY, *COUNTS, "deltas", "problem")
PICTURES, SEED = 80, 5000  # of kept objects a draw; targets are asked for at most half as often
HEADER = ("case", "editor", "draws", "kept shown before", "lost", "lost, %", "targets seen before", "targets seen, %")


class Prose(Bench):
    """A bench that asks in the frames of one list."""

    def __init__(self, folder: Path, name: str) -> None:
        super().__init__(folder)
        self.frames = name

    def measured(self, arm: Arm, case: Case, pictures: int) -> dict[str, Any]:
        """Return the counts of one arm; of an editor that refuses, its `problem`."""
        asked = questions(case, self.frames, pictures)
        before = self._seen(asked)
        wanted = np.array([question.subject.role == "target" for question in asked])
        chosen = [question for question, counts in zip(asked, wanted | before, strict=True) if counts]
        try:
            shown, made = self.after(arm, case, chosen)
        except EngineError as error:
            return {"problem": " ".join(str(error).split())}
        after = np.zeros(len(asked), bool)
        after[wanted | before] = measure.seen(self.judge, shown, chosen)
        return {"deltas": made.get("deltas", ""), **counts(wanted, before, after)}

    def _key(self, arm: Arm, case: Case, pictures: int) -> dict[str, Any]:
        return {**super()._key(arm, case, pictures), "frames": self.frames}

    def _seen(self, asked: Sequence[Question]) -> np.ndarray:
        shown = measure.pictures(self.model, self.digest, self.store, asked)
        return measure.seen(self.judge, shown, asked)


def counts(target: np.ndarray, before: np.ndarray, after: np.ndarray) -> dict[str, int]:
    """Return `COUNTS` of pictures, bool [n] each: of a target, seen before, seen after."""
    lost = ~target & before & ~after
    found = (~target & before, lost, target, target & before, target & after)
    return dict(zip(COUNTS, (int(part.sum()) for part in found), strict=True))


def questions(case: Case, name: str, pictures: int) -> list[Question]:
    """Return what is asked: kept objects, `pictures` in all, and targets, half as many at most, each frame in turn."""
    subjects = [subject for subject in measure.subjects(case) if subject.category == "object"]
    gone = [subject for subject in subjects if subject.role == "target"]
    stay = [subject for subject in subjects if subject.role != "target"]
    order = random.Random(f"prose/{name}/{case.name}/{case.draw}")
    asked: list[Question] = []
    for group, count in ((stay, pictures), (gone, min(pictures // 2, 2 * len(gone)))):
        lines = itertools.cycle(order.sample(frames(name), len(frames(name))))
        turns = itertools.cycle(order.sample(group, len(group)))
        for number in range(count if group else 0):
            subject = next(turns)
            prompt = fill(next(lines), subject.name).text
            asked.append(Question(subject, "prose", Shot(prompt, SEED + number // len(group))))
    return asked


def page(rows: Sequence[dict[str, str]]) -> str:
    """Return the table of the reported frames, draws of a case added up; ValueError if nothing was measured."""
    rows = [row for row in tables.latest(rows) if row["frames"] == REPORTED and row["arm"] != UNEDITED]
    if not rows:
        raise ValueError(f"nothing was measured on this model; run benchmarks.prose first ({FOLDER})")
    pairs = ((case, arm) for case in tables.order(rows) for arm in tables.arms(rows))
    lines = [_line(case, arm, rows) for case, arm in pairs]
    return table(HEADER, [line for line in lines if line])


def _line(case: str, arm: str, rows: Sequence[dict[str, str]]) -> list[str]:
    own = [row for row in rows if (row["case"], row["arm"]) == (case, arm) and row["shown"]]
    if not own:
        return []
    shown, lost, targets, before, after = (sum(int(row[name]) for row in own) for name in COUNTS)
    cells = [case, arm, len(own), shown, lost, tables.share(lost, shown), tables.share(before, targets)]
    return [*map(str, cells), tables.share(after, targets)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--editor", action="append", help="one or more; every closed-form editor by default")
    parser.add_argument("--with", dest="settings", nargs="+", default=[], metavar="NAME=JSON", help="for one editor")
    parser.add_argument("--case", action="append", help="20 objects by default")
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--pictures", type=int, default=PICTURES, help="of kept objects, a draw")
    parser.add_argument("--choosing", action="store_true", help="the other frames, on the objects for choosing")
    parser.add_argument("--write", action="store_true", help="then write docs/benchmarks.md")
    parser.add_argument("--only-write", action="store_true", help="only write it, of what is measured already")
    parser.add_argument("--measured", type=Path, default=FOLDER, help="folder of the lines that were measured")
    parser.add_argument("--store", type=Path, default=measure.STORE, help="where pictures are kept")
    args = parser.parse_args()
    found = Results(args.measured / "prose.tsv", COLUMNS, KEY)
    if not args.only_write:
        _measure(args, found)
    if args.write or args.only_write:
        put("prose", page(found.where(model=folder_digest(MODEL)[:12], pictures=args.pictures)))


def _measure(args: argparse.Namespace, found: Results) -> None:
    names = args.editor or list(EDITORS)
    arms = [with_settings(names[0], args.settings)] if args.settings else [Arm(name, name) for name in names]
    if args.choosing:
        Prose(args.store, CHOOSING).run(arms, concepts.tuning_cases((20,)), args.pictures, found)
        return
    cases = [case for case in concepts.cases(args.draws) if case.name in (args.case or ["20 objects"])]
    Prose(args.store, REPORTED).run(arms, cases, args.pictures, found)


if __name__ == "__main__":
    main()
