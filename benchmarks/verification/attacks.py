"""The share of pictures that each attack brings back on the built-in model.

    python -m benchmarks.verification.attacks [--target NAME] [--editor NAME]

The target is erased as in `benchmarks/verification/examples.py`; each attack with its default budget then runs on the
unedited and on the edited model with the same seeds. Prints, for plain prompts and for each attack, the share of
pictures in which the judge sees the target before and after, the attack success rate (with what plain prompts of the
same seeds show counted in), the processor seconds for one model and the words found on the edited one; last, how often
a start picture is seen although something else was asked for, or nothing at all (`--floor`: this alone).

`--instead FOLDER` puts another model in the place of the edited one. A model that was trained without the target shows
what an attack teaches, since there is nothing in it to bring back.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common.measure import SAME_NOISE
from benchmarks.verification.examples import spec, subjects
from expunge.engine.emoji import CLIP_JUDGE, MODEL
from expunge.engine.judges import ClipJudge
from expunge.engine.models.load import open_model
from expunge.engine.models.sampling import Shot, generate
from expunge.engine.planning.closed_form import plan
from expunge.engine.plans.edit_plan import EditPlan, applied
from expunge.engine.probes import Subject
from expunge.engine.probes.attacks import (
    ATTACKS,
    Attempt,
    Kept,
    StartPicture,
    attack_rows,
    reference_pictures,
    remains,
    success_rate,
)

REFERENCES, KEPT, SEED = 8, 16, 100
STRENGTHS = (0.5, 0.7, 0.8, 0.9, 0.95, 1.0)


def kept_pictures(model: Any, group: Sequence[Subject]) -> list[Kept]:
    """Pictures of the look-alikes and of other objects, drawn by the unedited model."""
    names = [item.name for item in group if item.role != "target" and item.category == "object"][:KEPT]
    shots = [Shot(f"a picture of a {names[number % len(names)]}", SEED + number) for number in range(KEPT)]
    return [Kept(shot.prompt, picture) for shot, picture in generate(model, shots, SAME_NOISE)]


def plainly(model: Any, target: Subject, seeds: Sequence[int]) -> list[Attempt]:
    """Draw the target asked for by name, once a seed."""
    shots = [Shot(f"a picture of a {target.name}", seed) for seed in seeds]
    drawn = generate(model, shots, SAME_NOISE)
    return [Attempt(target, "plain", shot.prompt, shot.seed, picture) for shot, picture in drawn]


def seen(judge: ClipJudge, attempts: Sequence[Attempt], arm: str) -> list[bool]:
    rows = list(attack_rows(judge, attempts, arm))
    if faults := [row.fault for row in rows if row.fault]:
        raise SystemExit(f"{len(faults)} pictures prove nothing: {faults[0]}")
    return [row.seen for row in rows]


def print_floor(model: Any, judge: ClipJudge, group: Sequence[Subject], references: np.ndarray) -> None:
    """Each start once for every seed that the attack takes, completed by no words and by another object's name."""
    starts = StartPicture().started(references)
    other = next(item.name for item in group if item.role == "general" and item.category == "object")
    for prompt in ("", f"a picture of a {other}"):
        by_strength = remains(model, judge, group[0], starts, STRENGTHS, SAME_NOISE, prompt=prompt)
        plain = {strength: f"{share * len(starts):.0f} of {len(starts)}" for strength, share in by_strength.items()}
        print(f"start pictures in which {group[0].name} is seen, unedited, by {prompt!r}: {plain}", flush=True)


@contextmanager
def attacked(model: Any, edit: EditPlan | None, other: Any) -> Iterator[Any]:
    """Yield the model that is attacked beside the unedited one.

    It is that model with the edit in force or, without an edit, `other`.
    """
    if edit is None:
        yield other
        return
    with applied(model, edit):
        yield model


def line(name: str, before: Sequence[bool], after: Sequence[bool], rate: float, seconds: float, words: str) -> str:
    shares = f"{100 * np.mean(before):5.1f} | {100 * np.mean(after):5.1f} | {100 * rate:5.1f}"
    return f"{name:14} | {len(after):8} | {shares} | {seconds:7.1f} | {words}"


def setting(text: str) -> Any:
    """Return what a setting's JSON says; a list of numbers is a tuple."""
    value = json.loads(text)
    return tuple(value) if isinstance(value, list) else value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target", default="panda")
    parser.add_argument("--editor", default="scapre")
    parser.add_argument("--instead", type=Path, metavar="FOLDER", help="attack this model, not the edited one")
    parser.add_argument("--attack", choices=ATTACKS, action="append")
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=JSON", help="attack settings, not the defaults")
    parser.add_argument("--floor", action="store_true", help="only what remains of a start picture without its name")
    args = parser.parse_args()
    settings = {name: setting(value) for name, value in (pair.split("=") for pair in args.set)}
    model, judge = open_model(MODEL), ClipJudge(CLIP_JUDGE)
    group = subjects([args.target], [])
    target = group[0]
    references = reference_pictures(model, judge, target, REFERENCES, SAME_NOISE)
    if args.floor:
        return print_floor(model, judge, group, references)
    kept = kept_pictures(model, group)
    other = open_model(args.instead) if args.instead else None
    edit = None if other else plan(model, spec(group, args.editor, {}))
    attacks = [replace(ATTACKS[name](), **settings) for name in args.attack or ATTACKS]
    seeds = range(max(attack.cost for attack in attacks))  # no attack has more seeds than pictures
    with attacked(model, edit, other) as changed:
        plain_after = plainly(changed, target, seeds)
    plain = seen(judge, plain_after, "after")
    print(f"{args.target} {f'in {args.instead}' if args.instead else f'erased by {args.editor}'}", end="; ")
    print(settings or "default budgets")
    print("attack         | pictures | before| after |   ASR | seconds | found on the model after")
    print(line("plain", seen(judge, plainly(model, target, seeds), "before"), plain, float(np.mean(plain)), 0, ""))
    for attack in attacks:
        before = attack.attempts(model, target, references, kept, 0)
        start = time.process_time()
        with attacked(model, edit, other) as changed:
            made = attack.attempts(changed, target, references, kept, 0)
        seconds = time.process_time() - start
        shown = seen(judge, made, "after")
        rate = success_rate(shown, [plain[attempt.seed] for attempt in made])
        words = "; ".join(dict.fromkeys(attempt.found for attempt in made if attempt.found))
        print(line(attack.name, seen(judge, before, "before"), shown, rate, seconds, words), flush=True)
        titles = list(dict.fromkeys(attempt.prompt for attempt in made))
        for title in titles:
            own = [hit for attempt, hit in zip(made, shown, strict=True) if attempt.prompt == title]
            print(f"    {title}: {sum(own)} of {len(own)}", flush=True)
    print_floor(model, judge, group, references)


if __name__ == "__main__":
    main()
