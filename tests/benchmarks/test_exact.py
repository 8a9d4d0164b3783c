"""The distance to exact unlearning is nothing between a model and itself, and something between other pictures."""

from __future__ import annotations

import numpy as np

from benchmarks.exact import GROUPS, line
from expunge.engine.emoji import CLIP_JUDGE
from expunge.engine.emoji.training import pictures
from expunge.engine.judges.networks.clip_features import ClipNetwork


def test_a_group_is_compared_with_its_own_pictures_alone_and_too_few_have_no_distance():
    told = dict.fromkeys(GROUPS, 16) | {"style": 3}
    groups = np.array([group for group, count in told.items() for _ in range(count)])
    network = ClipNetwork(CLIP_JUDGE)
    exact = network.features(pictures.load()[: len(groups), 0]).pooled
    shown = exact.copy()
    shown[groups == "target"] = network.features(pictures.load()[-16:, 3]).pooled
    same = line("same", groups, exact, exact)
    assert same == ["same", *("-" if group == "style" else "0.0 (0.0)" for group in GROUPS)]
    other = dict(zip(GROUPS, line("other", groups, shown, exact)[1:], strict=True))
    assert float(other.pop("target").split()[0]) > 10
    assert set(other.values()) == {"0.0 (0.0)", "-"}
