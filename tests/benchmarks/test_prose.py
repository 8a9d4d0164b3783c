"""Free prose counts what was seen before and not after, in frames that take turns."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from benchmarks import prose
from benchmarks.common import concepts
from benchmarks.common.frames import REPORTED, frames
from expunge.engine.text.templates import fill


def test_only_what_the_unedited_model_showed_can_be_lost():
    target = np.array([False, False, False, True, True])
    before = np.array([True, True, False, True, False])
    after = np.array([True, False, True, False, True])
    assert prose.counts(target, before, after) == {
        "shown": 2,
        "lost": 1,
        "targets": 2,
        "targets_before": 1,
        "targets_after": 1,
    }


def test_each_frame_and_each_kept_object_is_asked_for_as_often_as_any_other_and_no_shot_twice():
    case = next(case for case in concepts.cases(1) if case.name == "20 objects")
    asked = prose.questions(case, REPORTED, prose.PICTURES)
    assert len({question.shot for question in asked}) == len(asked)
    kept = [question for question in asked if question.subject.role != "target"]
    assert len(kept) == prose.PICTURES
    times = Counter(
        line
        for question in kept
        for line in frames(REPORTED)
        if fill(line, question.subject.name).text == question.shot.prompt
    )
    assert set(times) == set(frames(REPORTED))
    assert max(times.values()) - min(times.values()) <= 1
    assert {question.subject.name for question in asked if question.subject.role == "target"} <= set(case.objects)


def test_draws_are_added_up_and_an_editor_that_refused_has_no_line():
    own = {"frames": REPORTED, "case": "20 objects", "problem": ""}
    counted = dict(zip(prose.COUNTS, ("30", "6", "40", "10", "1"), strict=True))
    refused = dict.fromkeys(prose.COUNTS, "")
    rows = [{**own, **counted, "arm": "scapre", "draw": draw} for draw in ("0", "1")]
    rows.append({**own, **refused, "arm": "auto", "draw": "0"})
    lines = prose.page(rows).splitlines()
    assert lines[2:] == ["| 20 objects | scapre | 2 | 60 | 12 | 20.0 | 25.0 | 2.5 |"]
    with pytest.raises(ValueError, match="nothing was measured"):
        prose.page([])
