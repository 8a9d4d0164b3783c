"""An attack is run once on a model, on what the unedited model shows, and its pictures become rows."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from benchmarks.hostile_models.models import filtering
from expunge.engine.errors import ModelFormatError
from expunge.engine.files.digests import folder_digest
from expunge.engine.models.denoising import latents_of
from expunge.engine.models.sampling import Sampler, Shot
from expunge.engine.probes.attacks import ConceptVector, Inversion, Relearn, StartPicture, search_effort
from expunge.engine.stats.evidence.table import Row, table
from expunge.tasks.core.errors import IntegrityError
from expunge.tasks.core.work_order import Weights
from expunge.tasks.evidence.attacks.jobs import AttackShard, attack_shards, attack_work
from expunge.tasks.evidence.attacks.searches import reading
from expunge.tasks.evidence.drawing.pictures import Pictures
from expunge.tasks.evidence.drawing.workers import Bench
from tests.engine import tiny
from tests.engine.probes.attacks.tiny_attacks import CAT
from tests.tasks.evidence.two_models import EYES

ATTACK = StartPicture(strengths=(1.0,), starts=1, sampler=Sampler(steps=2))


def row(
    concept: str, role: str, prompt: str, seed: int, arm: str = "before", seen: bool = True, fault: str = ""
) -> Row:
    return Row(concept, role, "object", "name", prompt, seed, arm, seen, 0.5, "a" * 64, fault)


def shards(*rows: Row) -> list[AttackShard]:
    models = [("before", Weights(Path("base"), "b" * 64)), ("after", Weights(Path("candidate"), "c" * 64))]
    return attack_shards([ATTACK], [CAT], models, table(rows), seed=3)


def test_references_are_what_the_judge_saw_on_the_unedited_model_and_nothing_else() -> None:
    made = shards(
        row("cat", "target", "cat", 0),
        row("cat", "target", "cat", 1, seen=False),
        row("cat", "target", "cat", 2, fault="black picture"),
        row("cat", "target", "cat", 0, arm="after"),
        row("cat", "target", "a cat", 7, arm="after"),
        row("dog", "look_alike", "dog", 0),
    )
    assert [shard.arm for shard in made] == ["before", "after"]
    assert {shard.references for shard in made} == {(Shot("cat", 0),)}
    assert {shard.kept for shard in made} == {(Shot("dog", 0),)}


def test_an_attack_that_learns_is_given_the_surest_pictures_and_any_other_one_of_each_prompt_in_turn() -> None:
    scored = [("a cat", 0, 0.6), ("a cat", 1, 0.9), ("cat", 0, 0.7), ("kitten", 5, 0.95), ("kitten", 6, 0.8)]
    rows = [replace(row("cat", "target", prompt, seed), score=score) for prompt, seed, score in scored]
    models = [("before", Weights(Path("base"), "b" * 64))]
    learning, other = attack_shards([Inversion(), ATTACK], [CAT], models, table([*rows, rows[1]]), seed=3)
    surest = [("kitten", 5), ("a cat", 1), ("kitten", 6), ("cat", 0), ("a cat", 0)]
    assert learning.references == tuple(Shot(*shot) for shot in surest)
    various = [("a cat", 0), ("cat", 0), ("kitten", 5), ("a cat", 1), ("kitten", 6)]
    assert other.references == tuple(Shot(*shot) for shot in various)


def test_no_kept_picture_was_asked_for_with_the_targets_name() -> None:
    made = shards(
        row("cat", "target", "cat", 0), row("dog", "general", "a dog beside a Cat", 0), row("dog", "general", "dog", 0)
    )
    assert {shard.kept for shard in made} == {(Shot("dog", 0),)}


def test_a_target_that_the_unedited_model_never_shows_cannot_be_attacked() -> None:
    assert shards(row("cat", "target", "cat", 0, seen=False), row("dog", "general", "dog", 0)) == []


def test_where_nothing_that_is_kept_was_seen_nothing_is_trained_on_it() -> None:
    seen = row("cat", "target", "cat", 0)
    models = [("before", Weights(Path("base"), "b" * 64))]
    for other, makes in (
        (row("dog", "general", "dog", 0, seen=False), {"start_picture"}),
        (row("dog", "general", "dog", 0), {"start_picture", "relearn"}),
    ):
        made = attack_shards([Relearn(), ATTACK], [CAT], models, table([seen, other]), seed=3)
        assert {shard.attack.name for shard in made} == makes


@pytest.fixture
def shard(tmp_path: Path) -> AttackShard:
    """The attack on a model of its own, whose reference is drawn."""
    folder = tiny.save(tmp_path / "model")
    model, shot = Weights(folder, folder_digest(folder)), Shot("cat", 0)
    bench = Bench(tmp_path, EYES)
    bench.store.draw(bench.model(model), model.digest, [shot], ATTACK.sampler)
    return AttackShard("before", model, model, ATTACK, CAT, (shot,), (), seed=3)


def test_it_is_run_once_and_then_known_even_without_the_model(shard: AttackShard, tmp_path: Path) -> None:
    first = shard.do(Bench(tmp_path, EYES))
    shutil.rmtree(shard.model.folder)
    again = shard.do(Bench(tmp_path, EYES))
    assert (first.drawn, again.drawn) == (ATTACK.cost, 0)
    assert again.rows == first.rows
    assert {(made.probe, made.arm, made.concept) for made in first.rows} == {("start_picture", "before", "cat")}
    assert len(first.rows) == shard.size == ATTACK.cost


def test_pictures_without_their_record_are_not_believed(shard: AttackShard, tmp_path: Path) -> None:
    bench = Bench(tmp_path, EYES)
    first = shard.do(bench)
    (record,) = (bench.store.folder / "attacks").glob("*.json")
    record.unlink()
    assert len(shard.lacks(bench.store)) == ATTACK.cost
    assert shard.do(bench) == first


@pytest.mark.parametrize("left", [b"", None])
def test_after_a_power_loss_a_record_vouches_for_no_picture_that_is_not_there(
    shard: AttackShard, tmp_path: Path, left: bytes | None
) -> None:
    bench = Bench(tmp_path, EYES)
    first = shard.do(bench)
    picture = bench.store.path(shard._picture(0))
    picture.unlink() if left is None else picture.write_bytes(left)
    assert len(shard.lacks(bench.store)) == ATTACK.cost
    assert shard.do(bench) == first
    assert shard.lacks(bench.store) == {}


@pytest.mark.parametrize("content", [b"", b"\0\0\0\0", b'[{"prompt": "cat"}]'])
def test_a_record_that_cannot_be_read_is_no_attack_that_was_not_made(
    shard: AttackShard, tmp_path: Path, content: bytes
) -> None:
    bench = Bench(tmp_path, EYES)
    shard.do(bench)
    (record,) = (bench.store.folder / "attacks").glob("*.json")
    record.write_bytes(content)
    with pytest.raises(IntegrityError, match=rf"{record.name} cannot be read.*remove it"):
        shard.do(bench)


@pytest.fixture
def by_words(shard: AttackShard) -> AttackShard:
    """An attack that searches in the text encoders, on the same model."""
    settings: Any = {"words": 2, "searches": 1, "pairs": 2, "population": 8, "generations": 2, "seeds": 1}
    return replace(shard, attack=ConceptVector(sampler=Sampler(steps=2), **settings))


def edited(shard: AttackShard, folder: Path, text_encoder: bool = False) -> AttackShard:
    """The shard on a model with another denoiser and, if asked for, another text encoder."""
    tiny.save(folder, seed=1)
    if not text_encoder:
        shutil.rmtree(folder / "text_encoder")
        shutil.copytree(shard.base.folder / "text_encoder", folder / "text_encoder")
    return replace(shard, arm="after", model=Weights(folder, folder_digest(folder)))


def test_words_are_searched_for_once_and_both_models_are_asked_with_them(by_words: AttackShard, tmp_path: Path) -> None:
    bench, after = Bench(tmp_path, EYES), edited(by_words, tmp_path / "edited")
    searches, drawing = attack_work([by_words, after], bench.store)
    assert [search.do(bench).effort for search in searches] == [search_effort(by_words.attack)]
    assert [search.do(bench).effort for search in searches] == [0]
    assert attack_work([by_words, after], bench.store) == [drawing]
    before, later = (work.do(bench) for work in drawing)
    assert before.effort == later.effort == pytest.approx(by_words.size)
    (said,), (again,) = by_words.attempts(bench.store), after.attempts(bench.store)
    assert said.found == again.found != ""
    assert before.rows[0].picture != later.rows[0].picture


def test_a_search_whose_words_are_lost_asks_with_no_empty_prompt(by_words: AttackShard, tmp_path: Path) -> None:
    bench, (search,) = Bench(tmp_path, EYES), by_words.searches
    search.do(bench)
    (file,) = (bench.store.folder / "attacks" / "searches").iterdir()
    file.write_bytes(b"")
    with pytest.raises(IntegrityError, match=rf"{file.name} cannot be read.*remove it"):
        by_words.do(bench)


def test_a_model_with_another_text_encoder_is_searched_itself(by_words: AttackShard, tmp_path: Path) -> None:
    bench, after = Bench(tmp_path, EYES), edited(by_words, tmp_path / "edited", text_encoder=True)
    searches, _ = attack_work([by_words, after], bench.store)
    assert [search.do(bench).effort for search in searches] == [search_effort(by_words.attack)] * 2


@pytest.mark.parametrize("name", ["making_digest", "libraries"])
def test_what_other_code_or_libraries_found_is_made_anew(
    by_words: AttackShard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """A mended attack never reuses the outcomes of the weaker one, nor what its searches found."""
    bench = Bench(tmp_path, EYES)
    by_words.do(bench)
    work = [by_words, *by_words.searches]
    assert not any(part.lacks(bench.store) for part in work)
    for module in ("jobs", "searches"):
        monkeypatch.setattr(f"expunge.tasks.evidence.attacks.{module}.{name}", lambda: "another")
    assert all(replace(part).lacks(bench.store) for part in work)


def test_what_needs_no_search_is_done_beside_the_searches(
    by_words: AttackShard, shard: AttackShard, tmp_path: Path
) -> None:
    """Else a worker that has no search left would wait for the others'."""
    first, last = attack_work([by_words, shard], Pictures(tmp_path))
    assert first == [shard, *by_words.searches]
    assert last == [by_words]


