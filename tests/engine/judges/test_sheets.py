"""A contact sheet says of each strip, in the letters it is written in, what it shows."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from expunge.engine.judges.quality.contact_sheet import Strip, contact_sheet

WHITE, BLACK = np.full((8, 8, 3), 255, np.uint8), np.zeros((8, 8, 3), np.uint8)


def titled(title: str) -> Image.Image:
    return contact_sheet([Strip(title, [WHITE], [WHITE])], "what had to go")


@pytest.mark.parametrize("letters", ["äö", "łż", "çñ", "шя", "λω"])
def test_letters_beyond_ascii_are_drawn_and_are_no_boxes(letters: str) -> None:
    one, other = (np.asarray(titled(letter)) for letter in letters)
    assert (one != other).any()
    assert (np.asarray(titled("\U0010fffd")) == np.asarray(titled("\U0010fffc"))).all()  # two boxes are alike


def test_the_edited_model_stands_on_the_right() -> None:
    sheet = np.asarray(contact_sheet([Strip("", [WHITE], [BLACK])], "", tile=32))
    half = sheet.shape[1] // 2
    assert (sheet[-40:, :half] == 255).all()
    assert (sheet[-40:, half:] == 0).any()
