"""Nothing is judged, asked or measured by a judge that is not the one on record."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from expunge.engine.emoji import JUDGE
from expunge.engine.errors import DigestMismatch
from expunge.engine.files.digests import folder_digest
from expunge.engine.judges import clip_of
from expunge.engine.models.sampling import Sampler
from expunge.engine.probes import questions
from expunge.engine.stats.evidence import table as evidence
from expunge.tasks.core.work_order import Order, Ref, Weights
from expunge.tasks.evidence.drawing.judge import Recorded, _opened
from expunge.tasks.evidence.drawing.workers import Bench, Shard, cut, examine
from expunge.tasks.evidence.look_alikes import neighbours
from expunge.tasks.evidence.quality import measure_quality
from tests.engine import tiny
from tests.engine.probes.attacks.tiny_attacks import CAT

DIGEST = folder_digest(JUDGE)


@pytest.fixture
def replaced(tmp_path: Path) -> Recorded:
    """A judge whose folder was changed after its digest was recorded."""
    folder = shutil.copytree(JUDGE, tmp_path / "judge")
    (folder / "note.txt").write_text("another judge")
    return Recorded(folder, DIGEST)


def order(judge: Recorded, home: Path) -> Order:
    nothing: dict[str, Any] = {"request_id": "", "line": "", "key": "key", "policy": "", "state": "", "base": ""}
    return Order(**nothing, home=home, base_folder=home, judge=judge.digest, judge_folder=judge.folder)


def shards(folder: Path) -> list[Shard]:
    model = tiny.save(folder / "model")
    return cut("before", Weights(model, folder_digest(model)), questions([CAT], 1, 2), Sampler())


def test_a_judge_works_on_the_device_that_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("expunge.tasks.evidence.drawing.judge.device", lambda: "meta")
    _opened.cache_clear()
    judge = Recorded(JUDGE, folder_digest(JUDGE)).open()
    _opened.cache_clear()
    first = clip_of(judge)
    assert first
    assert {weight.device.type for weight in first.network._model.parameters()} == {"meta"}


@pytest.mark.parametrize("workers", [1, 2])
def test_it_judges_nothing_and_nothing_is_drawn_for_it(replaced: Recorded, tmp_path: Path, workers: int) -> None:
    with pytest.raises(DigestMismatch, match=r"judge folder judge.*submit again"):
        list(examine(shards(tmp_path), tmp_path / "home", replaced, workers))
    assert not list(tmp_path.rglob("*.png"))


def test_it_names_no_neighbours(replaced: Recorded, tmp_path: Path) -> None:
    assert neighbours(order(Recorded(JUDGE, DIGEST), tmp_path), None, [], {}, 3, Sampler()) == {}
    with pytest.raises(DigestMismatch):
        neighbours(order(replaced, tmp_path), None, [], {}, 3, Sampler())


def test_it_measures_no_quality(replaced: Recorded, tmp_path: Path) -> None:
    evidence.write(evidence.table([]), tmp_path / "evidence.parquet")
    with pytest.raises(DigestMismatch):
        measure_quality(order(replaced, tmp_path), "c" * 64, Ref.of(tmp_path / "evidence.parquet"))


def test_a_judge_is_read_once_in_each_process(tmp_path: Path) -> None:
    recorded = Recorded(shutil.copytree(JUDGE, tmp_path / "judge"), DIGEST)
    one = Bench(tmp_path, recorded)
    shutil.rmtree(recorded.folder)
    assert Bench(tmp_path, recorded).judge is one.judge
