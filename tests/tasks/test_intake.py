"""Intake refuses what nobody could judge, and folds a policy with those in force only where it is to be published."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from expunge.engine.emoji import JUDGE, MODEL
from expunge.engine.files.digests import folder_digest
from expunge.policies import PolicyError, PolicyErrors, read
from expunge.policies.model.schema import Base
from expunge.tasks.core.base_model import refuse_too_large
from expunge.tasks.core.errors import IntegrityError, LimitExceeded, exit_code_of
from expunge.tasks.core.settings import Settings
from expunge.tasks.core.work_order import Order, Ref
from expunge.tasks.edit import refuse_unserved
from expunge.tasks.intake import intake, order_for
from expunge.tasks.ledger.floor_store import floor_in_force
from expunge.tasks.ledger.policy_store import keep_policy
from expunge.tasks.ledger.queries import line_of
from expunge.tasks.ledger.recorder import journal, note
from tests.flows.conftest import policy_file, withdrawal
from tests.tasks.records import Work


@pytest.fixture(scope="module")
def base() -> str:
    return folder_digest(MODEL)


def taken_in(path: Path, home: Path) -> Order:
    """The order of a policy, of which a copy is kept then, as the flow's first task keeps one."""
    policy, settings = read(path), Settings(home, "", "", "")
    order = intake(policy, journal(home, line_of(policy, home)), settings, floor_in_force()).order
    keep_policy(home, order.policy, path.read_bytes())
    return order


def concepts(order: Order) -> list[str]:
    return [concept.id for concept in order.desired.concepts]


@pytest.mark.parametrize(("place", "field"), [(0, "concepts[0].category"), (1, "retain[0].category")])
@pytest.mark.parametrize("category", ["identity", "explicit"])
def test_a_category_that_the_judge_does_not_know_is_refused_with_those_it_knows(
    tmp_path: Path, base: str, category: str, place: int, field: str
) -> None:
    path = policy_file(tmp_path, base, "unjudged")
    parts = path.read_text().split('"category": "object"')
    path.write_text(
        '"category": "object"'.join(parts[: place + 1])
        + f'"category": "{category}"'
        + '"category": "object"'.join(parts[place + 1 :])
    )
    with pytest.raises(PolicyErrors) as caught:
        taken_in(path, tmp_path / "home")
    (error,) = caught.value.errors
    assert error.field == field
    assert "object, style" in error.cure
    assert exit_code_of(caught.value) == 3
    assert not (tmp_path / "home").exists()


def test_a_given_model_is_examined_against_one_policy_alone(tmp_path: Path, base: str) -> None:
    home = tmp_path / "home"
    first = policy_file(tmp_path, base, "first", erase="rainbow")
    note(taken_in(first, home), "published", {"policy": read(first).digest}, {"bundle": "f" * 64})
    second = policy_file(tmp_path, base, "second")
    assert concepts(taken_in(second, home)) == ["bicycle", "rainbow"]
    assert concepts(order_for("0" * 64, read(second), home)) == ["bicycle"]


