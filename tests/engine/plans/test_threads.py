"""A plan has the same digest, and a picture the same features, however many threads the machine gives it."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import UNet2DConditionModel

from expunge.engine import editors
from expunge.engine.editors import EDITORS
from expunge.engine.editors.training import denoiser
from expunge.engine.emoji import CLIP_JUDGE, MODEL
from expunge.engine.emoji.catalogue import OBJECTS
from expunge.engine.emoji.training import pictures
from expunge.engine.judges import ClipJudge
from expunge.engine.judges.networks.clip_features import ClipNetwork
from expunge.engine.linalg import Pencil, product, times
from expunge.engine.models.load import open_model
from expunge.engine.planning.closed_form import plan
from expunge.engine.planning.make import make
from expunge.engine.plans.edit_plan import EditPlan
from expunge.engine.spec import EditSpec, Retain, Target
from expunge.engine.text.encoding import encode
from tests.engine import tiny
from tests.engine.draws import draw
from tests.engine.editors.training.trainees import HARDENED

TARGETS = (
    Target("panda", ("panda", "bamboo eater")),
    Target("taxi", ("taxi",), anchor="car"),
    Target("pear", ("pear",)),
)
KEPT = (Retain("bear", ("bear",)), Retain("koala", ("koala",)), Retain("apple", ("red apple",)))
EDITOR_FILES = sorted(Path(editors.__file__).parent.glob("*.py"))
WIDE, FEW = 1024, {"general_words": 10, "default_anchor": "empty"}


@pytest.fixture(scope="module")
def model() -> Any:
    return open_model(MODEL)


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def digests(make: Callable[[], EditPlan], counts: Sequence[int] = (1, 2, 3)) -> set[str]:
    """Of what is made on so many threads, all of which it has to give back."""
    found = set()
    for count in counts:
        torch.set_num_threads(count)
        found.add(make().digest)
        assert torch.get_num_threads() == count
    return found


@pytest.mark.parametrize(
    ("editor", "settings"),
    [
        *((editor, {}) for editor in EDITORS if editor not in ("oce", "scapre")),
        ("oce", {"general_words": 300}),
        ("scapre", {"general_words": 300}),
        ("scapre", {"general_words": 300, "default_anchor": "empty"}),
    ],
)
@pytest.mark.usefixtures("threads")
def test_a_plan_does_not_depend_on_the_number_of_threads(model: Any, editor: str, settings: dict[str, Any]) -> None:
    assert len(digests(lambda: plan(model, EditSpec(TARGETS, KEPT, editor, settings)))) == 1


@pytest.mark.parametrize("width", [512, WIDE, 2048])
@pytest.mark.usefixtures("threads")
def test_nor_does_a_product_however_its_factors_lie_in_memory(width: int) -> None:
    rows, turned, found = draw(320, width, seed=1), draw(width, width, seed=2).T, []
    pencil = Pencil(turned, turned[0].abs())
    for count in (1, 16):
        torch.set_num_threads(count)
        found.append((times(rows, turned), product(rows.T, rows.T), pencil.solve(rows)))
    assert all(torch.equal(*pair) for pair in zip(*found, strict=True))


@pytest.mark.parametrize("path", EDITOR_FILES, ids=lambda path: path.stem)
def test_editors_multiply_by_nothing_else(path: Path) -> None:
    """`@` leaves it to how the factors lie in memory."""
    assert not any(isinstance(node, ast.MatMult) for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))))


@pytest.fixture(scope="module")
def wide() -> Any:
    """As wide as Stable Diffusion 2, where products split in yet another way when threads are many."""
    pipeline = tiny.pipeline()
    unet = UNet2DConditionModel(
        block_out_channels=(320, 640),
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        layers_per_block=1,
        cross_attention_dim=WIDE,
    )
    pipeline.register_modules(text_encoder=tiny.clip(width=WIDE).eval(), unet=unet)
    return pipeline


@pytest.mark.parametrize(
    ("editor", "settings"),
    [
        ("uce", {}),
        ("scapre", FEW),
        *(pytest.param(editor, {}, marks=pytest.mark.slow) for editor in EDITORS if editor not in ("scapre", "uce")),
        pytest.param("scapre", {**FEW, "informax": 1.0, "geometry": 0.5, "spectral": 1.0}, marks=pytest.mark.slow),
    ],
)
@pytest.mark.usefixtures("threads")
def test_nor_does_a_wide_one_on_the_sixteen_of_a_server(wide: Any, editor: str, settings: dict[str, Any]) -> None:
    targets = (Target("cat", ("cat", "kitty")), Target("car", ("car",), anchor="boat"))
    spec = EditSpec(targets, (Retain("dog", ("dog",)), Retain("horse", ("horse",))), editor, settings)
    assert len(digests(lambda: plan(wide, spec), (1, 16))) == 1


@pytest.mark.parametrize(
    ("editor", "settings"),
    [
        ("esd", {"iterations": 3, "steps": 3}),
        ("esd", {"iterations": 2, "steps": 3, "walks": "trained"}),
        pytest.param("salun", {"pictures": 4, "steps": 2, "epochs": 1, "batch": 4}, marks=pytest.mark.slow),
        pytest.param(
            "stereo",
            {"searches": 1, "iterations": 2, "steps": 4, "pictures": 2, "inversion_steps": 2},
            marks=pytest.mark.slow,
        ),
        ("advunlearn", {"iterations": 2, "warmup": 1, "attack_steps": 2, "paths": 2, "steps": 2, "rate": 1e-3}),
        pytest.param(
            "hardened", {**HARDENED.settings, "rounds": 1, "iterations": 2, "life": 1}, marks=pytest.mark.slow
        ),
    ],
)
@pytest.mark.usefixtures("threads")
def test_nor_does_a_training(
    model: Any, editor: str, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(denoiser, "AT_ONCE", 2)
    assert len(digests(lambda: make(model, EditSpec(TARGETS, KEPT, editor, settings)))) == 1


@pytest.mark.parametrize("prompts", [1, 3, 6, 17])
@pytest.mark.usefixtures("threads")
def test_what_the_encoder_makes_of_prompts_does_not_depend_on_them_either(model: Any, prompts: int) -> None:
    found = []
    for count in (1, 2, 3, 8):
        torch.set_num_threads(count)
        found.append(encode(model, [f"{number} pears" for number in range(prompts)]).embeddings)
    assert all(torch.equal(found[0], other) for other in found)


@pytest.mark.usefixtures("threads")
def test_nor_does_what_a_judge_makes_of_few_pictures() -> None:
    judge, shown, labels = ClipJudge(CLIP_JUDGE), pictures.load()[:6, 0], [item.name for item in OBJECTS]
    found = []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        found.append(judge.probabilities(shown, labels, "object"))
    assert all(np.array_equal(found[0], other) for other in found[1:])


@pytest.mark.parametrize("count", [2, 6, 64])
@pytest.mark.usefixtures("threads")
def test_what_a_judge_makes_of_pictures_does_not_depend_on_them_either(count: int) -> None:
    network, shown = ClipNetwork(CLIP_JUDGE), pictures.load()[:count, 0]
    found = []
    for threads in (1, 2, 3, 8):
        torch.set_num_threads(threads)
        read = network.features(shown)
        parts = (read.joint, read.pooled, read.perceptual)
        found.append((*parts, network.pictures(shown).numpy(), network.texts(["a photo of a pear"]).numpy()))
    assert all(np.array_equal(*pair) for other in found[1:] for pair in zip(found[0], other, strict=True))
