"""What is exported is the edit, in whatever form, and nothing that is there already is written over."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from safetensors import safe_open

from expunge.engine.errors import DigestMismatch, ModelFormatError, SettingError
from expunge.engine.files.bundle import assemble
from expunge.engine.files.digests import files, folder_digest
from expunge.engine.plans.apply import write_edited
from expunge.engine.plans.edit_plan import EditPlan
from expunge.engine.plans.export import apply_to_folder, export
from expunge.engine.plans.single_file import write_single_file


def test_a_bundle_is_exported_after_its_manifest_was_checked(base: Path, made: EditPlan, tmp_path: Path) -> None:
    made.save(tmp_path / "deltas.safetensors")
    apply_to_folder(made, base, tmp_path / "edited")
    assemble(tmp_path / "edited", {"deltas.safetensors": tmp_path / "deltas.safetensors"}, tmp_path / "bundle")
    for form in ("diffusers", "delta", "lora", "single-file"):
        assert export(tmp_path / "bundle", form, tmp_path / form).plan == made.digest
    assert folder_digest(tmp_path / "diffusers") == folder_digest(tmp_path / "edited")
    assert (tmp_path / "delta").read_bytes() == (tmp_path / "deltas.safetensors").read_bytes()
    write_single_file(tmp_path / "edited", tmp_path / "again")
    assert (tmp_path / "single-file").read_bytes() == (tmp_path / "again").read_bytes()
    for form in ("diffusers", "single-file"):
        with pytest.raises(SettingError, match="is a bundle, which holds the model; leave it out"):
            export(tmp_path / "bundle", form, tmp_path / "refused", base)
    (tmp_path / "bundle" / "model" / "model_index.json").write_text("{}")
    with pytest.raises(DigestMismatch, match="model_index"):
        export(tmp_path / "bundle", "lora", tmp_path / "refused")
    assert not (tmp_path / "refused").exists()


def test_what_an_older_bundle_holds_beside_its_model_is_not_handed_on(
    base: Path, made: EditPlan, tmp_path: Path
) -> None:
    made.save(tmp_path / "deltas.safetensors")
    apply_to_folder(made, base, tmp_path / "edited")
    shutil.copy(base / "unet" / "diffusion_pytorch_model.safetensors", tmp_path / "edited" / "whole.safetensors")
    assemble(tmp_path / "edited", {"deltas.safetensors": tmp_path / "deltas.safetensors"}, tmp_path / "bundle")
    for form in ("diffusers", "single-file"):
        with pytest.raises(ModelFormatError, match=r"whole\.safetensors"):
            export(tmp_path / "bundle", form, tmp_path / form)
        assert not (tmp_path / form).exists()


def test_the_lora_states_its_error(made: EditPlan, saved: Path, tmp_path: Path) -> None:
    result = export(saved, "lora", tmp_path / "lora.safetensors", rank=1)
    with safe_open(tmp_path / "lora.safetensors", "pt") as handle:
        assert json.loads(handle.metadata()["expunge"])["error"] == result.error
    assert set(result.ranks.values()) == {1}


def test_nothing_is_written_into_what_is_read(base: Path, made: EditPlan, saved: Path, tmp_path: Path) -> None:
    before = folder_digest(base)
    apply_to_folder(made, base, tmp_path / "edited")
    assemble(tmp_path / "edited", {"deltas.safetensors": saved}, tmp_path / "bundle")
    manifest = sorted((tmp_path / "bundle").rglob("*"))
    for source, form, out, whole in (
        (saved, "diffusers", base / "inside", base),
        (tmp_path / "bundle", "lora", tmp_path / "bundle" / "lora.safetensors", None),
        (tmp_path / "bundle" / "deltas.safetensors", "lora", tmp_path / "bundle" / "lora.safetensors", None),
    ):
        with pytest.raises(SettingError, match=r"lies in .*name one beside it"):
            export(source, form, out, whole)
    with pytest.raises(SettingError, match="lies in"):
        apply_to_folder(made, base, base / "unet" / "edited")
    with pytest.raises(SettingError, match="lies in"):
        apply_to_folder(made, base, tmp_path / "bundle" / "edited", tmp_path / "bundle" / "deltas.safetensors")
    assert folder_digest(base) == before
    assert sorted((tmp_path / "bundle").rglob("*")) == manifest


def test_what_is_written_may_be_read_by_whoever_may_read_the_rest(
    base: Path, made: EditPlan, saved: Path, tmp_path: Path
) -> None:
    apply_to_folder(made, base, tmp_path / "out")
    export(saved, "lora", tmp_path / "lora.safetensors")
    (tmp_path / "plain").touch()
    usual = (tmp_path / "plain").stat().st_mode
    written = [*(path for path in (tmp_path / "out").rglob("*") if path.is_file()), tmp_path / "lora.safetensors"]
    assert {path.stat().st_mode for path in written} == {usual}
    assert not list(tmp_path.rglob("*.mode"))


def test_what_is_there_already_is_never_written_over(base: Path, made: EditPlan, saved: Path, tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "thesis.txt").write_text("years of work")
    before = folder_digest(base)
    for taken in (tmp_path / "precious", base, saved):
        for write in (lambda out: export(saved, "diffusers", out, base), lambda out: apply_to_folder(made, base, out)):
            with pytest.raises(SettingError, match="is there already"):
                write(taken)
    assert (tmp_path / "precious" / "thesis.txt").read_text() == "years of work"
    assert folder_digest(base) == before


@pytest.mark.parametrize("form", ["diffusers", "delta", "lora", "single-file"])
def test_of_two_runs_that_write_to_one_name_the_later_is_refused_and_the_earlier_stays_whole(
    base: Path, made: EditPlan, saved: Path, tmp_path: Path, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, load, whole = tmp_path / "out", EditPlan.load, base if form in ("diffusers", "single-file") else None

    def overtaken(path: Path) -> EditPlan:
        monkeypatch.setattr(EditPlan, "load", load)
        export(saved, form, out, whole)
        return load(path)

    export(saved, form, tmp_path / "alone", whole)
    monkeypatch.setattr(EditPlan, "load", overtaken)
    with pytest.raises(SettingError, match="out is there already"):
        export(saved, form, out, whole)
    one, other = (
        [path.read_bytes() for path in files(each)] if each.is_dir() else each.read_bytes()
        for each in (out, tmp_path / "alone")
    )
    assert one == other
    assert {path.name for path in tmp_path.iterdir()} == {"plan.safetensors", "alone", "out"}


@pytest.mark.parametrize("at", ["expunge.engine.plans.apply.save_whole", "expunge.engine.plans.single_file.save_whole"])
def test_of_a_run_that_failed_nothing_is_left(
    base: Path, made: EditPlan, saved: Path, tmp_path: Path, at: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(at, full)
    with pytest.raises(OSError, match="No space"):
        export(saved, "single-file", tmp_path / "out", base)
    if "rewriting" in at:
        for write in (apply_to_folder, lambda made, base, out: write_edited(base, made, out)):
            with pytest.raises(OSError, match="No space"):
                write(made, base, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["plan.safetensors"]


def test_wishes_that_make_no_sense_are_refused(saved: Path, base: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"there is no folder .*nowhere; make it first"):
        export(saved, "delta", tmp_path / "nowhere" / "edit")
    with pytest.raises(SettingError, match=r"format 'ckpt' .*single-file"):
        export(saved, "ckpt", tmp_path / "out", base)
    with pytest.raises(SettingError, match="name the base"):
        export(saved, "diffusers", tmp_path / "out")
    with pytest.raises(SettingError, match="a rank is for a LoRA"):
        export(saved, "delta", tmp_path / "out", rank=4)
    with pytest.raises(ModelFormatError, match="plan the edit again"):
        export(files(base)[0], "delta", tmp_path / "out")
    assert not (tmp_path / "out").exists()
