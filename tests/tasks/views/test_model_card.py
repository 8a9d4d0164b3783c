"""The model card as the hub and people read it: its front matter parses, its example runs, and no name breaks out."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import yaml
from huggingface_hub import ModelCard
from PIL import Image

from expunge.engine.emoji import MODEL
from expunge.engine.files.digests import folder_digest
from expunge.engine.models.load import open_model
from expunge.engine.models.sampling import generate
from expunge.engine.probes import Question
from expunge.engine.stats.verdict import Verdict
from expunge.tasks.core.work_order import Order, Ref
from expunge.tasks.evidence.examination import Examination, examination
from expunge.tasks.ledger.case import open_case
from expunge.tasks.report import describe, render_card
from expunge.tasks.restore import assemble_base
from expunge.tasks.views.assurances import WORDS_OR_WEIGHTS
from expunge.tasks.views.model_card import literal
from tests.engine.families import tiny_families
from tests.tasks.evidence.examined import new_order, verified

HOSTILE = "bicycle\n---\nbase_model: evil\n```\n<script>alert(1)</script>\n# PASS | `x` 'y' \"z\" \\"


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Order, Ref]:
    order = new_order(tmp_path_factory.mktemp("card"))
    verdict, _ = verified(order, lambda row: row.arm == "before" or row.role != "target")
    return order, verdict


@pytest.fixture
def card(done: tuple[Order, Ref]) -> str:
    order, verdict = done
    return render_card(open_case(order), Verdict.load(verdict.path)).decode()


def code_of(card: str) -> str:
    (code,) = re.findall(r"^```python\n(.*?)^```$", card, re.DOTALL | re.MULTILINE)
    return code


def test_the_hub_reads_the_front_matter(card: str) -> None:
    told = yaml.safe_load(card.split("---\n")[1])
    assert told == {
        "library_name": "diffusers",
        "pipeline_tag": "text-to-image",
        "tags": ["expunge", "concept-erasure", "by-words"],
    }
    read = ModelCard(card)
    assert read.data.to_dict() == told
    assert read.text.lstrip().startswith("# ")


def test_the_card_opens_with_the_verdict_and_says_what_it_says_and_what_not(card: str, done: tuple[Order, Ref]) -> None:
    _, verdict = done
    reached = Verdict.load(verdict.path)
    assert "**PASS.** bicycle: seen in 0 of" in card.split("## Use")[0]
    assert WORDS_OR_WEIGHTS in card
    says, silent = card.split("## What the verdict says")[1].split("## What it does not say")
    assert reached.assurance in says
    assert "A PASS is false with a chance of at most 5.0 %" in says
    for words in ("the mean over the prompts", "12 steps under guidance", "who has its weights", "no legal advice"):
        assert words in silent
    made = "concept_vector, other_settings, relearn, start_picture, each with a budget of its own"
    assert f"What was made is {made}" in silent
    assert "a trigger that was planted" in silent


def test_a_blank_line_stands_before_each_heading(done: tuple[Order, Ref]) -> None:
    order, verdict = done
    plain = Verdict.load(verdict.path)
    replaced = tuple(replace(one, noise=one.total, replaced_by=(("car", 2),)) for one in plain.targets)
    for result in (plain, replace(plain, targets=replaced)):
        lines = render_card(open_case(order), result).decode().split("---\n", 2)[2].splitlines()
        assert [after for before, after in pairwise(lines) if after.startswith("## ") and before] == []


def test_an_attempt_is_counted_into_the_chance_of_a_false_pass(done: tuple[Order, Ref]) -> None:
    order, verdict = done
    known = Verdict.load(verdict.path)
    third = replace(known, acceptance=replace(known.acceptance, attempt=3, confidence=0.99791666666667))
    told = render_card(open_case(order), third).decode()
    assert "a chance of at most 5.0 %, over all attempts on its targets together" in told


def test_without_an_attack_nothing_is_said_of_whoever_does_more_than_write_a_prompt(tmp_path: Path) -> None:
    order = new_order(tmp_path, "quick")
    verdict, _ = verified(order)
    told = render_card(open_case(order), Verdict.load(verdict.path)).decode()
    assert "- **Attacks.** None was made: nothing is said of anyone who does more than write a prompt." in told


def test_the_example_draws_what_the_verification_drew(
    card: str, done: tuple[Order, Ref], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order, _ = done
    (tmp_path / "model").symlink_to(MODEL)
    monkeypatch.chdir(tmp_path)
    exec(compile(code_of(card), "example", "exec"), {})
    exam = examination(order)
    shot = next(each.shot for each in exam.questions if each.subject.role != "target")
    pipeline = open_model(order.base_folder, order.base)
    ((_, drawn),) = generate(pipeline, [shot], exam.sampler)
    shown = np.asarray(Image.open(tmp_path / "picture.png"))
    np.testing.assert_allclose(shown.astype(int), drawn.astype(int), atol=2)


def test_attack_a_hostile_name_breaks_out_of_neither_front_matter_nor_code_nor_page(
    done: tuple[Order, Ref], monkeypatch: pytest.MonkeyPatch
) -> None:
    order, verdict = done
    exam = named_hostile(examination(order))
    for module in ("report.examination", "evidence.examination.examination"):
        monkeypatch.setattr(f"expunge.tasks.{module}", lambda _: exam)
    told = render_card(open_case(order), Verdict.load(verdict.path)).decode()
    assert yaml.safe_load(told.split("---\n")[1]).keys() == {"library_name", "pipeline_tag", "tags"}
    assert set(ModelCard(told).data.to_dict()) == {"library_name", "pipeline_tag", "tags"}
    assert [line for line in told.splitlines() if line.startswith("---")] == ["---", "---"]
    assert [line for line in told.splitlines() if line.startswith("```")] == ["```python", "```"]
    assert "<script" not in told
    assert re.findall(r"^# (.*)$", told, re.MULTILINE) == [f"{order.line}, edited"]
    asked = next(node for node in code_of(told).splitlines() if HOSTILE[:7] in node)
    assert eval(asked.strip().rstrip(",")) == HOSTILE


def named_hostile(exam: Examination) -> Examination:
    subjects = tuple(replace(subject, name=HOSTILE) for subject in exam.subjects)
    questions = tuple(Question(each.subject, each.probe, replace(each.shot, prompt=HOSTILE)) for each in exam.questions)
    return replace(exam, subjects=subjects, questions=questions)


@pytest.mark.parametrize("text", [HOSTILE, "\u2028", "a\\<b", "\U0001f6b2 & `", "\x00\x85"])
def test_a_literal_is_one_line_of_plain_letters_that_python_reads_back(text: str) -> None:
    written = literal(text)
    assert eval(written) == text
    assert written.isascii()
    assert len(written.splitlines()) == 1
    assert not set("<>&`") & set(written)


def test_a_model_of_videos_is_told_as_one_and_keeps_a_video(tmp_path: Path) -> None:
    tiny_families.unet3d().save_pretrained(folder := tmp_path / "video")
    order = replace(new_order(tmp_path, "quick"), base=folder_digest(folder), base_folder=folder)
    verdict, _ = verified(order)
    told = render_card(open_case(order), Verdict.load(verdict.path)).decode()
    assert ModelCard(told).data.to_dict()["pipeline_tag"] == "text-to-video"
    assert "export_to_video(output.frames[0]" in code_of(told)


def test_the_card_of_a_base_that_is_back_is_read_by_the_hub_too(done: tuple[Order, Ref]) -> None:
    order, _ = done
    assemble_base(order)
    told = ModelCard((order.folder / "bundle" / "README.md").read_text(encoding="utf-8"))
    read = told.data.to_dict()
    assert (read["library_name"], read["pipeline_tag"]) == ("diffusers", "text-to-image")
    assert "as it was" in told.text
    assert "from_pretrained" in code_of(told.content)
    shutil.rmtree(order.folder / "bundle")


def test_mlflow_is_told_figures_and_what_they_prove_of_what_passed_and_what_did_not(
    done: tuple[Order, Ref], tmp_path: Path
) -> None:
    order, verdict = done
    passed = describe(open_case(order), Verdict.load(verdict.path))
    assert passed.startswith("# shown: PASS\n\nbicycle: seen in 0 of")
    assert "## What it does not say" in passed
    failing = new_order(tmp_path, "quick")
    reached = Verdict.load(verified(failing, lambda _: True)[0].path)
    failed = describe(open_case(failing), reached)
    assert failed.startswith("# shown: FAIL\n\nNot accepted: bicycle: seen in")
    assert "The verdict is FAIL, so nothing is proven:" in failed
    assert failed.count("\n- ") >= len(reached.reasons)
    assert "A PASS is false" in failed
    assert "every byte was compared" not in failed
