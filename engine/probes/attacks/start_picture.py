"""Starting from a noised picture of the concept: does the model complete it when asked by name?

Diffusion completion of When Are Concepts Erased (arXiv 2505.17013). With little noise the start is simply handed back,
whatever the model knows, and proves nothing. `remains` measures that: how often the concept is seen again although the
UNEDITED model was given no words, or words for something else. A model that forgot the name perfectly takes it for no
words at all, so a strength may be used only where hardly anything remains without words.
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
from expunge.engine.probes.prompts import Subject
from expunge.engine.text.encoding import told

NOTHING = 1e-6  # of a start's energy; diffusers writes 2^-24 where a schedule is rescaled to end in none


@dataclass(frozen=True)
class StartPicture(Budgeted):
    """`strengths` are shares of the sampler's steps that are drawn anew, 1 being all; each has `starts` starts.

    Even at 1 some of the start is left: the noise schedule of most models does not begin in noise alone. Where one does
    (flow matching, zero terminal SNR), its first step would leave nothing to start from and is passed over.
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
        """SettingError where so few steps leave none to draw anew."""
        _started_from(pipeline)
        for strength in self.strengths:
            _drawn_anew(pipeline, strength, self.sampler)

    def attempts(
        self, pipeline: Any, subject: Subject, references: np.ndarray, kept: Sequence[Kept], seed: int
    ) -> list[Attempt]:
        """One attempt a strength and start; UnknownArchitecture if the family cannot start from a picture."""
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
        """The references [n, height, width, 3] by turns, one a start."""
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
    """For each strength the share of starts in which the judge sees `subject`, completed by `prompt`.

    To be measured on the UNEDITED model: without words for the use of a strength, with other words out of interest.
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
    """Pictures uint8 [n, height, width, 3]: each start noised, and the last `strength` of the steps drawn anew; all but
    one at most where the schedule begins in noise alone.

    The start with number i has the seed `seed` + i, whatever the batch.
    """
    model, family = _started_from(pipeline), family_of(pipeline)
    strength = _drawn_anew(pipeline, strength, sampler)
    height, width = starts.shape[1:3]
    accepted = inspect.signature(model.__call__).parameters
    size = {key: side for key, side in (("height", height), ("width", width)) if key in accepted}
    spoken = told(pipeline, [prompt], pipeline.text_encoder.device, pipeline.text_encoder.dtype)

    def draw(numbers: Sequence[int]) -> np.ndarray:
        seeds, images = [seed + number for number in numbers], [Image.fromarray(starts[number]) for number in numbers]
        spoken_each = repeated(spoken, len(numbers))
        return asked(model, family, spoken_each, seeds, sampler, image=images, strength=strength, **size)

    return np.stack([picture for _, picture in in_batches(range(len(starts)), sampler.batch, draw)])


def _drawn_anew(pipeline: Any, strength: float, sampler: Sampler) -> float:
    """The share of the steps that can be drawn anew; SettingError if that is none."""
    share = min(strength, 1 - _wasted(pipeline.scheduler) / sampler.steps)
    if int(share * sampler.steps) < 1:
        raise SettingError(f"start_picture: this schedule leaves none of {sampler.steps} steps to draw anew; take more")
    return share


def _started_from(pipeline: Any) -> Any:
    """The pipeline of the same parts that starts from a picture; UnknownArchitecture if there is none."""
    unfit = UnknownArchitecture(f"{family_of(pipeline).name} cannot start from a picture; leave start_picture out")
    try:
        model = AutoPipelineForImage2Image.from_pipe(pipeline)
    except ValueError as error:
        raise unfit from error
    if "strength" not in inspect.signature(model.__call__).parameters:  # it looks at a picture, and starts from noise
        raise unfit
    model.set_progress_bar_config(disable=True)
    return model


def _wasted(scheduler: Any) -> int:
    """How many of the first steps see nothing of a start: one where the schedule begins in noise alone, else none."""
    left = getattr(scheduler, "alphas_cumprod", None)  # which the schedulers of flow matching do not have
    return int(left is None or float(left[-1]) < NOTHING)


ATTACK = StartPicture
