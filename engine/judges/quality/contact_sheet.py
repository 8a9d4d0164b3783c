"""Contact sheets: the same prompt and seed before and after, side by side, so that a person can check the judge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

GAP, CAPTION, MARGIN = 4, 18, 10
INK, PALE = (32, 32, 36), (120, 120, 128)
# Pillow's own font has no letter beyond ASCII, and people are called Zoë and Łukasz.
FONT = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"


@dataclass(frozen=True)
class Strip:
    """One line of a sheet: a title and each arm's pictures, uint8 [height, width, 3], in the order of the seeds."""

    title: str
    before: Sequence[np.ndarray]
    after: Sequence[np.ndarray]


def contact_sheet(strips: Sequence[Strip], heading: str, tile: int = 96) -> Image.Image:
    """Draw the strips under each other, the unedited model on the left, the edited one on the right."""
    columns = max(len(strip.before) for strip in strips)
    half = columns * (tile + GAP)
    line = tile + CAPTION + GAP
    sheet = Image.new("RGB", (2 * half + 3 * MARGIN, len(strips) * line + 2 * CAPTION + 2 * MARGIN), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.truetype(FONT, 12)
    pen.text((MARGIN, MARGIN), heading, fill=INK, font=font)
    pen.text((MARGIN, MARGIN + CAPTION), "before", fill=PALE, font=font)
    pen.text((2 * MARGIN + half, MARGIN + CAPTION), "after", fill=PALE, font=font)
    for row, strip in enumerate(strips):
        top = MARGIN + 2 * CAPTION + row * line
        pen.text((MARGIN, top), strip.title, fill=INK, font=font)
        for left, pictures in ((MARGIN, strip.before), (2 * MARGIN + half, strip.after)):
            for column, picture in enumerate(pictures):
                shown = Image.fromarray(picture).resize((tile, tile), Image.Resampling.LANCZOS)
                sheet.paste(shown, (left + column * (tile + GAP), top + CAPTION))
    return sheet
