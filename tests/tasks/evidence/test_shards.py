"""Shards are drawn once, whoever is killed in between, and judged to one row a question and arm."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import weakref
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import torch

from expunge.engine.files.digests import folder_digest
from expunge.engine.models.load import open_model
from expunge.engine.models.picture_store import PictureStore
from expunge.engine.models.sampling import Shot
from expunge.engine.probes import Question, questions
from expunge.tasks.core.errors import NoRoom
from expunge.tasks.core.work_order import Weights
from expunge.tasks.evidence.drawing.workers import SHARD, Bench, Done, cut, examine, picture_store
from tests.engine.probes.attacks.tiny_attacks import CAT
from tests.tasks.evidence.two_models import ASKED, EYES, SAMPLER, saved, shards

ROOT = Path(__file__).parents[3]
PROGRAM = """
import sys
from pathlib import Path
from expunge.tasks.evidence.drawing.workers import examine
from tests.tasks.evidence.two_models import EYES, saved, shards

if __name__ == "__main__":
    for _ in examine(shards(Path(sys.argv[1])), Path(sys.argv[2]), EYES, workers=int(sys.argv[3])):
        print("shard", flush=True)
"""


def test_one_model_is_let_go_before_the_next_is_opened(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[weakref.ref[Any]] = []

    def opening(*where: Any) -> Any:
        assert all(one() is None for one in opened), "two of them may be more than a device holds"
        made = open_model(*where)
        opened.append(weakref.ref(made.unet))
        return made

    monkeypatch.setattr("expunge.tasks.evidence.drawing.workers.open_model", opening)
    bench = Bench(tmp_path, EYES)
    before, after = (Weights(models / name, folder_digest(models / name)) for name in ("before", "after"))
    for weights in (before, before, after, before):
        bench.model(weights)
    assert len(opened) == 3


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(tmp_path_factory.mktemp("models"))


def start(folder: Path, models: Path, home: Path, workers: int) -> subprocess.Popen[bytes]:
    """The whole examination in a process of its own, which says "shard" after each."""
    (script := folder / "examination.py").write_text(PROGRAM)
    command = [sys.executable, str(script), str(models), str(home), str(workers)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)})


def test_every_question_is_in_one_shard_and_none_is_larger_than_what_a_kill_may_lose() -> None:
    made = cut("before", Weights(Path("model"), "0" * 64), ASKED, SAMPLER)
    assert [question for shard in made for question in shard.questions] == ASKED
    assert [shard.size for shard in made[:-1]] == [SHARD] * (len(ASKED) // SHARD)
    assert len({question.subject for question in made[2].questions}) > 1


def test_every_question_gets_a_row_in_each_arm_and_the_second_time_nothing_is_drawn(
    models: Path, tmp_path: Path
) -> None:
    first = list(examine(shards(models), tmp_path, EYES))
    again = list(examine(shards(models), tmp_path, EYES))
    rows = [row for done in first for row in done.rows]
    assert len(rows) == len({(row.arm, row.concept, row.prompt, row.seed) for row in rows}) == 2 * len(ASKED)
    assert sum(done.drawn for done in first) == 2 * len({question.shot for question in ASKED})
    assert [row for done in again for row in done.rows] == rows
    assert sum(done.drawn for done in again) == 0


def test_a_picture_that_two_concepts_ask_for_is_drawn_once(models: Path, tmp_path: Path) -> None:
    asked = questions([CAT], 1, 2)
    asked += [Question(replace(CAT, id="twin"), question.probe, question.shot) for question in asked]
    done = list(examine(cut("before", shards(models)[0].model, asked, SAMPLER), tmp_path, EYES))
    assert sum(len(part.rows) for part in done) == len(asked)
    assert sum(part.drawn for part in done) == len(asked) / 2


def test_killed_half_way_it_loses_at_most_one_shard_and_draws_nothing_twice(models: Path, tmp_path: Path) -> None:
    running = start(tmp_path, models, tmp_path / "home", workers=1)
    assert running.stdout is not None
    finished = [running.stdout.readline() for _ in range(3)]
    running.send_signal(signal.SIGKILL)
    finished += running.stdout.read().splitlines()
    running.stdout.close()
    assert running.wait() == -signal.SIGKILL
    assert finished[:3] == [b"shard\n"] * 3
    stored = {path: path.stat().st_mtime_ns for path in (tmp_path / "home").rglob("*.png")}
    todo, store = shards(models), picture_store(tmp_path / "home")
    missing = [len(shard.lacks(store)) for shard in todo]
    assert sum(missing) > 0  # it was killed half-way indeed
    assert sum(missing[: len(finished)]) == 0  # no shard that was finished is lost
    done = list(examine(todo, tmp_path / "home", EYES))
    assert sum(part.drawn for part in done) == sum(missing)
    assert {path: path.stat().st_mtime_ns for path in stored} == stored


def test_pictures_of_other_libraries_lie_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = picture_store(tmp_path).folder
    monkeypatch.setattr("expunge.tasks.evidence.drawing.workers.libraries", lambda: "torch-1.0-diffusers-0.1")
    assert picture_store(tmp_path).folder != known
    monkeypatch.undo()
    assert all(f"{name}-{version(name)}" in known.name for name in ("torch", "diffusers"))


def test_several_workers_do_the_same_work(models: Path, tmp_path: Path) -> None:
    todo = shards(models)
    done = list(examine(todo, tmp_path, EYES, workers=2))
    asked = [[(part.arm, question.shot) for question in part.questions] for part in todo]
    assert [[(row.arm, Shot(row.prompt, row.seed)) for row in part.rows] for part in done] == asked
    assert sum(part.drawn for part in examine(todo, tmp_path, EYES)) == 0


@dataclass(frozen=True)
class Fatal:
    """Work that the system ends the process for, as it does where memory runs out; or that finds none itself."""

    wanted: int
    size: int = 1

    def lacks(self, store: PictureStore) -> dict[str, float]:
        return {}

    def do(self, bench: Bench) -> Done:
        if self.wanted:
            torch.empty(self.wanted, dtype=torch.uint8)
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("nobody comes here")


@pytest.mark.parametrize(
    ("work", "workers", "cure"),
    [
        (Fatal(0), 2, "EXPUNGE_WORKERS"),
        (Fatal(2**60), 2, "memory is too small"),
        (Fatal(2**60), 1, "memory is too small"),
    ],
)
def test_where_memory_is_too_small_that_is_said(tmp_path: Path, work: Fatal, workers: int, cure: str) -> None:
    with pytest.raises(NoRoom, match=cure):
        list(examine([work], tmp_path, EYES, workers))


def test_workers_end_when_their_parent_is_killed(models: Path, tmp_path: Path) -> None:
    running = start(tmp_path, models, tmp_path / "home", workers=2)
    assert running.stdout is not None
    assert running.stdout.readline() == b"shard\n"
    running.send_signal(signal.SIGKILL)
    running.wait()
    running.stdout.read()  # ends only when the last process that could write to it has ended
    running.stdout.close()
