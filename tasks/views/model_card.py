"""The parts of a model card that other programs read: its front matter, and the code of its example.

Both are written into the page as they are, and people choose what concepts are called. So nothing of a policy is in the
front matter, and in the code only as a literal.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from expunge.engine.families import Family, family_named
from expunge.engine.models.format import pipeline_name
from expunge.engine.models.sampling import noise_seed
from expunge.tasks.evidence.examination import Examination

SIGNS = re.compile(r"[<>&`]")
"""What HTML or Markdown would read in a line of code; a literal has them by their numbers."""
EXAMPLE = """\
import diffusers
import torch

pipeline = diffusers.DiffusionPipeline.from_pretrained("model", dtype=torch.float32)
output = pipeline(
    {prompt},
    {settings},
    generator=torch.Generator().manual_seed({seed}),
)
{keep}
"""
KEEP = 'output.images[0].save("picture.png")'
KEEP_VIDEO = 'diffusers.utils.export_to_video(output.frames[0], "video.mp4")'


def front_matter(base: Path, *tags: str) -> str:
    """Return the metadata that Hugging Face's hub reads, in YAML between its two marks.

    The base is no model of the hub that could be named by `base_model`: the page has its digest.
    """
    metadata = {
        "library_name": "diffusers",
        "pipeline_tag": "text-to-video" if _family(base).frames else "text-to-image",
        "tags": ["expunge", "concept-erasure", *tags],
    }
    return f"---\n{yaml.safe_dump(metadata, sort_keys=False)}---"


def example(base: Path, exam: Examination) -> str:
    """Return the code that draws a picture of something kept as the verification drew it."""
    family = _family(base)
    kept = [each for each in exam.questions if each.subject.role != "target"]
    shot = (kept or exam.questions)[0].shot
    settings = {"num_inference_steps": exam.sampler.steps, **family.guided(exam.sampler.guidance), **family.options}
    return EXAMPLE.format(
        prompt=literal(shot.prompt),
        settings=_keywords(settings),
        seed=noise_seed(shot, exam.sampler),
        keep=KEEP_VIDEO if family.frames else KEEP,
    )


def literal(text: str) -> str:
    """Return a Python literal of a text, on one line, in which neither HTML nor Markdown finds a sign of its own."""
    return SIGNS.sub(lambda sign: f"\\x{ord(sign[0]):02x}", ascii(text))


def _keywords(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in settings.items())


def _family(base: Path) -> Family:
    return family_named(pipeline_name(base))
