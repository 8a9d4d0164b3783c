"""The end of a policy: which policies may have one, and what may follow it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from expunge.policies import Policy, PolicyError, PolicyErrors, changes, composed_json, parse, withdrawal_on_expiry
from expunge.policies.merge.expiry import (
    end_in_words,
    expired_in_force,
    has_expired,
    refuse_early,
    refuse_expired,
    refuse_shorter,
)
from expunge.policies.notices import public_form
from tests.flows.conftest import policy_file, withdrawal

END = datetime(2027, 1, 31, 17, tzinfo=UTC)
BEFORE, AFTER = END - timedelta(seconds=1), END


def policy(folder: Path, request_id: str = "first", **fields: Any) -> Policy:
    path = policy_file(folder, "0" * 64, request_id)
    return parse(json.dumps({**json.loads(path.read_text()), **fields}).encode(), path.name)


@pytest.fixture
def ending(tmp_path: Path) -> Policy:
    return policy(tmp_path, expires_at=END.isoformat())


def problem(folder: Path, **fields: Any) -> str:
    with pytest.raises(PolicyErrors) as refused:
        policy(folder, **fields)
    return str(refused.value)


def test_a_policy_without_an_end_has_the_digest_that_it_had(tmp_path: Path) -> None:
    """That of the version before there were ends."""
    assert policy(tmp_path).digest == "96eb8ee0ca8cba451413dd020844446aba9d40369362bf8d1903520da16e7bc3"


@pytest.mark.parametrize("kind", ["ncii", "privacy_erasure"])
def test_what_a_law_protects_for_good_has_no_end(kind: str, tmp_path: Path) -> None:
    """Not even one before the deadline."""
    for end in (END.isoformat(), "2026-02-04T16:05:00Z"):
        assert f"expires_at: has no place in a request of the kind {kind}" in problem(
            tmp_path, kind=kind, expires_at=end
        )


def test_an_end_is_a_moment_with_a_zone_after_the_request_came_in(tmp_path: Path) -> None:
    assert "has no time zone" in problem(tmp_path, expires_at="2027-01-31T17:00:00")
    assert "is not an ISO date" in problem(tmp_path, expires_at=None)
    for end in ("2026-02-03T16:05:00Z", "2020-01-01T00:00:00Z"):
        assert "expires_at" in problem(tmp_path, expires_at=end)
        assert "is not after received_at" in problem(tmp_path, expires_at=end)


def test_what_erases_nothing_has_no_end_and_what_erases_follows_none(tmp_path: Path) -> None:
    path = withdrawal(policy_file(tmp_path, "0" * 64, "first"), "away", "first")
    with pytest.raises(PolicyErrors, match=r"expires_at.*has no meaning in a policy that erases nothing"):
        parse(json.dumps({**json.loads(path.read_text()), "expires_at": END.isoformat()}).encode(), "away")
    assert "on_expiry: has no meaning in a policy that erases" in problem(tmp_path, on_expiry=True)


def test_a_policy_expires_at_its_end_and_says_in_how_many_days(ending: Policy, tmp_path: Path) -> None:
    assert [has_expired(ending, at) for at in (BEFORE, AFTER, END + timedelta(days=1))] == [False, True, True]
    words = [end_in_words(ending, END - timedelta(**ahead)) for ahead in ({"days": 2}, {"hours": 25}, {"hours": 1}, {})]
    assert words == ["expires in 2 days", "expires in 2 days", "expires in 1 day", "expired"]
    assert end_in_words(policy(tmp_path, "endless"), END) == ""


def test_the_same_withdrawal_follows_on_every_machine(ending: Policy) -> None:
    found = withdrawal_on_expiry(ending)
    assert (found.replaces, found.concepts, found.on_expiry) == (("first",), (), True)
    assert parse(composed_json(found.model_dump(mode="json")), "found").digest == withdrawal_on_expiry(ending).digest
    refuse_early(found, [ending], AFTER)
    assert changes(ending, found)[:2] == [f"expired at: {END.isoformat()}", "erases no more: bicycle"]


def test_attack_a_restoration_for_an_expiry_that_has_not_come(ending: Policy) -> None:
    with pytest.raises(PolicyError, match=r"first holds until 2027-01-31T17:00:00.*, and it is 2027-01-31T16:59:59"):
        refuse_early(withdrawal_on_expiry(ending), [ending], BEFORE)


def test_attack_a_restoration_names_an_expiry_of_what_has_none(ending: Policy, tmp_path: Path) -> None:
    """Or takes more back than what expired."""
    endless = policy(tmp_path, "endless")
    others = withdrawal_on_expiry(endless), withdrawal_on_expiry(ending).model_copy(update={"replaces": ("first", "x")})
    for wrong in others:
        with pytest.raises(PolicyError, match="is not what follows the end of a published policy"):
            refuse_early(wrong, [ending, endless], AFTER)


def test_attack_the_id_of_what_will_follow_is_taken_before(ending: Policy, tmp_path: Path) -> None:
    taken = policy(tmp_path, withdrawal_on_expiry(ending).request_id)
    with pytest.raises(PolicyError, match=r"request_id.*is kept for what follows an expiry"):
        refuse_early(taken, [ending], BEFORE)


def test_an_expired_policy_is_not_taken_in_unless_it_was_published(ending: Policy) -> None:
    refuse_expired(ending, [], BEFORE)
    refuse_expired(ending, [ending], AFTER)
    with pytest.raises(PolicyError, match=r"expires_at.*has passed"):
        refuse_expired(ending, [], AFTER)


def test_attack_an_amendment_ends_what_others_asked_for(ending: Policy, tmp_path: Path) -> None:
    endless = policy(tmp_path, "endless", kind="court_order")
    shorter = policy(tmp_path, "shorter", kind="voluntary", replaces=["endless"], expires_at=END.isoformat())
    with pytest.raises(PolicyError, match="ends what endless asks for sooner, and is of another kind"):
        refuse_shorter(shorter, [endless], {"voluntary", "court_order"})
    refuse_shorter(shorter.model_copy(update={"kind": "court_order"}), [endless], {"court_order"})
    longer = ending.model_copy(update={"replaces": ("x",), "expires_at": END + timedelta(days=1)})
    refuse_shorter(longer, [ending.model_copy(update={"request_id": "x"})], {"trademark", "voluntary"})


def test_attack_an_amendment_gives_an_end_to_what_a_law_protects_for_good(tmp_path: Path) -> None:
    shorter = policy(tmp_path, "shorter", kind="voluntary", replaces=["first"], expires_at=END.isoformat())
    with pytest.raises(PolicyError, match="has no place in a request of the kind ncii"):
        refuse_shorter(shorter, [], {"voluntary", "ncii"})


def test_an_amendment_says_that_it_gives_another_end(ending: Policy, tmp_path: Path) -> None:
    endless = policy(tmp_path, "endless", replaces=["first"])
    assert changes(ending, endless) == [f"holds until: {END.isoformat()} becomes withdrawn"]


def test_what_another_policy_took_the_place_of_does_not_expire(ending: Policy, tmp_path: Path) -> None:
    endless = policy(tmp_path, "endless", replaces=["first"])
    assert expired_in_force([ending], AFTER) == [ending]
    assert expired_in_force([ending, endless], AFTER) == expired_in_force([ending], BEFORE) == []


def test_the_public_form_has_the_end(ending: Policy) -> None:
    assert public_form(ending)["expires_at"] == "2027-01-31T17:00:00Z"
