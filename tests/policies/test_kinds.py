"""A kind of notice is one file: intake, policy, floor, letters and the desk find it, and no list names it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from expunge.policies.kinds import KINDS, PRIVATE_KINDS, REQUESTS

ROOT = Path(__file__).parents[2]
PATENT = """
from datetime import timedelta

from expunge.policies.kinds.kind import LOCATED, SIGNED, Element, KindOfNotice, Term

KIND = KindOfNotice(
    name="patent",
    heading="Patent",
    words="patent notice",
    term=Term("five days, by contract", lambda received: received + timedelta(days=5)),
    elements=(
        Element("signature", "contract", "Please sign.", SIGNED),
        Element("number", "contract", "Please give the number of the patent.", ("patent number",)),
        Element("material", "contract", "Please name the material.", LOCATED),
    ),
)
"""
MAIL = "From: ada@example.org\nSubject: patent\n\nPatent number: 7\nMaterial: the blue heron\n"
ASK = """
import json
from datetime import UTC, datetime
from expunge.tasks.ledger.floor_store import floor_in_force
from expunge.policies.model.deadlines import due_after
from expunge.flows.desk.render import PAGES
print(json.dumps([floor_in_force().terms("patent").level, due_after("patent", datetime(2026, 1, 1, tzinfo=UTC)).day,
                  PAGES.globals["KINDS"]["patent"]]))
"""


@pytest.fixture(scope="module")
def patched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The code with one more file; all else are links to what is tested."""
    root = tmp_path_factory.mktemp("code")
    package = root / "expunge"
    package.mkdir()
    for path in (ROOT / "expunge").glob("*.py"):
        (package / path.name).symlink_to(path)
    for folder in ("engine", "tasks", "flows", "deployments"):
        (package / folder).symlink_to(ROOT / folder)
    shutil.copytree(ROOT / "policies", package / "policies", ignore=shutil.ignore_patterns("__pycache__"))
    (package / "policies" / "kinds" / "patent.py").write_text(PATENT)
    return root


def run(root: Path, *arguments: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(root), "EXPUNGE_HOME": str(root / "home")}
    environment.pop("EXPUNGE_FLOOR", None)
    done = subprocess.run([sys.executable, *arguments], env=environment, cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_new_kind_is_one_file(patched: Path) -> None:
    schema = json.loads(run(patched, "-m", "expunge.flows.cli", "schema"))
    assert "patent" in schema["properties"]["kind"]["enum"]
    assert json.loads(run(patched, "-c", ASK)) == ["quick", 6, "Patent"]


def test_its_notice_is_taken_in_and_answered(patched: Path) -> None:
    (patched / "notice.eml").write_text(MAIL)
    out = run(patched, "-m", "expunge.flows.cli", "receive", "notice.eml", "--kind", "patent", "--json")
    found = json.loads(out)
    assert (found["kind"], [one["element"] for one in found["missing"]]) == ("patent", ["signature"])
    letter = run(patched, "-m", "expunge.flows.cli", "letter", "missing-elements", found["request_id"])
    assert "Your patent notice came in" in letter
    assert "Please sign." in letter


def test_each_request_has_a_heading_and_words_of_its_own() -> None:
    assert len({KINDS[kind].heading for kind in REQUESTS}) == len({KINDS[kind].words for kind in REQUESTS}) == 7
    assert {"ncii", "privacy_erasure"} == PRIVATE_KINDS
