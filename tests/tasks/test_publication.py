"""What of a work order is shown to others than those who handle the notice."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.digests import folder_digest
from engine.emoji import MODEL
from policies import read
from tasks.entry import is_of_a_person
from tasks.intake import intake
from tasks.journal import note
from tasks.kept import keep_policy
from tasks.order import Order
from tests.flows.conftest import policy_file, withdrawal


def published(path: Path, home: Path) -> Order:
    order = intake(read(path), home)
    keep_policy(home, order.policy, path.read_bytes())
    note(order, "published", {"policy": order.policy}, {"bundle": order.key})
    return order


@pytest.mark.parametrize("kind", ["ncii", "privacy_erasure"])
def test_an_order_is_of_a_person_as_long_as_a_request_about_one_is_in_force(tmp_path: Path, kind: str) -> None:
    base, home = folder_digest(MODEL), tmp_path / "home"
    files = [policy_file(tmp_path, base, request, erase) for request, erase in (("a", "rainbow"), ("b", "bicycle"))]
    about = policy_file(tmp_path, base, "about", "umbrella")
    about.write_text(about.read_text().replace('"trademark"', f'"{kind}"'))
    assert not is_of_a_person(published(files[0], home))
    assert is_of_a_person(published(about, home))
    assert is_of_a_person(published(files[1], home)), "the model is edited, and questioned, for all of them"
    assert not is_of_a_person(published(withdrawal(files[0], "back", "about"), home))
