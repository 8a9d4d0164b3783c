"""Pictures are pure functions of weights, prompt, seed and sampler, and none is drawn twice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from expunge.engine.errors import SettingError
from expunge.engine.judges import fault
from expunge.engine.models import sampling
from expunge.engine.models.picture_store import PictureStore, pixel_digest
from expunge.engine.models.sampling import Sampler, Shot, as_bytes, generate, noise_seed, picture_key
from tests.engine.models.small_memory import small_memory
from tests.engine.tiny import pipeline

SAMPLER = Sampler(steps=2, batch=4)
SHOTS = [Shot(prompt, seed) for prompt in ("cat", "a red house") for seed in (0, 1, 2)]


@pytest.fixture(scope="module")
def model() -> object:
    return pipeline()


def test_the_same_shots_give_the_same_pictures(model: object) -> None:
    first, second = (np.stack([p for _, p in generate(model, SHOTS, SAMPLER)]) for _ in range(2))
    assert pixel_digest(first) == pixel_digest(second)
    assert first.dtype == np.uint8
    assert first.ndim == 4


def too_much() -> RuntimeError:
    """What this processor's allocator says."""
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60, dtype=torch.uint8)
    return caught.value


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("no memory"), too_much()], ids=["device", "processor"])
def test_a_batch_that_does_not_fit_is_halved_and_every_picture_is_drawn_in_its_place(
    model: Any, monkeypatch: pytest.MonkeyPatch, error: RuntimeError
) -> None:
    memory = small_memory(monkeypatch, type(model), 9, error)
    whole = list(generate(model, SHOTS, SAMPLER))
    assert memory.sizes == [4, 2]
    memory.sizes.clear()
    memory.most = 2
    halved = list(generate(model, SHOTS, SAMPLER))
    assert memory.sizes == [4, 2, 2, 2]
    assert [shot for shot, _ in halved] == [shot for shot, _ in whole] == SHOTS
    apart = [np.abs(one.astype(int) - other).max() for (_, one), (_, other) in zip(halved, whole, strict=True)]
    assert max(apart) <= 1, "a picture's last bit may depend on the size of its batch"
    memory.most = 0
    with pytest.raises(RuntimeError, match="memory"):
        next(generate(model, SHOTS, SAMPLER))


