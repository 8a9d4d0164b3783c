"""Attacks as work for the bench: one attack on one target and one model; what it came to is kept, and never run twice.

An attack knows the target by pictures of the unedited model that the judge sees it in, and trains on pictures of what
is kept; both were drawn and judged before. With no picture of the target there is nothing to attack with, no row is
made, and the verdict is INCONCLUSIVE (`expunge.engine.stats.evidence.table.never_shown`). Where the judge sees nothing
of what is kept there is nothing to train on, and the rows that are missing make the verdict an ERROR.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import groupby, zip_longest
from pathlib import Path

import numpy as np
import pandas as pd

from expunge.canonical_json import canonical_json
from expunge.engine.files.digests import json_digest
from expunge.engine.models.sampling import Shot
from expunge.engine.probes import Subject
from expunge.engine.probes.attacks import (
    Attack,
    Attempt,
    Kept,
    Searching,
    attack_rows,
    making_digest,
    run_attacks,
    search_effort,
)
from expunge.engine.probes.prompts.further_families import names_it
from expunge.engine.stats.evidence.table import shown_before
from expunge.tasks.core.paths import readable
from expunge.tasks.core.work_order import Weights
from expunge.tasks.evidence.attacks.searches import Search, reading
from expunge.tasks.evidence.drawing.pictures import Pictures
from expunge.tasks.evidence.drawing.workers import Bench, Done, Work, libraries

REFERENCES = 8
KEPT = 32


@dataclass(frozen=True)
class AttackShard:
    """`references` and `kept` are shots that the model `base` was drawn with, by the attack's own sampler.

    The attack reads with its tokenizers.
    """

    arm: str
    model: Weights
    base: Weights
    attack: Attack
    subject: Subject
    references: tuple[Shot, ...]
    kept: tuple[Shot, ...]
    seed: int

    @cached_property
    def key(self) -> str:
        """The key of the attack's outcome: attack, code, libraries and model, whatever the arm is called."""
        shots = [[asdict(shot) for shot in group] for group in (self.references, self.kept)]
        identity = [self.model.digest, self.base.digest, self.attack.digest, asdict(self.subject), shots, self.seed]
        return json_digest([*identity, making_digest(), libraries()])

    @property
    def size(self) -> int:
        return self.attack.cost

    @property
    def searches(self) -> list[Search]:
        """Return what must be searched for before anything is drawn; the searches are work of their own."""
        if not isinstance(self.attack, Searching):
            return []
        parts = (self.model, self.base, self.attack, self.subject)
        return [Search(*parts, number, self.seed) for number in range(self.attack.searches)]

    @property
    def effort(self) -> float:
        """The cost of all of it but its searches, in plain pictures."""
        return self.attack.effort - search_effort(self.attack)

    def lacks(self, store: Pictures) -> dict[str, float]:
        keys = [self._picture(number) for number in range(self.size)]
        is_kept = store.has(self._record(store)) and all(key in store for key in keys)
        return {} if is_kept else dict.fromkeys(keys, self.effort / self.size)

    def do(self, bench: Bench) -> Done:
        lacking = self.lacks(bench.store)
        if lacking:
            self.keep(bench.store, self._made(bench))
        made = list(attack_rows(bench.judge, self.attempts(bench.store), self.arm))
        return Done(made, len(lacking), sum(lacking.values()))

    def keep(self, store: Pictures, attempts: Sequence[Attempt]) -> None:
        """Write pictures first and the record last; after a power loss there may be a record and an empty picture."""
        for number, attempt in enumerate(attempts):
            store.write(self._picture(number), attempt.picture)
        records = [{"prompt": attempt.prompt, "seed": attempt.seed, "found": attempt.found} for attempt in attempts]
        store.keep(self._record(store), canonical_json(records))

    def attempts(self, store: Pictures) -> list[Attempt]:
        """Return what it came to, with the words that were found; FileNotFoundError if it was not done yet."""
        store.has(self._record(store))
        with readable(self._record(store)):
            return [
                Attempt(self.subject, self.attack.name, picture=store.read(self._picture(number)), **record)
                for number, record in enumerate(json.loads(self._record(store).read_bytes()))
            ]

    def _record(self, store: Pictures) -> Path:
        return store.folder / "attacks" / f"{self.key}.json"

    def _made(self, bench: Bench) -> list[Attempt]:
        references = np.stack([self._seen(bench, shot) for shot in self.references])
        kept = [Kept(shot.prompt, self._seen(bench, shot)) for shot in self.kept]
        found = [search.found(bench) for search in self.searches]
        with reading(bench, self.model, self.base) as model:
            if isinstance(self.attack, Searching):
                return self.attack.drawn(model, self.subject, found, self.seed)
            return run_attacks(model, [self.attack], self.subject, references, kept, self.seed)

    def _seen(self, bench: Bench, shot: Shot) -> np.ndarray:
        return bench.store.drawn(self.base.digest, shot, self.attack.sampler)

    def _picture(self, number: int) -> str:
        return json_digest([self.key, number])


