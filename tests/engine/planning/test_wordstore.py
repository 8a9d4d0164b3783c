"""A plan is the same with a store as without; what the store holds is of this model, these words and whole."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load, save
from torch.testing._internal.two_tensor import TwoTensor

from expunge.engine.errors import ConceptError
from expunge.engine.planning import concept_embeddings as gathering
from expunge.engine.planning.closed_form import plan, tuned
from expunge.engine.planning.embedding_cache import WordStore
from expunge.engine.planning.make import make
from expunge.engine.plans.edit_plan import EditPlan
from expunge.engine.spec import EditSpec, Retain, Target
from expunge.engine.text.vocabulary import general_words, words
from tests.engine import tiny
from tests.engine.families import tiny_families

SETTINGS: dict[str, Any] = {"general_words": 40}


def spec(*names: str, **settings: Any) -> EditSpec:
    targets = tuple(Target(name, (name,)) for name in names or ("cat",))
    return EditSpec(targets, (Retain("dog", ("dog",)),), "scapre", {**SETTINGS, **settings})


@pytest.fixture
def store(tmp_path: Path) -> WordStore:
    return WordStore(tmp_path / "words")


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every prompt that is encoded from here on."""
    asked: list[str] = []
    real = gathering.encode

    def telling(pipeline: Any, prompts: Any, stream: int) -> Any:
        asked.extend(getattr(prompt, "text", prompt) for prompt in prompts)
        return real(pipeline, prompts, stream)

    monkeypatch.setattr(gathering, "encode", telling)
    return asked


def held(store: WordStore) -> set[str]:
    return {path.name for path in store.folder.iterdir()} if store.folder.exists() else set()


def same(one: EditPlan, other: EditPlan) -> bool:
    return one.digest == other.digest and one.diagnostics == other.diagnostics


@pytest.mark.parametrize("build", [tiny.pipeline, tiny_families.sdxl, tiny_families.sd3], ids=["sd", "sdxl", "sd3"])
def test_a_plan_is_the_same_with_a_store_and_its_words_are_encoded_once(
    build: Callable[[], Any], store: WordStore, encoded: list[str]
) -> None:
    pipeline = build()
    asked = spec()
    alone = plan(pipeline, asked)
    without = len(encoded)
    assert same(plan(pipeline, asked, store), alone)
    assert len(encoded) == 2 * without
    assert same(plan(pipeline, asked, store), alone)
    assert without - (len(encoded) - 2 * without) > 3 * 20, "three wordings of each word"
    assert same(make(pipeline, asked, store=store), alone)


def test_other_targets_read_the_same_words_until_they_say_one(store: WordStore, encoded: list[str]) -> None:
    pipeline = tiny.pipeline()
    kept = general_words(pipeline.tokenizer, ["cat"], SETTINGS["general_words"], 0)
    left = next(word for word in words(pipeline.tokenizer) if word not in (*kept, "cat", "dog"))
    plan(pipeline, spec("cat"), store)
    first = held(store)
    del encoded[:]
    found, read = plan(pipeline, spec("cat", left), store), len(encoded)
    assert same(found, plan(pipeline, spec("cat", left)))
    assert (held(store), len(encoded) - 2 * read > 3 * 20) == (first, True)
    assert same(plan(pipeline, spec("cat", kept[0]), store), plan(pipeline, spec("cat", kept[0])))
    assert len(held(store)) == 2


def test_a_name_changes_no_more_of_the_words_than_it_says() -> None:
    tokenizer = tiny.pipeline().tokenizer
    before = general_words(tokenizer, ["cat"], 40, 0)
    after = general_words(tokenizer, ["cat", before[3]], 40, 0)
    assert len(set(before) - set(after)) == len(set(after) - set(before)) == 1
    assert general_words(tokenizer, ["cat"], 40, 1) != before


@pytest.mark.parametrize("change", ["weight", "tokenizer", "words", "tokens", "adapter"])
def test_attack_what_was_read_by_another_encoder_is_not_taken(change: str, store: WordStore) -> None:
    pipeline, other = tiny.pipeline(), spec()
    plan(pipeline, spec(), store)
    if change == "weight":  # of a token that the empty prompt does not hold
        with torch.no_grad():
            pipeline.text_encoder.get_input_embeddings().weight[pipeline.tokenizer("dog").input_ids[1]] += 0.5
    elif change == "adapter":
        pipeline.text_encoder.get_submodule(layer_of(pipeline)).register_forward_hook(lambda *told: 1.5 * told[2])
    elif change == "tokenizer":
        pipeline.tokenizer.model_max_length -= 1
    else:
        other = spec(**{"words": {"general_words": 39}, "tokens": {"tokens": "last"}}[change])
    assert same(plan(pipeline, other, store), plan(pipeline, other))
    assert len(held(store)) == 2


def layer_of(pipeline: Any) -> str:
    """A layer of the text encoder, which holds no weight of what a hook does to it."""
    return next(name for name, _ in pipeline.text_encoder.named_modules() if name.endswith("mlp.fc2"))


@pytest.mark.parametrize("damage", ["cut", "altered", "empty", "other", "unsigned", "of another"])
def test_attack_a_file_that_is_not_what_was_written_is_made_again(damage: str, store: WordStore) -> None:
    pipeline = tiny.pipeline()
    alone = plan(pipeline, spec(), store)
    (path,) = store.folder.iterdir()
    whole = path.read_bytes()
    damaged = {
        "cut": whole[:-9],
        "altered": whole[:-1] + bytes([whole[-1] ^ 1]),
        "empty": b"",
        "other": b"{}",
        "unsigned": save(load(whole)),
        "of another": save(load(whole), {"format": "pt"}),
    }
    path.write_bytes(damaged[damage])
    assert same(plan(pipeline, spec(), store), alone)
    assert path.read_bytes() == whole
    assert held(store) == {path.name}


def test_a_search_reads_and_leaves_words_as_well(store: WordStore, encoded: list[str]) -> None:
    pipeline = tiny.pipeline()
    asked = EditSpec((Target("cat", ("cat",)),), (Retain("dog", ("dog",)),), "auto", {**SETTINGS, "max_residual": 9.0})
    alone = tuned(pipeline, asked).plan
    without = len(encoded)
    assert [same(tuned(pipeline, asked, store=store).plan, alone) for _ in range(2)] == [True, True]
    assert len(encoded) < 3 * without


def test_what_cannot_be_planned_leaves_nothing(store: WordStore) -> None:
    with pytest.raises(ConceptError):
        plan(tiny.pipeline(), EditSpec((), (), "scapre", SETTINGS), store)
    assert plan(tiny.pipeline(), spec(general_words=0, general=0.0), store)
    assert held(store) == set()


def test_an_encoder_of_tensors_of_another_kind_has_an_address(store: WordStore) -> None:
    pipeline = tiny.pipeline()
    plain = plan(pipeline, spec(), store)
    halves = (torch.ones(2), torch.zeros(2))
    pipeline.text_encoder.more = torch.nn.ParameterList([torch.nn.Parameter(TwoTensor(*halves))])  # as a quantised one
    assert same(replace(plan(pipeline, spec(), store), encoders=plain.encoders), plain)