def test_a_base_that_is_not_there_is_named(tmp_path: Path, base: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXPUNGE_JUDGE", str(JUDGE))
    path = policy_file(tmp_path, base, "elsewhere")
    path.write_text(path.read_text().replace("builtin:emoji", "file:/no/such/model"))
    with pytest.raises(PolicyError, match="no folder") as caught:
        taken_in(path, tmp_path / "home")
    assert caught.value.field == "base.uri"


def test_a_base_that_lies_elsewhere_on_this_machine_is_found_by_its_name(
    tmp_path: Path, base: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker has the models on another mount than the machine where the policy was written."""
    monkeypatch.setenv("EXPUNGE_JUDGE", str(JUDGE))
    path = policy_file(tmp_path, base, "elsewhere")
    path.write_text(path.read_text().replace("builtin:emoji", f"file:/no/such/{MODEL.name}"))
    monkeypatch.setenv("EXPUNGE_BASES", str(MODEL.parent))
    order = taken_in(path, tmp_path / "home")
    assert (order.base_folder, order.base) == (MODEL, base)
    replace(order, base_folder=Path("/written/elsewhere") / MODEL.name).save()
    assert Order.load(order.home, order.key) == order, "and so is that of an order that another machine saved"
    path.write_text(path.read_text().replace(base, "0" * 64))
    with pytest.raises(IntegrityError, match="the policy names 0000"):
        taken_in(path, tmp_path / "home")


def test_a_file_that_s3_would_not_take_is_refused_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "unet").mkdir()
    with (tmp_path / "unet" / "model.safetensors").open("wb") as file:
        file.truncate(5 * 2**30)
        refuse_too_large(tmp_path)
        file.truncate(5 * 2**30 + 1)
    with pytest.raises(PolicyError, match=r"model\.safetensors' has 5\.0 GiB.*max_shard_size"):
        refuse_too_large(tmp_path)


def test_nor_is_an_edit_proven_that_s3_would_not_take() -> None:
    largest = Ref("file:/plan", "a" * 64, 5 * 2**30)
    refuse_unserved(largest)
    with pytest.raises(LimitExceeded, match=r"the edit has 5\.0 GiB, and S3 takes 5 a file"):
        refuse_unserved(replace(largest, bytes=largest.bytes + 1))


def test_a_base_is_one_line_wherever_it_lies_and_whatever_it_is_called(tmp_path: Path, base: str) -> None:
    built_in = read(policy_file(tmp_path, base, "one"))
    places = [f"file:{place}" for place in ("/models/sd15", "/mnt/new/stable-diffusion-v1-5")]
    moved = [built_in.model_copy(update={"base": Base(uri=uri, sha256=base)}) for uri in places]
    assert {line_of(policy, tmp_path) for policy in moved} == {f"model-{base[:12]}"}
    (tmp_path / "receipts" / f"a-{base[:12]}").mkdir(parents=True)
    line = f"emoji-{base[:12]}"
    note(Work(tmp_path, line), "read", {}, {})
    assert {line_of(policy, tmp_path) for policy in [built_in, *moved]} == {line}, "an empty folder is no line"
    shutil.copytree(tmp_path / "receipts" / line, tmp_path / "receipts" / f"a-{base[:12]}", dirs_exist_ok=True)
    with pytest.raises(IntegrityError, match=rf"more than one line of this base, a-{base[:12]} and {line}"):
        line_of(built_in, tmp_path)


def test_an_order_follows_what_was_published_last_on_its_line(tmp_path: Path, base: str) -> None:
    home = tmp_path / "home"
    first = policy_file(tmp_path, base, "first", erase="rainbow")
    order = taken_in(first, home)
    assert order.follows == ""
    note(order, "published", {"policy": read(first).digest}, {"bundle": "f" * 64})
    assert taken_in(policy_file(tmp_path, base, "second"), home).follows == "f" * 64


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.unlink(),
        lambda path: path.write_text(altered(path)),
        lambda path: path.write_text("no policy"),
    ],
)
def test_a_policy_in_force_that_was_altered_or_lost_stops_everything(
    tmp_path: Path, base: str, damage: Callable[[Path], None]
) -> None:
    home = tmp_path / "home"
    first = policy_file(tmp_path, base, "first", erase="rainbow")
    note(taken_in(first, home), "published", {"policy": read(first).digest}, {"bundle": "f" * 64})
    damage(home / "policies" / f"{read(first).digest}.yaml")
    with pytest.raises(IntegrityError, match="not the published policy that was received"):
        taken_in(policy_file(tmp_path, base, "second"), home)
    keep_policy(home, read(first).digest, first.read_bytes())  # as handing it in again does
    assert taken_in(policy_file(tmp_path, base, "second"), home).follows == "f" * 64


def altered(path: Path) -> str:
    return path.read_text().replace("rainbow", "banana")


def test_every_given_model_has_an_order_of_its_own(tmp_path: Path, base: str) -> None:
    policy = read(policy_file(tmp_path, base, "one"))
    keys = [order_for(digit * 64, policy, tmp_path / "home").key for digit in "001"]
    assert keys[0] == keys[1] != keys[2]


def test_other_wordings_of_the_probes_are_another_order(
    tmp_path: Path, base: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = read(policy_file(tmp_path, base, "worded"))
    before = order_for("0" * 64, policy, tmp_path / "home").key
    assert order_for("0" * 64, policy, tmp_path / "home").key == before
    monkeypatch.setattr("expunge.tasks.intake.probes_digest", lambda: "1" * 64)
    assert order_for("0" * 64, policy, tmp_path / "home").key != before


def test_what_was_never_published_cannot_be_withdrawn(tmp_path: Path, base: str) -> None:
    """The base would else become the first model that is approved on the line, without a verdict."""
    asked, home = policy_file(tmp_path, base, "asked"), tmp_path / "home"
    order = taken_in(asked, home)
    note(order, "refused", {"policy": order.policy}, {}, {"outcome": "refused", "reasons": ["too much"]})
    with pytest.raises(PolicyError, match="replaces: names nothing that was published on this base; there is nothing"):
        taken_in(withdrawal(asked, "away", "asked"), home)
    note(order, "published", {"policy": order.policy}, {"bundle": "e" * 64})
    assert taken_in(withdrawal(asked, "away", "asked"), home).desired.restores
