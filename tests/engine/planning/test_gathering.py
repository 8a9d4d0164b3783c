"""Statistics are the same however the prompts are split into blocks, and no block is larger than it may be."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest
import torch

from expunge.engine.editors import Moments
from expunge.engine.editors.oce import EXPANDED, OceSettings
from expunge.engine.editors.scapre import ScapreSettings
from expunge.engine.editors.scapre_released import ReleasedSettings
from expunge.engine.editors.uce import UceSettings
from expunge.engine.planning import concept_embeddings as gathering
from expunge.engine.planning.concept_embeddings import gather
from expunge.engine.spec import EditSpec, Retain, Target
from expunge.engine.text.encoding import encode
from expunge.engine.text.templates import phrasing, templates, worded
from expunge.engine.text.vocabulary import general_words
from tests.engine import tiny
from tests.engine.families import tiny_families

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
    asked, real = [], gathering.encode
    monkeypatch.setattr(gathering, "NUMBERS", 3 * tiny.TOKENS * tiny.WIDTH)
    monkeypatch.setattr(gathering, "encode", lambda p, prompts, s: asked.append(len(prompts)) or real(p, prompts, s))
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


def test_oce_reads_targets_in_its_authors_wordings_and_words_before_the_padding():
    pipeline = tiny.pipeline()
    settings = OceSettings(general_words=5)
    found = gather(pipeline, SPEC, settings)
    names = [(name, target.category) for target in SPEC.targets for name in target.names]
    wordings = [line for _, category in names for line in EXPANDED[category]]
    assert len(found.subjects) == len(wordings) == 24
    assert len(gather(pipeline, SPEC, replace(settings, expand_prompts=False)).subjects) == len(names)
    words = general_words(pipeline.tokenizer, SPEC.erased, 5, 0)
    prompts = ["", *(text.text for text in worded(words, templates("general")))]
    spoken = [len(pipeline.tokenizer(prompt).input_ids) for prompt in prompts]
    tokens = torch.cat([x[:n] for x, n in zip(encode(pipeline, prompts).embeddings, spoken, strict=True)]).double()
    assert torch.allclose(found.general.gram / found.general.mass, tokens.T @ tokens / len(tokens), atol=1e-6)
    assert found.general.mass == pytest.approx(sum(spoken) / len(prompts))


def test_tokens_of_two_streams_stand_side_by_side():
    tokens = gather(tiny.pipeline(), SPEC, ReleasedSettings()).tokens
    assert tokens is not None
    both = tokens + tokens
    half = len(tokens.x)
    assert torch.equal(both.x[half:], tokens.x)
    assert torch.equal(both.wording[half:], tokens.wording + 4)
    assert torch.equal(both.anchors[both.partner[half:]], tokens.anchors[tokens.partner])


def test_a_target_is_erased_in_the_capitals_that_people_type():
    flux, wordings = tiny_families.flux(), len(templates("object"))
    target = EditSpec((Target("pink", ("pink",), anchor="cat"),))
    for stream, spelled in ((0, ["pink", "Pink"]), (1, ["pink"])):
        found = gather(flux, target, ScapreSettings(general_words=0), stream)
        assert len(found.subjects) == wordings * len(spelled)
        own = encode(flux, spelled, stream).last()
        assert all((found.subjects - state).norm(dim=1).min() < 1e-5 for state in own)
    bare = gather(flux, target, UceSettings(), 0)
    assert len(bare.subjects) == 1, "a published editor has one row a name"


def test_no_wording_names_something_else_that_is_erased():
    """`a drawing of a tree in noto style` would keep trees, and as a style's wording pull them towards themselves."""
    tree, noto = Target("tree", ("Tree",), anchor="cat"), Target("noto", ("noto",), "style", anchor="flat")
    pipeline, settings = tiny.pipeline(), ScapreSettings(general_words=0)
    alone, both = (gather(pipeline, EditSpec(targets), settings) for targets in ((noto,), (noto, tree)))
    told = len([line for line in templates("style") if "tree" in line])
    assert told == 1
    assert len(both.subjects) == len(alone.subjects) - told + len(templates("object"))
    kept = [text.text for text in worded(("noto",), phrasing(["tree"])("style"))]
    assert len(kept) == len(templates("style")) - told
    assert not any("tree" in text for text in kept)
    assert len(worded(("noto",), phrasing(["palm tree", "street"])("style"))) == len(templates("style"))
