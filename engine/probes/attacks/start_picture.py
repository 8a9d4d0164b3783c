"""A start from a noised picture of the concept: does the model complete it when asked by name?

Diffusion completion of When Are Concepts Erased (arXiv 2505.17013). With little noise the model returns the start
whatever it knows, which proves nothing. `remains` measures that: how often the concept is seen again although the
UNEDITED model got no words, or words for something else. For a model that forgot the name perfectly, the name is no
words at all. So a strength may be used only where hardly anything remains without words.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

import numpy as np
import torch
from diffusers import AutoPipelineForImage2Image
from PIL import Image

from expunge.engine.errors import SettingError, UnknownArchitecture
from expunge.engine.families import family_of
from expunge.engine.judges import Judge
from expunge.engine.models.sampling import Sampler, asked, in_batches
from expunge.engine.probes.attacks.base import Attempt, Budgeted, Kept, said
from expunge.engine.probes.attacks.words import repeated
from expunge.engine.probes.prompts.families import Subject
from expunge.engine.text.encoding import encode_prompts

NOTHING = 1e-6  # a start's energy below this is none; a rescaled schedule of diffusers ends in 2^-24


@dataclass(frozen=True)
class StartPicture(Budgeted):
    """Completion of noised pictures: `starts` starts for each of `strengths`.

    A strength is the share of the sampler's steps that are drawn anew; 1 is all. Even at 1 some of the start remains,
    because the noise schedule of most models does not begin in noise alone. Where one does (flow matching, zero
    terminal SNR), its first step would leave nothing to start from and is skipped.
    """

    name: ClassVar[str] = "start_picture"
    strengths: tuple[float, ...] = (1.0,)
    starts: int = 30
    sampler: Sampler = field(default_factory=Sampler)

    def __post_init__(self) -> None:
        for strength in self.strengths:
            if not 0 < strength <= 1 or int(strength * self.sampler.steps) < 1:
                raise SettingError(f"start_picture: strength {strength} draws none of {self.sampler.steps} steps anew")

    @property
    def cost(self) -> int:
        return len(self.strengths) * self.starts

    def grown(self, times: float) -> Self:
        return replace(self, starts=math.ceil(self.starts * times))

    @property
    def effort(self) -> float:
        return float(self.cost)

    def check(self, pipeline: Any) -> None:
        """Raise SettingError where so few steps leave none to draw anew."""
        _started_from(pipeline)
        for strength in self.strengths:
            _drawn_anew(pipeline, strength, self.sampler)

    def attempts(
        self, pipeline: Any, subject: Subject, references: np.ndarray, kept: Sequence[Kept], seed: int
    ) -> list[Attempt]:
        """Return one attempt for each strength and start.

        Raises UnknownArchitecture if the family cannot start from a picture.
        """
        starts = self.started(references)
        prompt = said(subject, subject.name, 5)[-1]
        made: list[Attempt] = []
        for strength in self.strengths:
            pictures = completed(pipeline, starts, prompt, strength, self.sampler, seed)
            title = f"{self.name} {strength:g}: {prompt}"
            made += [
                Attempt(subject, self.name, title, seed + number, picture) for number, picture in enumerate(pictures)
            ]
        return made

    def started(self, references: np.ndarray) -> np.ndarray:
        """Return the references [n, height, width, 3] by turns, one for each start."""
        return references[np.arange(self.starts) % len(references)]


def remains(
    pipeline: Any,
    judge: Judge,
    subject: Subject,
    references: np.ndarray,
    strengths: Sequence[float],
    sampler: Sampler,
    seed: int = 0,
    prompt: str = "",
) -> dict[float, float]:
    """Return for each strength the share of starts in which the judge sees `subject`, completed by `prompt`.

    Measure it on the UNEDITED model. Without words it shows whether a strength may be used.
    """
    found = {}
    for strength in strengths:
        pictures = completed(pipeline, references, prompt, strength, sampler, seed)
        sightings = judge.look(pictures, [subject.name] * len(pictures), subject.category)
        found[strength] = float(np.mean([sighting.seen for sighting in sightings]))
    return found


@torch.no_grad()
def completed(
    pipeline: Any, starts: np.ndarray, prompt: str, strength: float, sampler: Sampler, seed: int
) -> np.ndarray:
    """Return pictures, uint8 [n, height, width, 3]: each start noised, and the last `strength` of the steps drawn anew.

    Where the schedule begins in noise alone, at most all steps but one are drawn anew. The start with number i has the
    seed `seed` + i, whatever the batch.
    """
    model, family = _started_from(pipeline), family_of(pipeline)
    strength = _drawn_anew(pipeline, strength, sampler)
    height, width = starts.shape[1:3]
    accepted = inspect.signature(model.__call__).parameters
    size = {key: side for key, side in (("height", height), ("width", width)) if key in accepted}
    spoken = encode_prompts(pipeline, [prompt], pipeline.text_encoder.device, pipeline.text_encoder.dtype)

    def draw(numbers: Sequence[int]) -> np.ndarray:
        seeds, images = [seed + number for number in numbers], [Image.fromarray(starts[number]) for number in numbers]
        spoken_each = repeated(spoken, len(numbers))
        return asked(model, family, spoken_each, seeds, sampler, image=images, strength=strength, **size)

    return np.stack([picture for _, picture in in_batches(range(len(starts)), sampler.batch, draw)])


def _drawn_anew(pipeline: Any, strength: float, sampler: Sampler) -> float:
    """Return the share of the steps that can be drawn anew. Raises SettingError if that is none."""
    share = min(strength, 1 - _wasted(pipeline.scheduler) / sampler.steps)
    if int(share * sampler.steps) < 1:
        raise SettingError(f"start_picture: this schedule leaves none of {sampler.steps} steps to draw anew; take more")
    return share


def _started_from(pipeline: Any) -> Any:
    """Return the pipeline of the same parts that starts from a picture. Raises UnknownArchitecture if there is none."""
    unfit = UnknownArchitecture(f"{family_of(pipeline).name} cannot start from a picture; leave start_picture out")
    try:
        model = AutoPipelineForImage2Image.from_pipe(pipeline)
    except ValueError as error:
        raise unfit from error
    if "strength" not in inspect.signature(model.__call__).parameters:  # it reads a picture but starts from noise
        raise unfit
    model.set_progress_bar_config(disable=True)
    return model


def _wasted(scheduler: Any) -> int:
    """Return how many of the first steps see nothing of a start.

    It is one where the schedule begins in noise alone, else none.
    """
    alphas = getattr(scheduler, "alphas_cumprod", None)  # schedulers of flow matching have none
    return int(alphas is None or float(alphas[-1]) < NOTHING)


ATTACK = StartPicture
