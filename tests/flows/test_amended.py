"""An amended request as people see it: what changed, who put it on record, and when."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from expunge.flows.casework.letters import write_letter
from expunge.tasks.core.errors import NothingOnRecord
from tests.flows.conftest import run_cli
from tests.tasks.handed_in import handed_in
from tests.tasks.views.lettered import publish, request


def amended(folder: Path, kind: str, publishes: bool = True) -> Path:
    publish(request(folder, "first", kind))
    later = json.loads((folder / "first.yaml").read_text()) | {"request_id": "later", "replaces": ["first"]}
    later["concepts"].append({"id": "umbrella", "name": "umbrella", "category": "object"})
    (folder / "later.yaml").write_text(json.dumps(later))
    order = handed_in(folder / "later.yaml", folder / "home")
    if publishes:
        publish(order)
    return folder / "home"


def test_status_says_what_changed_who_and_when(tmp_path: Path) -> None:
    home = amended(tmp_path, "copyright")
    found = run_cli("status", "--json", EXPUNGE_HOME=str(home)).data["requests"]
    rows = {row["request_id"]: row for row in found}
    assert rows["first"]["state"] == "replaced"
    (one,) = rows["later"]["amends"]
    assert rows["first"]["amended"] == [one]
    assert (one["request_id"], one["by"], one["changes"]) == ("first", "later", ["erases more: umbrella"])
    own = run_cli("status", str(tmp_path / "later.yaml"), "--json", EXPUNGE_HOME=str(home)).data["requests"]
    assert [row["amends"] for row in own] == [[one]], "of one policy alone the same is said"
    said = run_cli("status", EXPUNGE_HOME=str(home)).out
    assert f"takes the place of first, on {one['at']} by {one['who']}. Changed: erases more: umbrella" in said
    letter = " ".join(write_letter(home, "decision", "later").content.decode().split())
    assert "takes the place of that on first. What changed: erases more: umbrella." in letter


def test_attack_an_amendment_counts_before_it_is_published(tmp_path: Path) -> None:
    home = amended(tmp_path, "copyright", publishes=False)
    rows = {row["request_id"]: row for row in run_cli("status", "--json", EXPUNGE_HOME=str(home)).data["requests"]}
    assert (rows["first"]["state"], rows["first"]["amended"]) == ("published", [])
    assert rows["later"]["amends"][0]["published"] is False


def test_attack_the_letter_of_an_amendment_names_the_person(tmp_path: Path) -> None:
    home = amended(tmp_path, "ncii")
    said = write_letter(home, "decision", "later").content.decode()
    assert "takes the place of that on an earlier request." in said
    assert not {"umbrella", "bicycle"} & set(said.replace(".", " ").split())
    with pytest.raises(NothingOnRecord, match="is replaced"):
        write_letter(home, "decision", "first")