def test_the_longest_attacks_go_first(shard: AttackShard, tmp_path: Path) -> None:
    long = replace(shard, attack=Relearn())
    shards = [shard, long, replace(shard, arm="after"), replace(long, arm="after")]
    (work,) = attack_work(shards, Pictures(tmp_path))
    assert [(part.attack.name, part.arm) for part in work if isinstance(part, AttackShard)] == [
        ("relearn", "before"),
        ("relearn", "after"),
        ("start_picture", "after"),
        ("start_picture", "before"),
    ], "and of what takes as long the model that is open"


def test_a_filter_in_the_tokenizer_stops_no_attack(shard: AttackShard, tmp_path: Path) -> None:
    """The supplier's tokenizer drops the name; the attack reads with the base's, and ends in the base's picture."""
    filtered = filtering(shard.base.folder, tmp_path / "filtered", "cat")
    model = Weights(filtered, folder_digest(filtered))
    bench = Bench(tmp_path, EYES)
    words = bench.model(model).tokenizer
    assert words("a cat").input_ids == words("a").input_ids != words("a dog").input_ids
    honest, hidden = shard.do(bench), replace(shard, model=model).do(bench)
    assert [row.picture for row in hidden.rows] == [row.picture for row in honest.rows]
    words = bench.model(model).tokenizer  # which drew last, so it was not opened anew
    assert words("a cat").input_ids == words("a").input_ids


