"""An attack is also its code and its wordings: where they change, it is another one."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from expunge.engine.probes.attacks import ATTACKS, making, making_digest
from expunge.engine.text import templates as wordings


def test_a_changed_line_of_any_attack_or_of_what_they_share_is_another_making(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = {path.name for path in making.CODE}
    assert {f"{name}.py" for name in ATTACKS} | {"words.py", "base.py", "denoising.py"} <= names
    copies = [Path(shutil.copy(path, tmp_path)) for path in making.CODE]
    monkeypatch.setattr(making, "CODE", copies)
    found = {making_digest.__wrapped__()}
    assert found == {making_digest()}
    for copy in copies:
        copy.write_text(copy.read_text(encoding="utf-8") + "\n", encoding="utf-8")
        found.add(making_digest.__wrapped__())
    assert len(found) == 1 + len(copies)


def test_a_changed_template_is_another_making(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = shutil.copytree(wordings.FOLDER, tmp_path / "templates")
    monkeypatch.setattr(wordings, "FOLDER", folder)
    assert making_digest.__wrapped__() == making_digest()
    (folder / "object.txt").write_text("a {} of another kind\n", encoding="utf-8")
    assert making_digest.__wrapped__() != making_digest()
