"""What the documents list is what there is: fields of a policy, settings of editors, variables of the environment."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import MISSING, fields
from decimal import Decimal
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from expunge.engine.editors import EDITORS
from expunge.engine.editors.training import TRAINERS
from expunge.engine.emoji import JUDGE, MODEL
from expunge.engine.files.digests import folder_digest
from expunge.engine.judges.error import read as judge_errors
from expunge.engine.planning.auto_search import AUTO, AutoSettings
from expunge.engine.planning.make import KNOWN
from expunge.engine.stats.bounds.clopper_pearson import fewest
from expunge.engine.stats.estimates import METHODS, drop_bounds
from expunge.engine.stats.limits.acceptance import Sampling
from expunge.engine.stats.limits.attempts import confidence_at
from expunge.policies import Policy, parse
from expunge.tasks.ledger.line.requests import STATES

ROOT = Path(__file__).parents[1]
REFERENCE = (ROOT / "docs" / "policy.md").read_text(encoding="utf-8")
ROOMS = ("engine", "policies", "tasks", "flows", "deployments")
CODE = [path for room in ROOMS for path in (ROOT / room).rglob("*.py")]
VARIABLE = re.compile(r"\bEXPUNGE_[A-Z0-9_]+\b")


def documented(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Each field of a policy by its dotted name, and its default as the file would have it."""
    for name, info in model.model_fields.items():
        kinds = [kind for kind in (info.annotation, *get_args(info.annotation)) if isinstance(kind, type)]
        inner = next((kind for kind in kinds if issubclass(kind, BaseModel)), None)
        if inner is None:
            default = info.get_default(call_default_factory=True)
            yield f"{prefix}{name}", "required" if default is PydanticUndefined else f"`{shown(default)}`"
        else:
            yield from documented(inner, f"{prefix}{name}{'' if inner is info.annotation else '[]'}.")


def settings_of(editor: str) -> type[Any]:
    if editor in TRAINERS:
        return TRAINERS[editor].settings
    return AutoSettings if editor == AUTO else EDITORS[editor].settings


def shown(value: Any) -> str:
    """As a policy file writes it, which has no exponents."""
    if isinstance(value, float) and "e" in repr(value):
        return f"{Decimal(repr(value)):f}"
    return value if isinstance(value, str) and value else json.dumps(value)


def test_the_reference_has_every_field_of_a_policy_with_its_default_and_no_other() -> None:
    rows = re.findall(r"^\| `([\w.\[\]]+)` \| .* \| (\S+) \|$", REFERENCE, re.MULTILINE)
    assert sorted(rows) == sorted(documented(Policy))


@pytest.mark.parametrize("editor", KNOWN)
def test_the_reference_has_every_setting_with_its_default(editor: str) -> None:
    given = fields(settings_of(editor))
    assert all(one.default is not MISSING for one in given)
    wanted = ", ".join(f"`{one.name}: {shown(one.default)}`" for one in given)
    assert f"\n- `{editor}`: {wanted}\n" in REFERENCE


def test_what_the_reference_says_a_group_needs_is_what_proves_it() -> None:
    """At a first attempt with the default confidence, and the error of the built-in judge on objects."""
    error, sure = judge_errors(JUDGE)["object"], confidence_at(0.95, 1)

    def fewest_pairs(sampling: Sampling, limit: float) -> int:
        return fewest(lambda n: drop_bounds(METHODS[sampling], 0, 0, n, sure, error)[1] <= limit)

    told = f"0.05 needs {fewest_pairs('fixed', 0.05)} pictures of a group with none lost "
    told += f"({fewest_pairs('sequential', 0.05)} in rounds) and 0.1 needs {fewest_pairs('fixed', 0.1)}. "
    assert told in REFERENCE.replace("\n", " ")


def test_the_reference_has_every_state_of_a_request() -> None:
    (table,) = re.findall(r"^\| state \| .*\n(?:\|.*\n)+", REFERENCE, re.MULTILINE)
    told = {name for row in table.splitlines()[2:] for name in re.findall(r"`(\w+)`", row.split(" | ")[0])}
    assert told == {*STATES.values(), "replaced", "restored", "suspect", "countered", "rescinded"}


def test_the_page_for_python_runs_as_it_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    names: dict[str, Any] = {}
    for block in re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL):
        exec(compile(block, "python.md", "exec"), names)
    unedited, scapre, *_ = capsys.readouterr().out.splitlines()
    assert unedited == "unedited [True, True, True, True]"
    assert scapre.startswith("scapre [False, False, True, True] largest change")
    assert (tmp_path / "edited" / "model_index.json").exists()


def test_the_page_of_setup_has_every_variable_that_is_read() -> None:
    page = (ROOT / "docs" / "setup.md").read_text(encoding="utf-8")
    read = {name for path in CODE for name in VARIABLE.findall(path.read_text(encoding="utf-8"))}
    assert "EXPUNGE_HOME" in read
    assert read == set(VARIABLE.findall(page))


@pytest.mark.parametrize("page", ["architecture.md", "CONTRIBUTING.md", "SECURITY.md", "setup.md", "commands.md"])
def test_every_file_that_a_page_names_is_there(page: str) -> None:
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:engine|tasks|flows|policies|deployments|tests)/[\w./-]*)`", text))
    linked = {target for target in re.findall(r"\]\(([^)#]+\.md)", text) if "://" not in target}
    assert named | linked
    assert [name for name in named if not (ROOT / name).exists()] == []
    assert [name for name in linked if not (ROOT / "docs" / name).exists()] == []


def test_the_policy_of_the_readme_is_one() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(readme.splitlines()) <= 120
    (text,) = re.findall(r"```yaml\n(.*?)```", readme, re.DOTALL)
    policy = parse(text.encode(), "README.md")
    assert [concept.name for concept in policy.concepts] == ["bicycle"]
    assert policy.base.sha256 == folder_digest(MODEL)