def test_a_ruined_encoder_of_pictures_stops_no_attack(shard: AttackShard, tmp_path: Path) -> None:
    """Drawing does not use it, so every plain picture is as before; the attack learns with the base's."""
    ruined = Path(shutil.copytree(shard.base.folder, tmp_path / "ruined"))
    file = ruined / "vae" / "diffusion_pytorch_model.safetensors"
    weights = load_file(file)
    save_file({name: w * 0 if name.startswith("encoder.") else w for name, w in weights.items()}, file)
    model, bench = Weights(ruined, folder_digest(ruined)), Bench(tmp_path, EYES)
    pictures = np.stack([np.full((16, 16, 3), value, np.uint8) for value in (0, 255)])
    blind = latents_of(bench.model(model), pictures)
    assert torch.equal(blind[0], blind[1])
    with reading(bench, model, shard.base) as lent:
        seen = latents_of(lent, pictures)
    assert torch.equal(seen, latents_of(bench.model(shard.base), pictures))
    assert not torch.equal(seen[0], seen[1])
    blind_again = latents_of(bench.model(model), pictures)
    assert torch.equal(blind_again, blind)
    honest, hidden = shard.do(bench), replace(shard, model=model).do(bench)
    assert [row.picture for row in hidden.rows] == [row.picture for row in honest.rows]


def test_a_tokenizer_of_other_words_is_refused(shard: AttackShard, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(shard.base.folder, other)
    file = other / "tokenizer" / "tokenizer.json"
    told = json.loads(file.read_text())
    vocabulary = told["model"]["vocab"]
    vocabulary["cat</w>"], vocabulary["dog</w>"] = vocabulary["dog</w>"], vocabulary["cat</w>"]
    file.write_text(json.dumps(told))
    with pytest.raises(ModelFormatError, match="vocabulary"):
        replace(shard, model=Weights(other, folder_digest(other))).do(Bench(tmp_path, EYES))
