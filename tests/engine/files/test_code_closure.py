"""What is kept is kept under the code that made it: no file on the way to a picture, a word or an attack is missing."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from expunge.engine.files.code_closure import ENGINE, closure, closure_digest
from expunge.engine.models.sampling import drawing_digest
from expunge.engine.planning.embedding_cache import reading_digest
from expunge.engine.probes.attacks import making_digest

ROOTS = {
    drawing_digest: ("models.sampling", "models.load", "models.picture_store"),
    reading_digest: ("planning.concept_embeddings",),
    making_digest: ("probes.attacks",),
}
SHARED = ("canonical_json.py", "errors.py")
"""What the engine shares with the policies, which lies beside both."""
EXAMPLES = {
    drawing_digest: {
        "text/encoding.py",
        "text/encoded.py",
        "families/chat_template.py",
        "families/sdxl.py",
        "linalg.py",
        *(f"../{name}" for name in SHARED),
    },
    reading_digest: {"text/encoded.py", "text/vocabulary.py", "text/wordings/general.txt", "editors/base.py"},
    making_digest: {
        "models/denoising.py",
        "probes/attacks/words.py",
        "probes/prompts/homoglyphs.tsv",
        "families/base.py",
    },
}
DRAW = """
import sys, json, tempfile
from pathlib import Path
from expunge.engine.models.load import open_model
from expunge.engine.models.picture_store import PictureStore
from expunge.engine.models.sampling import Sampler, Shot
store = PictureStore(Path(tempfile.mkdtemp()))
store.draw(open_model(sys.argv[1]), "0" * 64, [Shot("a red apple", 1)], Sampler(steps=1))
print(json.dumps([name for name in sys.modules if name.startswith("expunge.engine")]))
"""
READ = """
import sys, json, tempfile
from expunge.engine.planning.concept_embeddings import *
print(json.dumps([name for name in sys.modules if name.startswith("expunge.engine")]))
"""
ATTACK = """
import sys, json, tempfile
from expunge.engine.probes.attacks import *
print(json.dumps([name for name in sys.modules if name.startswith("expunge.engine")]))
"""


@cache
def copied(folder: Path) -> Path:
    for shared in SHARED:
        shutil.copyfile(ENGINE.parent / shared, folder / shared)
    return Path(
        shutil.copytree(ENGINE, folder / "engine", ignore=shutil.ignore_patterns("emoji", "__pycache__"))
    ).resolve()


@pytest.mark.parametrize("digest", ROOTS, ids=lambda digest: digest.__name__)
def test_attack_a_file_on_the_way_changes_and_old_evidence_is_taken_for_new(digest, tmp_path: Path) -> None:
    engine = copied(tmp_path)
    assert EXAMPLES[digest] <= {name for name, _ in closure(*ROOTS[digest], engine=engine)}
    found = {closure_digest(*ROOTS[digest], engine=engine)}
    assert found == {digest()}
    files = closure(*ROOTS[digest], engine=engine)
    for _, path in files:
        before = path.read_bytes()
        path.write_bytes(before + b"\n")
        found.add(closure_digest(*ROOTS[digest], engine=engine))
        path.write_bytes(before)
    assert len(found) == 1 + len(files)


@pytest.mark.parametrize(
    ("digest", "script"),
    [
        (drawing_digest, DRAW),
        pytest.param(reading_digest, READ, marks=pytest.mark.slow),
        pytest.param(making_digest, ATTACK, marks=pytest.mark.slow),
    ],
    ids=["drawing", "reading", "attacking"],
)
def test_no_module_that_python_loads_on_the_way_is_missing(digest, script: str) -> None:
    model = str(ENGINE / "emoji" / "model")
    done = subprocess.run([sys.executable, "-c", script, model], capture_output=True, text=True, check=True)
    loaded = {
        name.removeprefix("expunge.engine").removeprefix(".") for name in json.loads(done.stdout.splitlines()[-1])
    }
    listed = {
        name.removesuffix(".py").removesuffix("__init__").strip("/").replace("/", ".")
        for name, _ in closure(*ROOTS[digest])
    }
    assert {"", "families.sd", "files.code_closure"} <= loaded
    assert loaded - listed == set()


def test_imports_count_wherever_they_stand_and_however_they_are_written(tmp_path: Path) -> None:
    files = {
        "__init__.py": "",
        "root.py": "def late():\n    from expunge.engine.one import name\n",
        "one/__init__.py": "",
        "one/name.py": "from . import sibling\nfrom ..two import thing\nif 0:\n    import expunge.engine.three.far\n",
        "one/sibling.py": "",
        "one/words.txt": "words",
        "one/more/deep.tsv": "deep",
        "two.py": "thing = 1\n",
        "three/__init__.py": "from importlib import import_module as load\nload(name)\n",
        "three/far.py": "from torch import nn\n",
        "three/by_name.py": "",
        "four.py": "",
    }
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    assert {name for name, _ in closure("root", engine=tmp_path)} == files.keys() - {"four.py"}
    with pytest.raises(ModuleNotFoundError, match="'five' is no module"):
        closure("root", "five", engine=tmp_path)
