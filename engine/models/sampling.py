"""Seeded, batched generation: a picture is a pure function of weights, prompt, seed and sampler."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cache, cached_property
from typing import Any, TypeVar

import numpy as np
import torch

from expunge.canonical_json import canonical_json, sha256
from expunge.engine.errors import SettingError, UnknownArchitecture, is_out_of_memory
from expunge.engine.families import Arguments, Family, family_of
from expunge.engine.files.code_closure import closure_digest
from expunge.engine.text.encoding import encode_prompts

PROMPTS = 256  # encoded at a time: of the largest encoders a prompt's states take 8 MB
Item = TypeVar("Item")


@dataclass(frozen=True, order=True)
class Shot:
    """One picture to take."""

    prompt: str
    seed: int


@dataclass(frozen=True)
class Sampler:
    """How pictures are drawn: denoising steps, classifier-free guidance, pictures at a time.

    `apart`: each prompt starts from noise of its own. If not, a seed is the same noise whatever the prompt, and what it
    draws of a concept in one prompt it is likely to draw in another, so that their pictures are no independent sample.
    """

    steps: int = 12
    guidance: float = 2.0
    batch: int = 32
    apart: bool = True

    def __post_init__(self) -> None:
        for name in ("steps", "batch"):
            if getattr(self, name) < 1:
                raise SettingError(f"sampler: {name} is {getattr(self, name)}; take at least 1")

    @cached_property
    def digest(self) -> str:
        """Identity of what the sampler draws; the batch size is left out, since it changes no picture by intent."""
        identity = {key: value for key, value in asdict(self).items() if key != "batch"}
        return sha256(canonical_json(identity))


def picture_key(weights: str, shot: Shot, sampler: Sampler) -> str:
    """Return the content address of a picture, drawn or not; `weights` is the digest of the model."""
    return sha256(canonical_json([weights, shot.prompt, shot.seed, sampler.digest]))


def noise_seed(shot: Shot, sampler: Sampler) -> int:
    """Return the seed of a picture's first noise, the same for every model that is asked for it."""
    if not sampler.apart:
        return shot.seed
    return int(sha256(canonical_json([shot.prompt, shot.seed]))[:15], 16)  # 60 bits, which every generator takes


@cache
def drawing_digest() -> str:
    """Return the digest of the engine's code between a prompt and its picture: changed, it may draw others."""
    return closure_digest("models.sampling", "models.load", "models.picture_store")


@torch.no_grad()
def generate(pipeline: Any, shots: Sequence[Shot], sampler: Sampler) -> Iterator[tuple[Shot, np.ndarray]]:
    """Draw `shots` in batches; yields uint8 pictures [height, width, 3] in the order given.

    At most `PROMPTS` prompts are encoded at a time, once each, so that memory does not grow with the number of shots.
    Every shot starts from its own generator (`noise_seed`), so its noise does not depend on its neighbours.
    Batches are halved where memory is short (`in_batches`).
    """
    if getattr(pipeline, "safety_checker", None) is not None:
        raise SettingError("the safety checker blackens pictures; set the pipeline's `safety_checker` to None first")
    for part in _parts(shots):
        yield from _generated(pipeline, part, sampler)


def _parts(shots: Sequence[Shot]) -> Iterator[Sequence[Shot]]:
    """Yield the shots in their order, cut before each that would be the first of one prompt too many."""
    start, prompts = 0, set()
    for place, shot in enumerate(shots):
        if shot.prompt not in prompts and len(prompts) == PROMPTS:
            yield shots[start:place]
            start, prompts = place, set()
        prompts.add(shot.prompt)
    if prompts:
        yield shots[start:]


def _generated(pipeline: Any, shots: Sequence[Shot], sampler: Sampler) -> Iterator[tuple[Shot, np.ndarray]]:
    if (name := type(pipeline).__name__) in (family := family_of(pipeline)).further:
        raise UnknownArchitecture(
            f"a {name} is asked in another way than a {family.pipelines[0]}, so it cannot be asked here; open its "
            "weights as one where they can be"
        )
    prompts = list(dict.fromkeys(shot.prompt for shot in shots))
    place = {prompt: number for number, prompt in enumerate(prompts)}
    arguments = encode_prompts(pipeline, prompts, pipeline.text_encoder.device, pipeline.text_encoder.dtype)

    def draw(block: Sequence[Shot]) -> np.ndarray:
        chosen = [place[shot.prompt] for shot in block]
        return _drawn(pipeline, {name: argument[chosen] for name, argument in arguments.items()}, block, sampler)

    yield from in_batches(shots, sampler.batch, draw)


def in_batches(
    items: Sequence[Item], batch: int, draw: Callable[[Sequence[Item]], np.ndarray]
) -> Iterator[tuple[Item, np.ndarray]]:
    """Each item with the picture that `draw` makes of it, at most `batch` of them at a time.

    A batch that does not fit into the device's memory is halved; what torch raised if one item does not.
    """
    done = 0
    while block := items[done : done + batch]:
        try:
            pictures = draw(block)
        except (RuntimeError, MemoryError) as error:
            if len(block) == 1 or not is_out_of_memory(error):
                raise
            pictures, batch = None, len(block) // 2
        if pictures is None:  # only here is everything freed that the failed batch held
            torch.cuda.empty_cache()
            continue
        yield from zip(block, pictures, strict=True)
        done += len(block)


def _drawn(pipeline: Any, arguments: Arguments, shots: Sequence[Shot], sampler: Sampler) -> np.ndarray:
    family = family_of(pipeline)
    return asked(pipeline, family, arguments, [noise_seed(shot, sampler) for shot in shots], sampler, **family.options)


def asked(
    pipeline: Any, family: Family, arguments: Arguments, seeds: Sequence[int], sampler: Sampler, **how: Any
) -> np.ndarray:
    """Return the pictures that a pipeline draws from these seeds, uint8 [n, height, width, 3].

    It reads prompts as its `family` does.
    """
    output = pipeline(
        **family.handed(arguments),
        **how,
        generator=[torch.Generator().manual_seed(seed) for seed in seeds],
        num_inference_steps=sampler.steps,
        **family.guided(sampler.guidance),
        output_type="np",
    )
    return as_bytes(family.pictures(output))


def as_bytes(pictures: np.ndarray) -> np.ndarray:
    """Pictures in [0, 1], [n, height, width, 3], as uint8; one that holds NaN or infinity is black from edge to edge.

    What a cast makes of NaN depends on the machine, and a picture with a hole must not pass for one of something else.
    """
    broken = ~np.isfinite(pictures).all(axis=(1, 2, 3), keepdims=True)
    return (np.where(broken, 0, pictures) * 255).round().astype(np.uint8)
