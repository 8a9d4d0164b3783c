"""The built-in model: complete tables with credits, real captions, a real pipeline, and what it is offered for."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from expunge.engine.emoji import JUDGE, MODEL
from expunge.engine.emoji.catalogue import OBJECTS, STYLES, twins
from expunge.engine.emoji.training import pictures
from expunge.engine.emoji.training.captions import draw, table
from expunge.engine.emoji.training.quality import GOOD, TABLE, offered
from expunge.engine.files.digests import files
from expunge.engine.models.load import open_model

ROOT = Path(__file__).parents[3]
OPEN = {"Apache-2.0", "MIT", "CC-BY-4.0"}


def test_the_tables_are_whole() -> None:
    assert len(STYLES) == 8
    assert 120 <= len(OBJECTS) <= 200
    assert len({item.name for item in (*OBJECTS, *STYLES)}) == len(OBJECTS) + len(STYLES)
    assert {"taxi", "car"} <= {*twins("police car")}


def test_every_style_is_open_licensed_without_share_alike_and_credited() -> None:
    notice = (ROOT / "NOTICE").read_text(encoding="utf-8")
    for style in STYLES:
        assert style.licence in OPEN
        assert re.fullmatch(r"[0-9a-f]{64}", style.sha256)
        assert style.package in notice
        assert style.author in notice
        assert style.licence in notice


def test_there_is_a_picture_of_every_object_in_every_style() -> None:
    drawn = pictures.load()
    assert drawn.shape == (len(OBJECTS), len(STYLES), 64, 64, 3)
    assert drawn.reshape(len(OBJECTS) * len(STYLES), -1).std(1).min() > 5
    flat = drawn.reshape(len(OBJECTS) * len(STYLES), -1)
    assert len(np.unique(flat, axis=0)) == len(flat)


def test_captions_are_seeded_and_true() -> None:
    import random

    rng, again = random.Random(3), random.Random(3)
    drawn = [draw(5, 2, rng) for _ in range(300)]
    assert drawn == [draw(5, 2, again) for _ in range(300)]
    assert {caption.object for caption in drawn} <= {5, None}
    assert {caption.style for caption in drawn} <= {2, None}
    assert any(OBJECTS[5].name not in caption.text for caption in drawn)


def test_unseen_wordings_are_not_among_the_trained_ones() -> None:
    rows = table()
    trained = {caption.text for caption, split in rows if split == "train"}
    unseen = {caption.text for caption, split in rows if split == "unseen"}
    assert unseen
    assert not trained & unseen


def test_the_pipeline_opens_offline_and_fits_the_repository() -> None:
    model = open_model(MODEL)
    assert type(model).__name__ == "StableDiffusionPipeline"
    assert model.safety_checker is None
    weights = [path for folder in (MODEL, JUDGE) for path in files(folder) if path.suffix == ".safetensors"]
    assert sum(path.stat().st_size for path in weights) <= 60e6


def test_what_is_offered_is_what_was_measured(tmp_path: Path) -> None:
    measured = [row.split("\t")[0] for row in TABLE.read_text(encoding="utf-8").splitlines()[1:]]
    assert sorted(measured) == sorted(item.name for item in (*OBJECTS, *STYLES))
    (path := tmp_path / "quality.tsv").write_text(
        f"concept\tkind\tpictures\trate\nbetter\tobject\t16\t{GOOD + 0.01}\n"
        f"at it\tstyle\t16\t{GOOD}\nunder it\tobject\t16\t{GOOD - 0.0001}\n"
    )
    assert offered(path) == {"better", "at it"}
    assert offered() == offered(TABLE) < set(measured)
