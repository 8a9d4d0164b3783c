"""The free-prose frames that are reported are used for nothing else, and stay what they are."""

from __future__ import annotations

import itertools
import re

import pytest

from benchmarks.common.frames import FOLDER, frames
from expunge.engine.editors.oce import EXPANDED
from expunge.engine.emoji import MODEL
from expunge.engine.emoji.catalogue import OBJECTS
from expunge.engine.emoji.training import captions
from expunge.engine.files.digests import file_digest
from expunge.engine.models.load import open_model
from expunge.engine.probes.prompts.families import FOLDER as PROBES
from expunge.engine.text.encoding import fitting
from expunge.engine.text.templates import FOLDER as TEMPLATES
from expunge.engine.text.templates import fill

FROZEN = {
    "reported": "642c079e2b83ecb3b908326f4c77ab9cc167f8aa4c82d5dc17793788792d4b61",
    "choosing": "a52b4184249799718b705b7554156aac29831d3781ba631b82247b0c6acf9ddc",
}
RUN = 4  # words in a row that no two lists may share


def lines_of_editors_probes_and_training() -> list[str]:
    """Return every line that an editor, a probe or the built-in model's training words a concept in."""
    found = [line for own in EXPANDED.values() for line in own]
    for path in (*TEMPLATES.glob("*.txt"), *PROBES.glob("*.txt"), *(PROBES / "further").glob("*.txt")):
        rows = path.read_text(encoding="utf-8").splitlines()
        found += [row.rsplit("\t", 1)[-1] for row in rows if row and not row.startswith("#")]
    for name in ("BOTH", "OBJECT_ONLY", "UNSEEN_BOTH", "UNSEEN_OBJECT", "CATEGORY", "CLUES", "STYLE_ONLY"):
        found += getattr(captions, name)
    return found


def runs(line: str) -> set[tuple[str, ...]]:
    """Return every run of `RUN` words of a line, the concept's place being one."""
    words = re.findall(r"\w+|\{\w*\}", re.sub(r"\{\w*\}", "{}", line.lower()))
    return {tuple(words[start : start + RUN]) for start in range(max(1, len(words) - RUN + 1))}


@pytest.mark.parametrize("name", FROZEN)
def test_a_list_is_what_it_was_when_it_was_written(name: str):
    assert len(set(frames(name))) == 20
    assert file_digest(FOLDER / f"{name}.txt") == FROZEN[name]


def test_no_two_lists_share_a_line_or_a_run_of_words():
    lists = {name: frames(name) for name in FROZEN} | {"others": lines_of_editors_probes_and_training()}
    for one, other in itertools.combinations(lists, 2):
        if one != "others":
            shared = set().union(*map(runs, lists[one])) & set().union(*map(runs, lists[other]))
            assert not shared, f"{one} and {other} share {shared}"


def test_the_built_in_model_reads_each_frame_whole():
    texts = [fill(line, thing.name) for name in FROZEN for line in frames(name) for thing in OBJECTS]
    assert fitting(open_model(MODEL), texts) == texts