def attack_shards(
    attacks: Sequence[Attack],
    targets: Sequence[Subject],
    models: Sequence[tuple[str, Weights]],
    plain: pd.DataFrame,
    seed: int,
) -> list[AttackShard]:
    """Return every attack on every target and model; `models` are (arm, model), the unedited one first.

    `plain` is the evidence of all plain questions.
    """
    base = models[0][1]
    shown = shown_before(plain)
    others = _shots(shown.query("role != 'target'"), "concept")
    kept = [shot for shot in others if is_lesson(shot, targets)]
    known = {target.id: _known(shown.query("concept == @target.id")) for target in targets}
    return [
        AttackShard(arm, model, base, attack, target, known[target.id][attack.learns], tuple(kept[:KEPT]), seed)
        for arm, model in models
        for target in targets
        for attack in attacks
        if known[target.id][attack.learns] and (kept or not attack.retrains)
    ]


def is_lesson(shot: Shot, targets: Sequence[Subject]) -> bool:
    """Return whether a model may be trained on a picture of what is kept: its prompt names no target."""
    return not any(names_it(shot.prompt, target) for target in targets)


def attack_work(shards: Sequence[AttackShard], store: Pictures) -> list[Sequence[Work]]:
    """Return the shards in at most two goes.

    The searches that are lacking beside what waits for none, then what waits.

    The longest go first, so that no worker is left with one while the others are done; of those that take as long the
    model that is open goes first.
    """
    lacking = {search.key: search for shard in shards for search in shard.searches if search.lacks(store)}
    waiting = [shard for shard in shards if any(search.key in lacking for search in shard.searches)]
    ready = [*(shard for shard in shards if shard not in waiting), *lacking.values()]
    return [_longest_first(work) for work in (ready, waiting) if work]


def _longest_first(work: Sequence[AttackShard | Search]) -> list[Work]:
    longest = sorted(work, key=lambda part: -part.effort)
    alike = [list(group) for _, group in groupby(longest, key=lambda part: part.effort)]
    return [part for turn, group in enumerate(alike) for part in (group[::-1] if turn % 2 else group)]


def _known(shown: pd.DataFrame) -> dict[bool, tuple[Shot, ...]]:
    """Return the pictures that a target is known by, by whether an attack learns from them.

    For attacks that learn they are those in which the judge is surest, for others various ones.
    """
    surest = shown.sort_values(["score", "prompt", "seed"], ascending=[False, True, True])
    return {True: tuple(_once(surest)[:REFERENCES]), False: tuple(_shots(shown, "prompt")[:REFERENCES])}


def _shots(rows: pd.DataFrame, by: str) -> list[Shot]:
    """Return the shots of the rows, each once.

    They come one of every value of `by` in turn, so that the first few hold all of them.
    """
    groups = [_once(own) for _, own in rows.groupby(by, sort=True)]
    return list(dict.fromkeys(shot for turn in zip_longest(*groups) for shot in turn if shot is not None))


def _once(rows: pd.DataFrame) -> list[Shot]:
    """Return the shots of the rows in their order, each once."""
    shots = (Shot(str(prompt), int(seed)) for prompt, seed in zip(rows["prompt"], rows["seed"], strict=True))
    return list(dict.fromkeys(shots))
