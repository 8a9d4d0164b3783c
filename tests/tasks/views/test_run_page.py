"""Prefect's page of a run says the outcome as the run ends with it, and shows no name or picture of a person."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from expunge.engine.stats.verdict import Verdict
from expunge.tasks.views import run_page
from expunge.tasks.views.run_page import picture_of, show_sheets, verdict_page
from tests.tasks.evidence.examined import new_order, verified


def test_attack_a_pass_that_the_gate_doubts_is_told_as_none(tmp_path: Path) -> None:
    order = new_order(tmp_path, "quick")
    verdict = Verdict.load(verified(order, lambda row: row.arm == "before" or row.role != "target")[0].path)
    assert verdict_page(order, verdict, named=True).startswith("# PASS: shown")
    doubted = verdict_page(order, verdict, True, ["panda | <b>"])
    assert doubted.startswith("# ERROR: shown")
    assert "- panda \\| \\<b\\>" in doubted
    assert "What had to stay is still there" not in doubted
    hidden = verdict_page(order, verdict, False, ["panda"])
    assert hidden.startswith("# ERROR: shown")
    assert "panda" not in hidden
    assert "bicycle" not in hidden


def test_no_picture_of_a_person_leaves_the_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order, sent = new_order(tmp_path, "quick"), list[str]()
    (order.folder / "sheets").mkdir()
    for name in ("attacks", "targets"):
        Image.new("RGB", (3000, 40)).save(order.folder / "sheets" / f"{name}.png")
    monkeypatch.setattr(run_page, "create_image_artifact", lambda *words: sent.append(words[2]))
    show_sheets(order, named=False)
    assert sent == []
    show_sheets(order, named=True)
    assert sent == ["What had to go, before and after"]
    assert len(picture_of(order.folder / "sheets" / "targets.png")) < 10_000
