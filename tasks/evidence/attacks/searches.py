"""What an attack finds in the text encoders alone, as work for the bench: searched for once, and kept.

Both models of a takedown are asked with it, and so is every later edit of the same base for the same concept, as long
as it leaves the text encoders as they were, byte for byte.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from expunge.engine.files.digests import folder_digest, json_digest
from expunge.engine.models.load import tokenizers, vae_and_scheduler
from expunge.engine.models.sampling import Sampler
from expunge.engine.probes import Subject
from expunge.engine.probes.attacks import Searching, making_digest
from expunge.engine.probes.attacks.words import lent
from expunge.tasks.core.paths import readable
from expunge.tasks.core.work_order import Weights
from expunge.tasks.evidence.drawing.pictures import Pictures
from expunge.tasks.evidence.drawing.workers import Bench, Done, libraries


@dataclass(frozen=True)
class Search:
    """Search `number` of an attack in the text encoders of `model`, read with the tokenizers of `base`."""

    model: Weights
    base: Weights
    attack: Searching
    subject: Subject
    number: int
    seed: int

    @property
    def key(self) -> str:
        """The identity of what it finds: nothing of how pictures are drawn, of the subject what it is called alone."""
        encoders = encoders_digest(self.model.folder, self.model.digest)
        called = [*self.subject.names, self.subject.category]
        identity = [encoders, self.base.digest, self.attack.drawn_by(Sampler()).digest, called, self.number, self.seed]
        return json_digest([*identity, making_digest(), libraries()])

    @property
    def size(self) -> int:
        return 0

    @property
    def effort(self) -> float:
        """In plain pictures."""
        return self.attack.search_effort

    def lacks(self, store: Pictures) -> dict[str, float]:
        return {} if store.has(self._file(store)) else {self.key: self.effort}

    def do(self, bench: Bench) -> Done:
        lacking = self.lacks(bench.store)
        self.found(bench)
        return Done([], 0, sum(lacking.values()))

    def found(self, bench: Bench) -> str:
        """Return the prompt, as it was found before or now."""
        file = self._file(bench.store)
        if not bench.store.has(file):
            bench.store.keep(file, self._find(bench).encode())
        with readable(file):
            if not (words := file.read_text(encoding="utf-8")):
                raise ValueError("it is empty")  # and asked with nothing, the model would seem to have forgotten
            return words

    def _find(self, bench: Bench) -> str:
        with reading(bench, self.model, self.base) as model:
            return self.attack.find(model, self.subject, self.number, self.seed)

    def _file(self, store: Pictures) -> Path:
        return store.folder / "attacks" / "searches" / f"{self.key}.txt"


@contextmanager
def reading(bench: Bench, model: Weights, base: Weights) -> Iterator[Any]:
    """Yield the model, with the tokenizers, the VAE and the scheduler of the base while it lasts."""
    opened = bench.model(model)
    if model.digest == base.digest:
        yield opened
        return
    with lent(opened, _parts(base)):
        yield opened


@lru_cache(maxsize=1)
def _parts(base: Weights) -> dict[str, Any]:
    """Read once for all attacks on the models of a base."""
    return {**tokenizers(base.folder), **vae_and_scheduler(base.folder)}


@lru_cache(maxsize=16)
def encoders_digest(folder: Path, digest: str) -> str:
    """Return the digest of all text encoders of the model in `folder`, whose own digest is `digest`."""
    return json_digest({path.name: folder_digest(path) for path in folder.glob("text_encoder*") if path.is_dir()})
