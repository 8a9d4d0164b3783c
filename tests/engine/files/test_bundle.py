"""The published folder: only the edit differs from the base, the digest is the content's, and any change is found."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from expunge.engine.errors import DigestMismatch, EditError, ModelFormatError
from expunge.engine.files.bundle import MANIFEST, assemble, verify_bundle
from expunge.engine.files.digests import file_digest, files
from expunge.engine.files.weight_variants import check_variants
from expunge.engine.models.load import open_model
from expunge.engine.planning.closed_form import plan
from expunge.engine.plans.apply import write_edited
from expunge.engine.plans.edit_plan import EditPlan, applied
from expunge.engine.spec import EditSpec, Target
from tests.engine.tiny import pipeline

SPEC = EditSpec((Target("cat", ("cat",)),), settings={"general_words": 20})


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base") / "model"
    pipeline().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def made(base: Path) -> EditPlan:
    return plan(open_model(base), SPEC)


@pytest.fixture(scope="module")
def edited(base: Path, made: EditPlan) -> Path:
    out = base.parent / "edited"
    write_edited(base, made, out)
    return out


def test_only_the_unets_weights_differ_from_the_base(base: Path, edited: Path) -> None:
    names = [path.relative_to(base) for path in files(base)]
    assert [path.relative_to(edited) for path in files(edited)] == names
    changed = [name.as_posix() for name in names if file_digest(base / name) != file_digest(edited / name)]
    assert changed == ["unet/diffusion_pytorch_model.safetensors"]


def test_the_folder_holds_the_weights_that_applying_the_plan_gives(base: Path, edited: Path) -> None:
    model = open_model(base)
    stored = load_file(edited / "unet" / "diffusion_pytorch_model.safetensors")
    with applied(model, plan(model, SPEC)):
        for name, weight in model.unet.state_dict().items():
            assert torch.allclose(weight, stored[name], atol=1e-6), name


def test_a_plan_for_another_model_is_refused_and_leaves_nothing(base: Path, tmp_path: Path) -> None:
    made = plan(open_model(base), SPEC)
    foreign = {f"{name}.elsewhere": delta for name, delta in made.deltas.items()}
    other = type(made)(foreign, made.spec, made.templates, made.base, made.editor, made.settings, made.diagnostics)
    with pytest.raises(EditError, match="not in the base"):
        write_edited(base, other, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def with_half(base: Path, out: Path) -> Path:
    """The base with its denoiser a second time, as the variant fp16; returned is that file."""
    shutil.copytree(base, out)
    path = out / "unet" / "diffusion_pytorch_model.fp16.safetensors"
    stored = load_file(out / "unet" / "diffusion_pytorch_model.safetensors")
    save_file({name: weight.half() for name, weight in stored.items()}, path)
    return path


def test_of_two_variants_the_larger_rounding_is_told(base: Path, made: EditPlan, tmp_path: Path) -> None:
    wide = write_edited(base, made, tmp_path / "wide")
    with_half(base, tmp_path / "model")
    both = write_edited(tmp_path / "model", made, tmp_path / "out")
    assert max(wide.values()) < 1e-6 < 1e-5 < min(both.values())


def test_a_variant_in_which_a_weight_has_another_name_is_refused_for_it_would_not_forget(
    base: Path, made: EditPlan, tmp_path: Path
) -> None:
    path = with_half(base, tmp_path / "model")
    save_file({f"model.{name}": weight for name, weight in load_file(path).items()}, path)
    with pytest.raises(EditError, match="is not in the variant fp16"):
        write_edited(tmp_path / "model", made, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("attacked", ["what the edit changes", "another weight"])
def test_attack_a_variant_from_which_the_edit_comes_out_as_the_weights_of_before(
    base: Path, made: EditPlan, tmp_path: Path, attacked: str
) -> None:
    path = with_half(base, tmp_path / "model")
    stored = load_file(path)
    if attacked == "another weight":
        stored["conv_in.bias"] = torch.nextafter(stored["conv_in.bias"], torch.tensor(torch.inf).half())
    else:
        for name, delta in made.deltas.items():
            key = name.removeprefix("unet.")
            stored[key] = (stored[key].float() - delta).half()
    save_file(stored, path)
    with pytest.raises(ModelFormatError, match=r"of the variant fp16 is not that of .*; remove the variant's files"):
        write_edited(tmp_path / "model", made, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("change", ["more", "fewer", "another shape"])
def test_attack_a_variant_holds_more_or_fewer_weights_or_in_another_shape(
    base: Path, made: EditPlan, tmp_path: Path, change: str
) -> None:
    path = with_half(base, tmp_path / "model")
    stored = load_file(path)
    bias = stored["conv_in.bias"] if change == "more" else stored.pop("conv_in.bias")
    save_file(
        {**stored, **{"more": {"x": bias.clone()}, "fewer": {}, "another shape": {"conv_in.bias": bias[None]}}[change]},
        path,
    )
    with pytest.raises(ModelFormatError, match="of the variant fp16 is not that of"):
        write_edited(tmp_path / "model", made, tmp_path / "out")


def test_attack_an_encoders_variant_reads_words_in_another_way(base: Path, made: EditPlan, tmp_path: Path) -> None:
    shutil.copytree(base, tmp_path / "model")
    other = pipeline(1)
    other.text_encoder.half().save_pretrained(tmp_path / "model" / "text_encoder", variant="fp16")
    with pytest.raises(ModelFormatError, match=r"text_encoder: \S+ of the variant fp16 is not that of"):
        write_edited(tmp_path / "model", made, tmp_path / "out")


def test_attack_an_autoencoders_variant_draws_pictures_that_nobody_judged(
    base: Path, made: EditPlan, tmp_path: Path
) -> None:
    shutil.copytree(base, tmp_path / "model")
    pipeline(1).vae.half().save_pretrained(tmp_path / "model" / "vae", variant="fp16")
    with pytest.raises(ModelFormatError, match=r"vae: \S+ of the variant fp16 is not that of"):
        write_edited(tmp_path / "model", made, tmp_path / "out")


def test_a_variant_of_the_edited_model_is_the_edited_weights_in_its_type(
    base: Path, made: EditPlan, tmp_path: Path
) -> None:
    with_half(base, tmp_path / "model")
    write_edited(tmp_path / "model", made, tmp_path / "out")
    check_variants(tmp_path / "out")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_variant_that_is_the_model_in_shards_and_in_its_own_type_is_edited(
    base: Path, made: EditPlan, tmp_path: Path, dtype: torch.dtype
) -> None:
    shutil.copytree(base, tmp_path / "model")
    variant = {torch.float16: "fp16", torch.bfloat16: "bf16"}[dtype]
    for part in ("unet", "text_encoder"):
        whole = getattr(pipeline(), part).to(dtype)
        whole.save_pretrained(tmp_path / "model" / part, variant=variant, max_shard_size="40KB")
    assert len(list((tmp_path / "model" / "unet").glob("*.safetensors"))) > 2
    assert write_edited(tmp_path / "model", made, tmp_path / "out").keys() == made.deltas.keys()


def test_of_shards_only_those_that_change_are_read(
    base: Path, made: EditPlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_model(base).save_pretrained(tmp_path / "model", max_shard_size="20KB")
    read: dict[str, set[str]] = {}

    class Noting:
        def __init__(self, path: Path, framework: str) -> None:
            self.name, self.handle = path.name, safe_open(path, framework)

        def __enter__(self) -> Noting:
            return self

        def __exit__(self, *_: object) -> None: ...

        def __getattr__(self, name: str) -> Any:
            return getattr(self.handle, name)

        def get_tensor(self, key: str) -> torch.Tensor:
            read.setdefault(self.name, set()).add(f"unet.{key}")
            return self.handle.get_tensor(key)

    monkeypatch.setattr("expunge.engine.plans.apply.safe_open", Noting)
    write_edited(tmp_path / "model", made, tmp_path / "out")
    assert 0 < len(read) < len(list((tmp_path / "model" / "unet").glob("*.safetensors")))
    assert all(names & made.deltas.keys() for names in read.values())


def test_the_same_content_gives_the_same_digest(edited: Path, tmp_path: Path) -> None:
    digests = {assemble(edited, {"card.md": b"# card"}, tmp_path / name) for name in ("one", "two")}
    assert len(digests) == 1
    assert digests != {assemble(edited, {"card.md": b"# other"}, tmp_path / "three")}
    assert {verify_bundle(tmp_path / "one")} == digests


@pytest.mark.parametrize("attack", ["changed", "missing", "extra"])
def test_a_bundle_that_was_touched_is_found_out(edited: Path, tmp_path: Path, attack: str) -> None:
    assemble(edited, {"card.md": b"# card"}, tmp_path / "bundle")
    victim = tmp_path / "bundle" / "card.md"
    if attack == "changed":
        victim.write_bytes(b"# Card")
    elif attack == "missing":
        victim.unlink()
    else:
        victim.with_name("more.md").write_bytes(b"")
    with pytest.raises(DigestMismatch, match=r"card\.md|more\.md"):
        verify_bundle(tmp_path / "bundle")


def test_a_manifest_that_was_rewritten_is_found_out(edited: Path, tmp_path: Path) -> None:
    assemble(edited, {"card.md": b"# card"}, tmp_path / "bundle")
    manifest = tmp_path / "bundle" / MANIFEST
    listed = json.loads(manifest.read_bytes())
    del listed["files"]["card.md"]
    manifest.write_text(json.dumps(listed))
    with pytest.raises(DigestMismatch, match="not in the manifest"):
        verify_bundle(tmp_path / "bundle")


@pytest.mark.parametrize(
    "manifest", [None, b"", b"[]", b"{}", b'{"files": []}', b'{"files": {"a": 1}}', b'{"files": {}}']
)
def test_a_folder_that_is_no_bundle_is_refused(edited: Path, tmp_path: Path, manifest: bytes | None) -> None:
    assemble(edited, {}, tmp_path / "bundle")
    if manifest is None:
        (tmp_path / "bundle" / MANIFEST).unlink()
    else:
        (tmp_path / "bundle" / MANIFEST).write_bytes(manifest)
    with pytest.raises(
        ModelFormatError, match=r"no manifest\.json, so it is no bundle|is not the manifest|lists no file"
    ):
        verify_bundle(tmp_path / "bundle")
