"""Classes that read text as their family does and are asked in another way: edited like it, and asked for nothing."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import pytest

from expunge.engine.errors import UnknownArchitecture
from expunge.engine.families import FAMILIES, Family, projections
from expunge.engine.files.digests import folder_digest
from expunge.engine.models.load import open_model
from expunge.engine.models.sampling import Sampler, Shot, generate
from expunge.engine.planning.closed_form import plan
from expunge.engine.plans.edit_plan import applied
from expunge.engine.plans.export import apply_to_folder
from expunge.engine.spec import EditSpec, Target
from expunge.policies import PolicyError, read
from tests.engine import tiny
from tests.engine.families import tiny_families
from tests.flows.conftest import policy_file
from tests.tasks.handed_in import order_of

SPEC = EditSpec((Target("cat", ("cat",), anchor="dog"),), editor="uce")
BUILDERS: dict[str, Callable[[], Any]] = {
    "stable-diffusion": tiny.pipeline,
    "stable-diffusion-xl": tiny_families.sdxl,
    "stable-diffusion-3": tiny_families.sd3,
    "flux": tiny_families.flux,
    "text-to-video": tiny_families.unet3d,
    "wan": tiny_families.wan,
    "ltx": tiny_families.ltx,
    "cogvideox": tiny_families.cogvideox,
    "z-image": tiny_families.z_image,
    "qwen-image": tiny_families.qwen_image,
}
FURTHER = [(family, name) for family in FAMILIES for name in family.further]


def told(method: Any) -> str:
    """The code of a method without its comments and docstring."""
    code = re.sub(r'""".*?"""', "", re.sub(r"#.*", "", inspect.getsource(method)), flags=re.S)
    return re.sub(r"\s+", " ", code)


def of_class(name: str, plain: Any) -> Any:
    """A pipeline of the class from the parts of a plain one."""
    kind = getattr(diffusers, name)
    return kind(**{part: held for part, held in plain.components.items() if part in signature(kind)})


def signature(kind: Any) -> dict[str, Any]:
    return dict(inspect.signature(kind.__init__).parameters)


@pytest.mark.parametrize(("family", "name"), FURTHER, ids=lambda value: getattr(value, "name", value))
def test_it_reads_text_by_the_very_code_of_its_family(family: Family, name: str) -> None:
    first, further = (getattr(diffusers, each) for each in (family.pipelines[0], name))
    assert told(first.encode_prompt) == told(further.encode_prompt)
    most = [inspect.signature(kind.__call__).parameters.get("max_sequence_length") for kind in (first, further)]
    assert len({parameter and parameter.default for parameter in most}) == 1


def test_code_that_differs_is_told_apart() -> None:
    first, other = diffusers.StableDiffusionXLPipeline, diffusers.StableDiffusionXLInstructPix2PixPipeline
    assert told(first.encode_prompt) != told(other.encode_prompt)


@pytest.mark.parametrize(("family", "name"), FURTHER, ids=lambda value: getattr(value, "name", value))
def test_its_edit_is_that_of_its_family(family: Family, name: str) -> None:
    plain = BUILDERS[family.name]()
    further, expected = of_class(name, plain), plan(plain, SPEC)
    made = plan(further, SPEC)
    assert made.deltas
    assert all(delta.equal(expected.deltas[weight]) for weight, delta in made.deltas.items())
    before = {projection.name: projection.weight.clone() for projection in projections(further)}
    with applied(further, made):
        changed = {p.name for p in projections(further) if not p.weight.equal(before[p.name])}
    assert changed == set(made.deltas)
    with pytest.raises(UnknownArchitecture, match=f"a {name} is asked in another way than a {family.pipelines[0]}"):
        next(iter(generate(further, [Shot("a cat", 0)], Sampler(steps=1))))


@pytest.fixture
def inpainting(tmp_path: Path) -> Path:
    tiny.save(folder := tmp_path / "inpainting")
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps({**index, "_class_name": "StableDiffusionInpaintPipeline"}))
    return folder


def test_a_folder_is_opened_and_edited_as_what_it_is(inpainting: Path, tmp_path: Path) -> None:
    model = open_model(inpainting)
    assert type(model).__name__ == "StableDiffusionInpaintPipeline"
    apply_to_folder(made := plan(model, SPEC), inpainting, tmp_path / "edited")
    with applied(model, made):
        after = {projection.name: projection.weight for projection in projections(model)}
        found = {projection.name: projection.weight for projection in projections(open_model(tmp_path / "edited"))}
        assert all(weight.equal(found[name]) for name, weight in after.items())


def test_a_takedown_on_what_cannot_be_asked_is_refused_before_any_work(
    inpainting: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = policy_file(tmp_path, folder_digest(inpainting), "inpaint")
    raw = json.loads(path.read_text())
    raw["base"]["uri"] = f"file:{inpainting}"
    path.write_text(json.dumps(raw))
    monkeypatch.setenv("EXPUNGE_JUDGE", str(tmp_path))
    with pytest.raises(PolicyError, match=r"base\.uri: a StableDiffusionInpaintPipeline is asked in another way"):
        order_of(read(path), tmp_path / "home")
