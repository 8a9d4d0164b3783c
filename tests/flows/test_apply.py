"""`expunge export` and `expunge apply`: what they write is the edit, and what they refuse leaves nothing behind."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from diffusers import DDIMScheduler
from safetensors.torch import load_file
from typer.testing import CliRunner, Result

from expunge.engine.files.digests import folder_digest
from expunge.engine.models.load import open_model
from expunge.engine.planning.closed_form import plan
from expunge.engine.plans.edit_plan import apply as apply_plan
from expunge.engine.spec import EditSpec, Target
from expunge.flows.cli import app
from tests.engine import tiny
from tests.engine.families import tiny_families

SPEC = EditSpec((Target("cat", ("cat",)),), editor="uce")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`base`, `other` of the same shapes, `strange` of an unknown family, and `plan.safetensors` of `base`."""
    folder = tmp_path_factory.mktemp("apply")
    tiny.save(folder / "base")
    tiny.save(folder / "other", seed=1)
    tiny_families.sdxl().save_pretrained(folder / "strange")
    index = folder / "strange" / "model_index.json"
    index.write_text(index.read_text().replace("StableDiffusionXLPipeline", "KandinskyPipeline"))
    plan(open_model(folder / "base"), SPEC).save(folder / "plan.safetensors")
    return folder


def call(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def test_apply_writes_the_edited_model(folder: Path, tmp_path: Path) -> None:
    done = call("apply", folder / "plan.safetensors", "--to", folder / "base", "--out", tmp_path / "out", "--json")
    assert done.exit_code == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["sha256"] == folder_digest(tmp_path / "out")
    expected = open_model(folder / "base")
    made = plan(expected, SPEC)
    apply_plan(expected, made)
    written = open_model(tmp_path / "out").unet.state_dict()
    assert all(torch.equal(weight, written[name]) for name, weight in expected.unet.state_dict().items())
    assert (told["plan"], told["changed"]) == (made.digest, len(made.deltas))


@pytest.mark.parametrize(
    ("model", "code", "says"), [("other", 6, "digest"), ("strange", 3, "known pipelines"), ("none", 2, "builtin:emoji")]
)
def test_apply_refuses_another_model_and_leaves_nothing(
    folder: Path, tmp_path: Path, model: str, code: int, says: str
) -> None:
    done = call("apply", folder / "plan.safetensors", "--to", folder / model, "--out", tmp_path / "out")
    assert done.exit_code == code, done.stderr
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


def test_a_plan_that_was_altered_is_6(folder: Path, tmp_path: Path) -> None:
    raw = bytearray((folder / "plan.safetensors").read_bytes())
    raw[-1] ^= 1
    (tmp_path / "plan").write_bytes(raw)
    assert call("apply", tmp_path / "plan", "--to", folder / "base", "--out", tmp_path / "out").exit_code == 6
    assert not (tmp_path / "out").exists()


def test_what_is_there_already_is_never_written_over(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "precious").write_text("kept")
    for words in (
        ["apply", folder / "plan.safetensors", "--to", folder / "base"],
        ["export", folder / "plan.safetensors", "--to", "lora"],
    ):
        done = call(*words, "--out", tmp_path / "out")
        assert done.exit_code == 2
        assert "is there already" in done.stderr
    assert (tmp_path / "out" / "precious").read_text() == "kept"


def test_export_of_a_lora_says_its_rank_and_error(folder: Path, tmp_path: Path) -> None:
    done = call("export", folder / "plan.safetensors", "--to", "lora", "--out", tmp_path / "lora.safetensors", "--json")
    assert done.exit_code == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["rank"] == 1
    assert told["error"] < 1e-6
    names = load_file(tmp_path / "lora.safetensors").keys()
    assert names
    assert all(".lora_" in name for name in names)


def test_export_of_a_whole_model_needs_the_base_and_only_that_one(folder: Path, tmp_path: Path) -> None:
    def to(base: str | None) -> Result:
        given = ["--base", folder / base] if base else []
        return call("export", folder / "plan.safetensors", "--to", "single-file", "--out", tmp_path / "one", *given)

    assert (to(None).exit_code, to("other").exit_code) == (2, 6)
    assert not list(tmp_path.iterdir())
    assert to("base").exit_code == 0
    assert any(name.startswith("model.diffusion_model.") for name in load_file(tmp_path / "one"))


def test_a_base_or_a_rank_that_would_not_be_used_is_refused(folder: Path, tmp_path: Path) -> None:
    for form, given in (("delta", "--base"), ("lora", "--base"), ("lora-webui", "--base"), ("single-file", "--rank")):
        value = {"--base": folder / "other", "--rank": 4}[given]
        done = call("export", folder / "plan.safetensors", "--to", form, "--out", tmp_path / "out", given, value)
        assert done.exit_code == 2
        assert f"the format is {form}; leave it out" in " ".join(done.stderr.split())
    assert not list(tmp_path.iterdir())


def test_a_single_file_that_readers_would_sample_wrongly_is_exported_with_a_note(folder: Path, tmp_path: Path) -> None:
    tiny.save(tmp_path / "base")
    DDIMScheduler(prediction_type="v_prediction", clip_sample=False).save_pretrained(tmp_path / "base" / "scheduler")  # type: ignore[arg-type]
    words = ("export", folder / "plan.safetensors", "--to", "single-file", "--json")
    told = [
        json.loads(call(*words, "--base", at / "base", "--out", tmp_path / at.name).stdout) for at in (folder, tmp_path)
    ]
    assert "note" not in told[0]
    assert "predicts v_prediction" in told[1]["note"]


def test_an_unknown_format_is_2_and_names_those_there_are(folder: Path, tmp_path: Path) -> None:
    done = call("export", folder / "plan.safetensors", "--to", "ckpt", "--out", tmp_path / "out")
    assert done.exit_code == 2
    assert "single-file" in done.stderr


def test_export_of_a_folder_that_is_no_bundle_is_6_and_says_so(folder: Path, tmp_path: Path) -> None:
    done = call("export", folder / "base", "--to", "delta", "--out", tmp_path / "out")
    assert done.exit_code == 6
    assert "has no manifest.json, so it is no bundle" in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
