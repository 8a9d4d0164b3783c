"""One file adds an editor, a trainer, a family, an attack or a judge; no list is to be kept beside the folder."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from expunge.engine.discover import discover, offering
from expunge.engine.errors import EngineError

ROOT = Path(__file__).parents[2]
FOLDERS = {
    "editors": ("EDITOR", "oce.py"),
    "editors/training": ("TRAINER", "esd.py"),
    "families": ("FAMILY", "sd3.py"),
    "probes/attacks": ("ATTACK", "other_settings.py"),
    "probes/attacks/compared": ("ATTACK", "tina.py"),
    "judges": ("JUDGE", "explicit.py"),
}
ASK = """
import json
from expunge.engine.editors import EDITORS
from expunge.engine.editors.training import TRAINERS
from expunge.engine.families import FAMILIES
from expunge.engine.judges.card import kinds
from expunge.engine.planning.make import KNOWN
from expunge.engine.probes import attacks
from expunge.engine.probes.attacks.compared import COMPARED
from expunge.engine.stats.limits.attack_names import ATTACKS
names = [EDITORS, TRAINERS, [family.name for family in FAMILIES], kinds(), attacks.ATTACKS, COMPARED]
print(json.dumps([[list(each) for each in names], list(KNOWN), ATTACKS]))
"""


def renamed(source: str, name: str) -> str:
    """Return a part's module with its own name, which stands in quotes in the part or its class, replaced by `new`."""
    if found := re.search(r'name: ClassVar\[str\] = "(\w+)"', source):
        return source.replace(f'"{found[1]}"', '"new"')
    tail = source[source.rindex(f"\n{name}") :]
    return source.removesuffix(tail) + re.sub(r'"[\w\- ]+"', '"new"', tail, count=1)


def test_one_new_file_adds_a_part_of_each_kind(tmp_path: Path) -> None:
    place = tmp_path / "expunge"
    shutil.copytree(ROOT / "engine", place / "engine", ignore=shutil.ignore_patterns("emoji", "__pycache__"))
    (place / "__init__.py").write_text("")
    for folder, (name, like) in FOLDERS.items():
        source = (place / "engine" / folder / like).read_text(encoding="utf-8")
        (place / "engine" / folder / "new.py").write_text(renamed(source, name), encoding="utf-8")
    done = subprocess.run([sys.executable, "-c", ASK], cwd=tmp_path, capture_output=True, text=True, check=True)
    found, editors, attacks = json.loads(done.stdout.splitlines()[-1])
    assert [names.count("new") for names in found] == [1] * len(FOLDERS)
    assert (editors.count("new"), attacks.count("new")) == (2, 1), "one editor in closed form, and one that trains"


def test_a_module_that_only_imports_the_object_or_compares_it_offers_nothing(tmp_path: Path) -> None:
    (tmp_path / "plain.py").write_text("PART = 1\n")
    (tmp_path / "typed.py").write_text("PART: dict[str, int] = {}\n")
    (tmp_path / "imports.py").write_text("from x import PART\nif PART == 1:\n    PART\n")
    (tmp_path / "longer.py").write_text("PARTS = 1\nPART == 1\n")
    assert offering(tmp_path, "PART") == ["plain", "typed"]


def test_attack_a_second_file_takes_the_name_of_a_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "twice_the_name"
    package.mkdir()
    for module in ("__init__", "one", "two"):
        text = (
            "class PART:\n    name = 'same'\n"
            if module == "__init__"
            else "from twice_the_name import PART\nPART = PART\n"
        )
        (package / f"{module}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(EngineError, match=r"two parts called 'same'; rename the one in two\.py"):
        discover("twice_the_name", "PART")
