"""Models and edits that several files of tests share.

Each fixture imports what it needs: tests of figures alone would else wait for torch and diffusers.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import numpy as np

    from expunge.engine.plans.edit_plan import EditPlan
    from expunge.engine.probes.attacks import Kept


@pytest.fixture(scope="module")
def built() -> Any:
    from tests.engine import tiny

    return tiny.pipeline()


@pytest.fixture
def pipeline(built: Any) -> Any:
    """A test that leaves the pipeline other than it was would spoil the next, so it fails itself."""
    from tests.engine.digests import at_rest

    before = at_rest(built)
    yield built
    assert at_rest(built) == before


@pytest.fixture(scope="module")
def references(built: Any) -> np.ndarray:
    """Pictures of the concept that is attacked."""
    import numpy as np

    from tests.engine.probes.attacks.tiny_attacks import pictures

    return np.stack(pictures(built, ["a cat", "a cat in the garden"]))


@pytest.fixture(scope="module")
def kept(built: Any) -> list[Kept]:
    from expunge.engine.probes.attacks import Kept
    from tests.engine.probes.attacks.tiny_attacks import pictures

    prompts = ["a dog", "a tree"]
    return [Kept(*pair) for pair in zip(prompts, pictures(built, prompts), strict=True)]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a model that an edit is exported for."""
    from tests.engine import tiny

    return tiny.save(tmp_path_factory.mktemp("base") / "model")


@pytest.fixture(scope="module")
def made(base: Path) -> EditPlan:
    from expunge.engine.models.load import open_model
    from expunge.engine.planning.closed_form import plan
    from tests.engine.plans.exported import SPEC

    return plan(open_model(base), SPEC)


@pytest.fixture
def saved(made: EditPlan, tmp_path: Path) -> Path:
    """The file of the edit."""
    made.save(tmp_path / "plan.safetensors")
    return tmp_path / "plan.safetensors"