def test_what_fails_for_another_reason_is_not_tried_again(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    memory = small_memory(monkeypatch, type(model), 0, RuntimeError("a matrix is not finite"))
    with pytest.raises(RuntimeError, match="not finite"):
        next(generate(model, SHOTS, SAMPLER))
    assert memory.sizes == [4]


def test_prompts_are_encoded_once_and_so_many_at_a_time(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    shots = [Shot(prompt, seed) for prompt in ("cat", "dog", "a red house", "house", "red") for seed in (0, 1)]
    whole = list(generate(model, shots, SAMPLER))
    encode_prompts, encoded = sampling.encode_prompts, []
    monkeypatch.setattr(
        sampling,
        "encode_prompts",
        lambda model, texts, *where: encoded.append(texts) or encode_prompts(model, texts, *where),
    )
    monkeypatch.setattr(sampling, "PROMPTS", 2)
    parts = list(generate(model, shots, SAMPLER))
    assert encoded == [["cat", "dog"], ["a red house", "house"], ["red"]]
    assert [shot for shot, _ in parts] == [shot for shot, _ in whole] == shots
    apart = [np.abs(one.astype(int) - other).max() for (_, one), (_, other) in zip(parts, whole, strict=True)]
    assert max(apart) <= 1, "a picture's last bit may depend on the size of its batch"


@pytest.mark.parametrize("setting", [{"steps": 0}, {"batch": 0}, {"batch": -1}])
def test_a_sampler_that_would_lose_pictures_is_refused(setting: dict[str, Any]) -> None:
    ((name, value),) = setting.items()
    with pytest.raises(SettingError, match=f"{name} is {value}; take at least 1"):
        Sampler(**setting)


def test_no_picture_is_drawn_past_a_safety_checker() -> None:
    """What it blackens would count as forgotten."""
    checked = pipeline()
    checked.safety_checker = nn.Identity()
    with pytest.raises(SettingError, match="safety checker blackens pictures; set the pipeline's `safety_checker`"):
        next(generate(checked, SHOTS, SAMPLER))


def test_prompts_and_seeds_make_a_difference(model: object) -> None:
    digests = {pixel_digest(picture) for _, picture in generate(model, SHOTS, SAMPLER)}
    assert len(digests) == len(SHOTS)


def test_each_prompt_starts_from_noise_of_its_own_and_every_model_from_the_same() -> None:
    shots = [Shot(prompt, seed) for prompt in ("cat", "dog", "a cat") for seed in (0, 1, 2**62)]
    assert len({noise_seed(shot, SAMPLER) for shot in shots}) == len(shots)
    assert [noise_seed(shot, SAMPLER) for shot in shots] == [noise_seed(shot, Sampler(steps=9)) for shot in shots]
    assert all(0 <= noise_seed(shot, SAMPLER) < 2**63 for shot in shots)
    shared = replace(SAMPLER, apart=False)
    assert [noise_seed(shot, shared) for shot in shots] == [shot.seed for shot in shots]
    assert picture_key("w", shots[0], shared) != picture_key("w", shots[0], SAMPLER)


def test_pictures_start_from_the_noise_that_is_named(model: Any) -> None:
    """The encoder does not tell capitals from small letters, so what differs between these prompts is noise alone."""
    own, shared = (
        [pixel_digest(picture) for _, picture in generate(model, [Shot("cat", 1), Shot("CAT", 1)], sampler)]
        for sampler in (SAMPLER, replace(SAMPLER, apart=False))
    )
    assert own[0] != own[1]
    assert shared[0] == shared[1]


def test_neighbours_in_a_batch_do_not_matter(model: object) -> None:
    together = {shot: picture.astype(int) for shot, picture in generate(model, SHOTS, SAMPLER)}
    alone = {shot: picture.astype(int) for shot in SHOTS for _, picture in generate(model, [shot], SAMPLER)}
    assert max(abs(together[shot] - alone[shot]).max() for shot in SHOTS) <= 1


def test_no_shots_no_work(model: object) -> None:
    assert list(generate(model, [], SAMPLER)) == []


def test_the_store_draws_only_what_is_missing(model: object, tmp_path: Path) -> None:
    store, drawn = PictureStore(tmp_path), []
    keys = store.draw(model, "weights", SHOTS, SAMPLER, drawn.append)
    assert sum(drawn) == len(SHOTS)
    assert [path for key in keys if not (path := store.path(key)).exists()] == []
    before = {key: store.path(key).stat().st_mtime_ns for key in keys}
    assert store.draw(None, "weights", SHOTS, SAMPLER) == keys  # no model is needed for what is there
    assert {key: store.path(key).stat().st_mtime_ns for key in keys} == before


def flipped(content: bytes, bit: int) -> bytes:
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


DAMAGES = {
    "empty": lambda content: b"",
    "zeros": lambda content: bytes(len(content)),
    "cut off": lambda content: content[: len(content) // 2],
    "its name": lambda content: flipped(content, 3),
    "its size": lambda content: flipped(content, 8 * 19),
    "its pixels": lambda content: flipped(content, 4 * len(content)),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_a_picture_that_a_disk_or_a_power_loss_damaged_is_drawn_again(
    model: object, tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    store = PictureStore(tmp_path)
    (key,) = store.draw(model, "w", SHOTS[:1], SAMPLER)
    whole, path = store.read(key), store.path(key)
    path.write_bytes(damage(path.read_bytes()))
    assert key not in store
    with pytest.raises(FileNotFoundError, match=rf"{key}.png is damaged"):
        store.read(key)
    store.draw(model, "w", SHOTS[:1], SAMPLER)
    assert (store.read(key) == whole).all()


def test_a_key_means_weights_prompt_seed_and_sampler_but_not_the_batch_size() -> None:
    shot = Shot("cat", 0)
    keys = {
        picture_key("a", shot, Sampler()),
        picture_key("b", shot, Sampler()),
        picture_key("a", Shot("dog", 0), Sampler()),
        picture_key("a", Shot("cat", 1), Sampler()),
        picture_key("a", shot, Sampler(steps=13)),
        picture_key("a", shot, Sampler(guidance=3.5)),
    }
    assert len(keys) == 6
    assert picture_key("a", shot, Sampler(batch=1)) == picture_key("a", shot, Sampler(batch=64))


def test_the_global_generator_is_left_alone(model: object) -> None:
    torch.manual_seed(7)
    state = torch.random.get_rng_state()
    list(generate(model, SHOTS[:1], SAMPLER))
    assert torch.equal(torch.random.get_rng_state(), state)


def test_a_picture_with_a_hole_of_nan_is_black_and_its_neighbours_are_not() -> None:
    pictures = np.full((3, 4, 4, 3), 0.5)
    pictures[1, 2, 2, 0] = np.nan
    pictures[2, 0, 0, 1] = np.inf
    bytes_of = as_bytes(pictures)
    assert bytes_of.dtype == np.uint8
    assert [int(picture.max()) for picture in bytes_of] == [128, 0, 0]
    assert [fault(picture) for picture in bytes_of[1:]] == ["black picture"] * 2
