"""A model whose text encoders are not the base's is asked twice, and nobody can leave the second time out."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from expunge.engine.emoji import JUDGE
from expunge.engine.errors import DigestMismatch
from expunge.engine.files.digests import folder_digest
from expunge.engine.models.sampling import Sampler, Shot
from expunge.engine.probes.attacks import StartPicture
from expunge.engine.stats.evidence import table as evidence
from expunge.engine.stats.evidence.table import ARMS, DENOISER, EVERY_ARM, where
from expunge.engine.stats.verdict import Outcome, Verdict
from expunge.flows.verify import verify
from expunge.policies import Policy, read
from expunge.tasks.core.work_order import Order, Ref, Weights
from expunge.tasks.evidence.attacks.jobs import AttackShard
from expunge.tasks.evidence.conclude import conclude
from expunge.tasks.evidence.drawing.arms import arms_of, exchange, models_of
from expunge.tasks.evidence.drawing.workers import Bench
from expunge.tasks.evidence.identity import compare_with_base
from expunge.tasks.gate import run_gate
from expunge.tasks.intake import order_for
from tests.engine import tiny
from tests.engine.probes.attacks.tiny_attacks import CAT
from tests.flows.conftest import policy_file
from tests.tasks.evidence.two_models import EYES

ATTACK = StartPicture(strengths=(1.0,), starts=2, sampler=Sampler(steps=2))


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save(tmp_path_factory.mktemp("base") / "base")


@pytest.fixture(scope="module")
def swapped(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Weights:
    """The base with rows of its embedding table exchanged and its denoiser untouched."""
    folder = Path(shutil.copytree(base, tmp_path_factory.mktemp("swapped") / "model"))
    file = folder / "text_encoder" / "model.safetensors"
    tensors = load_file(file)
    (table,) = (name for name in tensors if name.endswith("token_embedding.weight"))
    save_file({**tensors, table: tensors[table].flip(0).contiguous()}, file, {"format": "pt"})
    return Weights(folder, folder_digest(folder))


@pytest.fixture(scope="module", autouse=True)
def eyes() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EXPUNGE_JUDGE", str(JUDGE))
        yield


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def policy(base: Path, home: Path) -> Policy:
    path = policy_file(home, folder_digest(base), "asked-twice", seeds=1, prompts=1)
    path.write_text(path.read_text().replace("builtin:emoji", f"file:{base}"))
    return read(path)


@pytest.fixture(scope="module")
def order(policy: Policy, swapped: Weights, home: Path) -> Order:
    return order_for(swapped.digest, policy, home)


@pytest.fixture(scope="module")
def result(policy: Policy, swapped: Weights, home: Path) -> dict[str, Any]:
    """What `expunge verify` says of the model."""
    return verify(swapped.folder, policy, home, None)


def test_an_untouched_denoiser_draws_in_the_bases_pipeline_what_the_base_draws(result: dict[str, Any]) -> None:
    table = evidence.read(Path(result["evidence"]))
    by_arm = {arm: list(where(table, table["arm"] == arm)["picture"]) for arm in EVERY_ARM}
    assert by_arm[DENOISER] == by_arm["before"] != by_arm["after"]
    assert result["pictures"] == len(table) == 3 * len(by_arm["before"])
    page = (Path(result["evidence"]).parent / "report.html").read_text(encoding="utf-8")
    assert "by the edited denoiser in the base&#39;s pipeline" in page


def test_evidence_that_leaves_the_second_time_out_is_an_error_and_the_gate_stays_shut(
    result: dict[str, Any], swapped: Weights, order: Order
) -> None:
    table = evidence.read(Path(result["evidence"]))
    cut = order.folder / "evidence.parquet"
    evidence.write(where(table, table["arm"] != DENOISER), cut)
    comparison = compare_with_base(order, swapped, None)
    known = conclude(order, swapped, comparison, Ref.of(cut))
    assert Verdict.load(known.verdict.path).outcome == Outcome.ERROR
    doubts = run_gate(order, swapped, comparison, Ref.of(cut), known.verdict).failed_expectations
    assert any("rows, planned" in doubt for doubt in doubts)


def test_a_model_with_the_bases_own_encoders_is_asked_once(order: Order, tmp_path: Path) -> None:
    edited = tiny.save_edited(tmp_path / "edited")
    model = Weights(edited, folder_digest(edited))
    assert arms_of(order, model) == ARMS
    assert [arm for arm, _ in models_of(order, model)] == list(ARMS)


def test_an_attack_in_the_bases_pipeline_is_the_one_that_the_base_underwent(
    order: Order, swapped: Weights, tmp_path: Path
) -> None:
    (_, own), (_, given), (arm, alone) = models_of(order, swapped)
    bench, shot = Bench(tmp_path, EYES), Shot("a cat", 0)
    bench.store.draw(bench.model(own), own.digest, [shot], ATTACK.sampler)
    made = [
        AttackShard(name, model, own, ATTACK, CAT, (shot,), (), seed=3).do(bench).rows
        for name, model in (("before", own), ("after", given), (arm, alone))
    ]
    before, after, by_denoiser = ([row.picture for row in rows] for rows in made)
    assert by_denoiser == before != after


def test_a_model_that_is_another_by_now_is_not_taken_apart(order: Order, swapped: Weights) -> None:
    with pytest.raises(DigestMismatch, match="leave its files alone"):
        exchange(order, Weights(swapped.folder, "c" * 64))
