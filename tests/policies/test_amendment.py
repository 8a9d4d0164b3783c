"""An amendment in words: what is erased, kept and demanded otherwise."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from expunge.policies import changes, read
from tests.flows.conftest import policy_file, withdrawal


def changed(path: Path, **fields: Any) -> list[str]:
    later = json.loads(path.read_text()) | {"request_id": "later", "replaces": ["first"]} | fields
    (file := path.with_name("later.yaml")).write_text(json.dumps(later))
    return changes(read(path), read(file))


def test_an_amendment_says_what_it_changes(tmp_path: Path) -> None:
    path = policy_file(tmp_path, "0" * 64, "first")
    policy = json.loads(path.read_text())
    assert changed(path) == [], "labels are no change"
    panda = {"id": "panda", "name": "panda", "category": "object"}
    assert changed(path, concepts=[*policy["concepts"], panda]) == ["erases more: panda"]
    assert changed(path, concepts=[panda]) == ["erases more: panda", "erases no more: bicycle"]
    assert changed(path, retain=policy["retain"][1:]) == ["keeps no more: car"]
    again = [policy["concepts"][0] | {"anchor": "castle", "aliases": ["bike"]}]
    assert changed(path, concepts=again) == [
        "bicycle: aliases none becomes bike",
        "bicycle: anchor none becomes castle",
    ]
    looser = policy["acceptance"] | {"max_target_rate": 0.3}
    assert changed(path, acceptance=looser) == ["limit: max target rate 0.2 becomes 0.3"]


def test_a_withdrawal_says_what_it_gives_back(tmp_path: Path) -> None:
    path = policy_file(tmp_path, "0" * 64, "first")
    back = changes(read(path), read(withdrawal(path, "back", "first")))
    assert back == ["erases no more: bicycle", "keeps no more: car, bus, guitar, castle"]
