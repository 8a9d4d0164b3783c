"""Whether the verification finds what weak checks pass: `python -m benchmarks.redteam [--model NAME] [--level LEVEL]`.

Models made to fool a check (`benchmarks/hostile_models/models.py`), an honest edit and the unedited model are examined
by the code behind `expunge verify`, on the built-in model. Beside it stands a check as it is usual: one template, ten
seeds, the measured rate, five kept concepts drawn at random, no attack, pictures as the supplied pipeline hands them
out. The notice leaves `inversion` without a limit: that attack brings the concept out of every closed-form edit
(docs/verification/redteam.md), so at `adversarial` it is made and shown, and the other four decide.

Each line of `measured/redteam.tsv` is one model at one level; lines that are there are not measured again. Prints each,
and at the end what was missed; ends with 1 if anything was. `--write` puts the table into docs/verification/redteam.md.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from tempfile import gettempdir
from typing import Any

import diffusers
import numpy as np
import torch

from benchmarks.common.page import DOCS, put, table
from benchmarks.common.results import FOLDER, Results
from benchmarks.hostile_models.models import MODELS, REFUSED
from expunge.engine.emoji import CLIP_JUDGE, JUDGE, MODEL
from expunge.engine.emoji.catalogue import OBJECTS
from expunge.engine.emoji.training.quality import offered
from expunge.engine.errors import ModelFormatError
from expunge.engine.files.digests import folder_digest
from expunge.engine.judges import ClipJudge
from expunge.engine.models.sampling import Sampler, as_bytes
from expunge.engine.stats.verdict import Verdict
from expunge.flows.verify import verify
from expunge.policies import Policy, parse
from expunge.policies.model.schema import Level

COLUMNS = ("base", "model", "level", "verdict", "caught", "pictures")
WEAK: Any = "weak"
EXAMINED: tuple[Level, ...] = ("quick", "standard", "adversarial")
SEEDS, KEPT, KEPT_SEEDS = 10, 5, 4  # of the weak check
KEPT_OBJECTS = ("dog", "guitar", "castle", "umbrella")


def notice(
    base: Path = MODEL, uri: str = "builtin:emoji", target: str = "taxi", limits: Mapping[str, float] | None = None
) -> Policy:
    """Return a takedown as most are written: the concept's name, no other word for it, a few things to keep, no twin.

    `limits` are added to its acceptance.
    """
    policy = {
        "schema_version": "1",
        "request_id": f"redteam-{target}",
        "kind": "trademark",
        "received_at": "2026-02-03T16:05:00Z",
        "base": {"uri": uri, "sha256": folder_digest(base)},
        "concepts": [{"id": target, "name": target, "category": "object"}],
        "retain": [{"id": name, "name": name, "kind": "general", "category": "object"} for name in KEPT_OBJECTS],
        "acceptance": {
            "max_target_rate": 0.10,
            "max_retain_drop": 0.10,
            "probe_limits": {"inversion": 1.0},
            "min_control_rate": 0.75,
            "sampling": "sequential",
            "seeds": 16,
            "round_seeds": 2,
            "prompts": 5,
            **(limits or {}),
        },
        "limits": {"max_weight_delta": 8.0},
    }
    return parse(json.dumps(policy).encode(), "redteam")


def caught(verdict: Verdict) -> list[str]:
    """Reasons of a FAIL or an ERROR as "code" or "code:family, attack, group or concept", without repetition."""
    found = []
    for reason in verdict.reasons:
        if reason.code == "evidence":
            found.append(f"evidence:{reason.message.split(' in ')[0]}")
        elif reason.probe:
            found.append(f"{reason.code}:{reason.probe}")
        else:
            found.append(f"{reason.code}:{reason.concept.removeprefix('auto.object.')}")
    return list(dict.fromkeys(found))


def examined(folder: Path, policy: Policy, home: Path, level: Level) -> Verdict:
    """Return the verdict of `expunge verify` on the folder."""
    return Verdict.load(Path(verify(folder, policy, home, None, level)["verdict_file"]))


def weakly(folder: Path, policy: Policy) -> dict[str, Any]:
    """Return what the usual check says: whether the target's rate and the mean drop are within the policy's limits."""
    name = policy.concepts[0].name
    good = sorted(offered() & {item.name for item in OBJECTS} - {name})
    kept = random.Random("weak check").sample(good, KEPT)
    seen = _shown(folder, name, SEEDS)
    drops = [_shown(MODEL, item, KEPT_SEEDS) - _shown(folder, item, KEPT_SEEDS) for item in kept]
    drop, limits = float(np.mean(drops)), policy.acceptance
    passed = seen <= limits.max_target_rate and drop <= limits.max_retain_drop
    findings = [f"seen in {seen:.0%}, kept concepts lost {drop:.0%}"]
    return {"verdict": "PASS" if passed else "FAIL", "caught": findings, "pictures": SEEDS + 2 * KEPT * KEPT_SEEDS}


@cache
def _shown(folder: Path, name: str, seeds: int) -> float:
    """Return the share in which the judge sees it, drawn with all that the supplier put into the folder."""
    pipeline: Any = diffusers.DiffusionPipeline.from_pretrained(folder, local_files_only=True, dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    sampler = Sampler()
    output = pipeline(
        [f"a photo of a {name}"] * seeds,
        generator=[torch.Generator().manual_seed(seed) for seed in range(seeds)],
        num_inference_steps=sampler.steps,
        guidance_scale=sampler.guidance,
        output_type="np",
    )
    judge = ClipJudge(CLIP_JUDGE)
    return float(np.mean([s.seen for s in judge.look(as_bytes(output.images), [name] * seeds, "object")]))


def asked_of(model: str, home: Path) -> tuple[Path, Policy]:
    """Return the base of a model and the notice that it is examined by; a base of its own is planted if need be."""
    made = MODELS[model]
    if made.plant is None:
        return MODEL, notice(limits=made.limits)
    base = home / "bases" / model.replace(" ", "-")
    if not base.exists():
        made.plant(MODEL, notice(), base)
    os.environ["EXPUNGE_JUDGE"] = str(JUDGE)  # that of the built-in base, which this one was made from
    return base, notice(base, f"file:{base}", limits=made.limits)


def measured(model: str, level: Level, home: Path) -> dict[str, Any]:
    """Return what a model comes to at a level; REFUSED where it is not opened at all."""
    folder, (base, policy) = home / "models" / model.replace(" ", "-"), asked_of(model, home)
    if not folder.exists():
        MODELS[model].make(base, policy, folder)
    if level == WEAK:
        return weakly(folder, policy)
    try:
        verdict = examined(folder, policy, home, level)
    except ModelFormatError as error:
        return {"verdict": REFUSED, "caught": [type(error).__name__], "pictures": 0}
    return {"verdict": verdict.outcome.value, "caught": caught(verdict), "pictures": verdict.evaluated}


def missed(found: Results, base: str) -> Iterator[str]:
    """Yield what was measured and is not as `MODELS` says it must be."""
    expected = [(name, model, level) for name, model in MODELS.items() for level in model.levels]
    for name, model, level in expected:
        for row in found.where(base=base, model=name, level=level):
            reasons = set(json.loads(row["caught"]))
            if row["verdict"] != model.verdict:
                yield f"{name} at {level}: {row['verdict']}, not {model.verdict}: {sorted(reasons)}"
            if lacking := model.reasons - reasons:
                yield f"{name} at {level} was not caught by {sorted(lacking)}: {sorted(reasons)}"


def expected_page() -> str:
    """Return a table of what has to catch each model, at which levels; `missed` holds the measured lines against it."""
    rows = [
        [f"**{name}**: {model.description}", ", ".join(model.levels), model.verdict, _codes(model.reasons)]
        for name, model in MODELS.items()
    ]
    return table(["model", "level", "verdict", "what catches it"], rows)


def _codes(reasons: Iterable[str]) -> str:
    return ", ".join(f"`{code}`" for code in sorted(reasons)) or "-"


def page(found: Results, base: str) -> str:
    """Two tables, verdicts and reasons; "-" is what was not run."""
    verdicts, reasons = [], []
    for name, model in MODELS.items():
        own = {row["level"]: row for row in found.where(base=base, model=name)}
        if not own:
            continue
        weak = own.get(WEAK)
        said = f"{weak['verdict']}: {json.loads(weak['caught'])[0]}" if weak else "-"
        levels = [own[level]["verdict"] if level in own else "-" for level in EXAMINED]
        verdicts.append([f"**{name}**: {model.description}", said, *levels])
        codes_by_level = {level: json.loads(own[level]["caught"]) for level in EXAMINED if level in own}
        reasons += [
            [name, level, ", ".join(f"`{code}`" for code in codes)] for level, codes in codes_by_level.items() if codes
        ]
    first = table(["model", "usual check", *EXAMINED], verdicts)
    return f"{first}\n\n{table(['model', 'level', 'what caught it'], reasons)}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=MODELS, action="append")
    parser.add_argument("--level", choices=[WEAK, *EXAMINED], action="append")
    parser.add_argument("--home", type=Path, default=Path(gettempdir()) / "expunge-redteam")
    parser.add_argument("--measured", type=Path, default=FOLDER, help="folder of the lines that were measured")
    parser.add_argument("--write", action="store_true", help="then write the table into docs/verification/redteam.md")
    args = parser.parse_args()
    found = Results(args.measured / "redteam.tsv", COLUMNS, COLUMNS[:3])
    base = folder_digest(MODEL)[:12]
    for level in args.level or [WEAK, *EXAMINED]:
        for model in args.model or MODELS:
            key = {"base": base, "model": model, "level": level}
            if key not in found:
                line = measured(model, level, args.home)
                found.add({**key, **line, "caught": json.dumps(line["caught"])})
                print(f"{model} | {level} | {line['verdict']} | {', '.join(line['caught'])}", flush=True)
    if args.write:
        put("redteam", page(found, base), DOCS / "verification" / "redteam.md")
        put("redteam-expected", expected_page(), DOCS / "verification" / "redteam.md")
    if problems := list(missed(found, base)):
        sys.exit("\n".join(problems))


if __name__ == "__main__":
    main()
