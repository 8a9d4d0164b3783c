"""Pictures are drawn on the device that was asked for, and those of different kinds of device never meet."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from expunge.engine.files.digests import folder_digest
from expunge.engine.models.sampling import Sampler
from expunge.engine.probes import questions
from expunge.tasks.core.errors import UsageError, exit_code_of
from expunge.tasks.core.machine.device import device, devices
from expunge.tasks.core.settings import check_crew
from expunge.tasks.core.work_order import Weights
from expunge.tasks.evidence.drawing.workers import Bench, Shard, picture_store
from tests.engine import tiny
from tests.engine.probes.attacks.tiny_attacks import CAT
from tests.tasks.evidence.two_models import EYES

has_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA device")


@pytest.fixture
def weights(tmp_path: Path) -> Weights:
    tiny.save(tmp_path / "model")
    return Weights(tmp_path / "model", folder_digest(tmp_path / "model"))


def test_the_processor_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EXPUNGE_DEVICE", raising=False)
    assert device() == "cpu"


@pytest.mark.parametrize("name", ["gpu", "cpu:1", "cpu:-1", "cuda:99", "cuda:x", "mps:7", "meta"])
def test_a_device_that_is_not_here_is_refused_with_those_that_are(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXPUNGE_DEVICE", name)
    with pytest.raises(UsageError, match=f"EXPUNGE_DEVICE is '{name}'.*use one of cpu") as refused:
        device()
    assert exit_code_of(refused.value) == 2


def test_a_bench_opens_models_on_its_device(weights: Weights, tmp_path: Path) -> None:
    for place in ("cpu", "meta"):
        model = Bench(tmp_path, EYES, place).model(weights)
        assert {part.device.type for part in (model.unet, model.vae, model.text_encoder)} == {place}


def test_pictures_of_another_kind_of_device_lie_apart(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folders = set()
    for place in ("cpu", "cuda", "cuda:1", "mps"):
        monkeypatch.setattr("expunge.tasks.evidence.drawing.workers.device", lambda place=place: place)
        folders.add(picture_store(tmp_path).folder.name.partition("-")[0])
    assert folders == {"cpu", "cuda", "mps"}


@has_gpu
def test_a_gpu_draws_what_the_processor_draws_but_for_rounding(
    weights: Weights, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    drawn = []
    for place in ("cpu", "cuda"):
        monkeypatch.setenv("EXPUNGE_DEVICE", place)
        bench = Bench(tmp_path / "home", EYES, device())
        shard = Shard("before", weights, tuple(questions([CAT], 2, 2)), sampler := Sampler())
        assert shard.do(bench).drawn == len(shard.questions)
        pictures = [bench.store.drawn(weights.digest, q.shot, sampler) for q in shard.questions]
        drawn.append(np.stack(pictures).astype(float))
    assert np.abs(drawn[0] - drawn[1]).mean() < 2


@pytest.mark.parametrize(
    ("workers", "on", "there", "expected"),
    [
        (3, "cuda", 2, ["cuda:0", "cuda:1", "cuda:0"]),
        (2, "cuda", 8, ["cuda:0", "cuda:1"]),
        (2, "cuda", 1, ["cuda", "cuda"]),
        (2, "cuda:1", 8, ["cuda:1", "cuda:1"]),
        (2, "cpu", 8, ["cpu", "cpu"]),
    ],
)
def test_each_process_gets_a_gpu_of_its_own(workers: int, on: str, there: int, expected: list[str]) -> None:
    assert devices(workers, on, there) == expected


def test_a_head_without_a_gpu_finds_the_pictures_that_actors_drew_with_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ENDPOINT_URL_S3", "EXPUNGE_DEVICE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("EXPUNGE_HOME", str(tmp_path))
    assert picture_store(tmp_path).folder.name.startswith("cpu-")
    monkeypatch.setenv("EXPUNGE_CREW", "ray")
    monkeypatch.setenv("EXPUNGE_CREW_DEVICE", "cuda")
    assert picture_store(tmp_path).folder.name.startswith("cuda-")


@pytest.mark.parametrize(("name", "value"), [("EXPUNGE_CREW", "dask"), ("EXPUNGE_CREW_DEVICE", "cuda:1")])
def test_another_crew_is_refused_with_those_that_are(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(UsageError, match=f"{name} is '{value}': give "):
        check_crew()


def test_ray_that_is_not_installed_is_named_before_any_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXPUNGE_CREW", "ray")
    check_crew()
    monkeypatch.setattr("expunge.tasks.core.settings.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install 'expunge\[ray\]'"):
        check_crew()
