"""The distance to exact unlearning is nothing between a model and itself, and something between other pictures."""

from __future__ import annotations

import numpy as np

from benchmarks.exact import line
from benchmarks.measure import GROUPS, Asked
from engine.emoji import JUDGE, pictures
from engine.features import ClipNetwork
from engine.probes import Question, Subject
from engine.sampling import Shot


def asked(group: str, count: int) -> list[Asked]:
    subject = Subject("x", "target", "object", "x")
    return [Asked(group, Question(subject, "name", Shot("x", seed))) for seed in range(count)]


def test_a_group_is_compared_with_its_own_pictures_alone_and_too_few_have_no_distance():
    told = dict.fromkeys(GROUPS, 16) | {"synonym": 3}
    questions = [item for group, count in told.items() for item in asked(group, count)]
    exact = pictures.load()[:, 0][: len(questions)]
    shown = exact.copy()
    targets = np.array([item.group == "target" for item in questions])
    shown[targets] = pictures.load()[-16:, 3]
    network = ClipNetwork(JUDGE)
    same = line(network, "same", questions, exact, exact)
    assert same == ["same", *("-" if group == "synonym" else "0.0 (0.0)" for group in GROUPS)]
    other = dict(zip(GROUPS, line(network, "other", questions, shown, exact)[1:], strict=True))
    assert float(other.pop("target").split()[0]) > 10
    assert set(other.values()) == {"0.0 (0.0)", "-"}
