"""Statistics are the same however the prompts are split into blocks, and no block is larger than it may be."""

from __future__ import annotations

from dataclasses import fields

import pytest
import torch

from engine import planning
from engine.editors import Moments
from engine.editors.scapre import ScapreSettings
from engine.editors.scapre_released import ReleasedSettings
from engine.planning import gather
from engine.spec import EditSpec, Retain, Target
from tests.engine import tiny

SPEC = EditSpec(
    (Target("cat", ("cat", "red cat")), Target("noto", ("noto",), "style", anchor="flat"), Target("horse", ("horse",))),
    (Retain("dog", ("dog",)), Retain("tree", ("tree",), kind="general")),
)


@pytest.mark.parametrize(
    "settings",
    [ScapreSettings(general_words=20), ScapreSettings(general_words=20, default_anchor="empty"), ReleasedSettings()],
)
def test_blocks_do_not_matter_and_bound_what_is_in_memory(settings, monkeypatch: pytest.MonkeyPatch):
    pipeline = tiny.pipeline()
    whole = gather(pipeline, SPEC, settings)
    asked, real = [], planning.encode
    monkeypatch.setattr(planning, "NUMBERS", 3 * tiny.TOKENS * tiny.WIDTH)
    monkeypatch.setattr(planning, "encode", lambda p, prompts, s: asked.append(len(prompts)) or real(p, prompts, s))
    split = gather(pipeline, SPEC, settings)
    assert max(asked) == 3
    for part in fields(whole):
        one, other = getattr(whole, part.name), getattr(split, part.name)
        if isinstance(one, Moments):
            for name in ("gram", "cross", "anchor"):
                assert torch.allclose(getattr(one, name), getattr(other, name), rtol=1e-4, atol=1e-3)
        elif isinstance(one, torch.Tensor):
            assert torch.allclose(one, other, atol=1e-4)
    if whole.tokens is not None and split.tokens is not None:
        assert torch.allclose(whole.tokens.x, split.tokens.x, atol=1e-4)
        assert torch.equal(whole.tokens.wording, split.tokens.wording)
        assert torch.allclose(
            whole.tokens.anchors[whole.tokens.partner], split.tokens.anchors[split.tokens.partner], atol=1e-4
        )


def test_tokens_of_two_streams_stand_side_by_side():
    tokens = gather(tiny.pipeline(), SPEC, ReleasedSettings()).tokens
    assert tokens is not None
    both = tokens + tokens
    half = len(tokens.x)
    assert torch.equal(both.x[half:], tokens.x)
    assert torch.equal(both.wording[half:], tokens.wording + 4)
    assert torch.equal(both.anchors[both.partner[half:]], tokens.anchors[tokens.partner])
