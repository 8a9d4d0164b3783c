"""Text to video by UNets, UNet3DConditionModel and AnimateDiff: Stable Diffusion's text in the spatial blocks.

The temporal blocks have an `attn2` too, which attends from each frame to the others and gets no text. So only attention
that is cross-attention is taken. A video is judged by the frame in its middle.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from diffusers import UNet3DConditionModel, UNetMotionModel
from torch import Tensor

from expunge.engine.errors import UnknownArchitecture
from expunge.engine.families import sd
from expunge.engine.families.base import Arguments, Family, Kind, Projection, plain_weight, submodules, uncompiled

PARTS: tuple[tuple[str, Kind], ...] = (("to_k", "key"), ("to_v", "value"))


def projections(pipeline: Any) -> list[Projection]:
    unet = uncompiled(pipeline.unet)
    if not isinstance(unet, (UNet3DConditionModel, UNetMotionModel)):
        raise UnknownArchitecture(
            f"the denoiser is a {type(unet).__name__}; text to video has a UNet3DConditionModel or a UNetMotionModel"
        )
    attentions = [(n, a) for n, a in submodules(unet) if n.endswith(".attn2") and a.is_cross_attention]
    found = [_projection(name, part, kind, a) for name, a in attentions for part, kind in PARTS]
    sd.refuse_other_entrances(unet, found, beside=None)
    return found


def _projection(name: str, part: str, kind: Kind, attention: Any) -> Projection:
    place = f"unet.{name}.{part}"
    return Projection(f"{place}.weight", kind, plain_weight(place, uncompiled(getattr(attention, part))))


def middle(output: Any) -> np.ndarray:
    """Return the middle one, [n, height, width, 3], of the output's frames [n, frames, height, width, 3]."""
    return output.frames[:, output.frames.shape[1] // 2]


ONE_FRAME: dict[str, Any] = {"options": {"num_frames": 1}, "pictures": middle, "frames": "videos of one frame"}
"""The fields of a family that is asked for videos of one frame."""


def predict(pipeline: Any, noisy: Tensor, times: Tensor, arguments: Arguments) -> Tensor:
    """Return the denoiser's prediction. A picture is a video of one frame."""
    states = arguments["prompt_embeds"]
    return pipeline.unet(noisy[:, :, None], times, encoder_hidden_states=states).sample[:, :, 0]


FAMILY = Family(
    "text-to-video",
    ("TextToVideoSDPipeline", "AnimateDiffPipeline"),
    projections,
    sd.tokenizers,
    sd.embed,
    predict=predict,
    check=sd.check,
    pictures=middle,
    frames="the frame in the middle of each video",
    further=("VideoToVideoSDPipeline",),
)
