"""All that is asked of two tiny models, cut into shards, and the judge that looks at what they draw."""

from __future__ import annotations

from pathlib import Path

from expunge.engine.emoji import JUDGE
from expunge.engine.files.digests import folder_digest
from expunge.engine.models.sampling import Sampler
from expunge.engine.probes import Subject, questions
from expunge.tasks.core.work_order import Weights
from expunge.tasks.evidence.drawing.judge import Recorded
from expunge.tasks.evidence.drawing.workers import Shard, cut
from tests.engine import tiny
from tests.engine.probes.attacks.tiny_attacks import CAT

EYES = Recorded(JUDGE, folder_digest(JUDGE))
SAMPLER = Sampler()
ASKED = questions([CAT, Subject("dog", "general", "object", "dog")], count=2, seeds=12)


def saved(folder: Path) -> Path:
    """The folder, with two models in it that draw differently."""
    for seed, name in enumerate(("before", "after")):
        tiny.save(folder / name, seed)
    return folder


def shards(folder: Path) -> list[Shard]:
    """All questions, to the models `before` and `after` in the folder."""
    models = [Weights(folder / name, folder_digest(folder / name)) for name in ("before", "after")]
    arms = zip(("before", "after"), models, strict=True)
    return [shard for arm, model in arms for shard in cut(arm, model, ASKED, SAMPLER)]
