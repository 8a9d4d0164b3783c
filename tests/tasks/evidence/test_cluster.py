"""A cluster draws what processes draw: the same rows, each picture once, whatever machine is lost."""

from __future__ import annotations

import os
import shutil
import signal
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from expunge.engine.errors import DigestMismatch
from expunge.engine.stats.evidence import table as evidence
from expunge.tasks.core.errors import NoRoom, ServiceUnreachable
from expunge.tasks.core.settings import Settings
from expunge.tasks.evidence.drawing.pictures import Pictures
from expunge.tasks.evidence.drawing.workers import Bench, Done, Stocktaking, crew, examine, picture_store
from tests.tasks.evidence.on_cluster import cluster
from tests.tasks.evidence.two_models import ASKED, EYES, saved, shards

pytestmark = pytest.mark.slow  # a cluster takes seconds to start


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(tmp_path_factory.mktemp("models"))


def digest(done: list[Done], folder: Path) -> bytes:
    folder.mkdir(exist_ok=True)
    evidence.write(evidence.table([row for part in done for row in part.rows]), folder / "evidence.parquet")
    return (folder / "evidence.parquet").read_bytes()


def test_one_of_two_machines_is_killed_and_the_evidence_is_that_of_local_processes(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL_S3", raising=False)
    monkeypatch.setenv("EXPUNGE_HOME", str(tmp_path / "nobody"))
    todo = shards(models)
    local = digest(list(examine(todo, tmp_path / "local", EYES)), tmp_path / "a")
    with cluster(monkeypatch, [None, None]) as (made, nodes), crew(tmp_path / "home", EYES, 2) as do:
        results, done = do(todo), []
        for _ in range(3):
            done.append(next(results))
        stored = {path: path.stat().st_mtime_ns for path in (tmp_path / "home").rglob("*.png")}
        made.remove_node(nodes[1], allow_graceful=False)
        done += results
        again = list(do(todo))
        assert {path: path.stat().st_mtime_ns for path in stored} == stored  # no picture was drawn twice
    assert digest(done, tmp_path / "b") == local
    assert sum(part.drawn for part in done) >= 2 * len({question.shot for question in ASKED}) - 16
    assert sum(part.drawn for part in again) == 0


def test_machines_share_nothing_but_s3(
    models: Path, tmp_path: Path, stack: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in replace(stack, bucket="expunge").variables().items():
        if name != "EXPUNGE_HOME":
            monkeypatch.setenv(name, value)
    here = shutil.copytree(models, tmp_path / "models")
    todo, homes = shards(here), [tmp_path / "one", tmp_path / "two"]
    monkeypatch.setenv("EXPUNGE_HOME", str(tmp_path / "local"))
    local = digest(list(examine(todo, tmp_path / "local", EYES)), tmp_path / "a")
    with cluster(monkeypatch, [*homes]), crew(tmp_path / "home", EYES, 2) as do:
        wanting = [done.lacking for done in do([Stocktaking(part) for part in todo])]
        assert sum(map(len, wanting)) == 2 * len({question.shot for question in ASKED})
        here.rename(tmp_path / "elsewhere")  # so that the machines must fetch both models
        done = list(do(todo))
        assert not list((tmp_path / "home").rglob("*.png"))  # the coordinator holds no picture
        assert all(list(home.rglob("*.png")) for home in homes)
        store = picture_store(tmp_path / "home")
        assert isinstance(store, Pictures)
        assert all(not part.lacks(store) for part in todo)  # and fetches what it shows to people
    assert digest(done, tmp_path / "b") == local
    assert sum(part.drawn for part in done) == 2 * len({question.shot for question in ASKED})


@dataclass(frozen=True)
class Fatal:
    """Work that the system ends its process for, or that is refused."""

    refused: str = ""
    size: int = 1

    def lacks(self, store: Pictures) -> dict[str, float]:
        return {}

    def do(self, bench: Bench) -> Done:
        if self.refused:
            raise DigestMismatch(self.refused, "a", "b", "submit again")
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("nobody comes here")


def test_attack_work_that_ends_every_actor_does_not_go_on_for_ever_and_a_refusal_is_what_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL_S3", raising=False)
    with cluster(monkeypatch, [None]):
        monkeypatch.setenv("EXPUNGE_HOME", str(tmp_path / "nobody"))
        with crew(tmp_path / "home", EYES, 1) as do, pytest.raises(DigestMismatch, match="model: expected digest a"):
            list(do([Fatal("model")]))
        with crew(tmp_path / "home", EYES, 1) as do, pytest.raises(NoRoom, match="ended 3 of Ray's actors"):
            list(do([Fatal()]))


def test_without_a_cluster_that_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXPUNGE_CREW", "ray")
    monkeypatch.setenv("RAY_ADDRESS", "auto")
    with pytest.raises(ServiceUnreachable, match="set RAY_ADDRESS"), crew(tmp_path, EYES, 1):
        pass
