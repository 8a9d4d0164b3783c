"""What is published without a verdict has to be the base itself, with nothing in force, and the audit sees to it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from expunge.canonical_json import canonical_json
from expunge.engine.files.bundle import assemble, verify_bundle
from expunge.engine.files.digests import folder_digest
from expunge.policies import DesiredState, desired_state, parse
from expunge.tasks.ledger.policy_store import keep_policy
from expunge.tasks.ledger.recorder import journal
from tests.flows.conftest import policy_file, withdrawal
from tests.tasks.records import FILES, LINE, Record


@pytest.fixture
def restored(tmp_path: Path) -> Record:
    """A home in which the only request was withdrawn, so that the base itself is published."""
    model, made = weights_in(tmp_path / "base", b"weights"), Record(tmp_path / "home")
    asked = policy_file(tmp_path, folder_digest(model), "audited")
    paths = (asked, withdrawal(asked, "away", "audited"))
    policies = [parse(path.read_bytes(), path.name) for path in paths]
    for policy, path in zip(policies, paths, strict=True):
        keep_policy(made.home, policy.digest, path.read_bytes())
    made.publish_base(model, desired_state(policies), policies[1].digest)
    return made


def weights_in(folder: Path, weights: bytes) -> Path:
    """A model, as far as digests go."""
    folder.mkdir()
    (folder / "weights").write_bytes(weights)
    return folder


def test_a_restored_base_needs_no_verdict(restored: Record) -> None:
    assert restored.problems() == ()


def test_attack_another_model_is_published_as_the_base(restored: Record) -> None:
    (restored.work / "bundle" / "model" / "weights").write_bytes(b"others")
    other = assemble(restored.work / "bundle" / "model", {}, restored.work / "new")
    shutil.rmtree(restored.work / "bundle")
    (restored.work / "new").rename(restored.work / "bundle")
    model = folder_digest(restored.work / "bundle" / "model")

    def forge(receipt: dict) -> None:
        if receipt["step"] == "bundled":
            receipt["inputs"]["candidate"] = model
        if "bundle" in receipt["outputs"]:
            receipt["outputs"]["bundle"] = other

    restored.rewrite(forge)
    (problem,) = restored.problems()
    assert f"it rests on no verdict, and it is of the model {model}, the base is" in problem


def test_attack_an_edit_is_published_as_if_it_were_a_restoration(record: Record) -> None:
    def forge(receipt: dict) -> None:
        if receipt["step"] in ("bundled", "published"):
            receipt["inputs"] = {k: v for k, v in receipt["inputs"].items() if k not in ("verdict", "evidence")}

    for left_out in ("", "gated"):
        record.rewrite(forge, without=left_out)
        told = record.problems()
        assert any("it rests on no verdict, and in force is audited" in each for each in told)
        assert any(f"it is of the model {folder_digest(record.work / 'candidate')}" in each for each in told)


def test_attack_a_state_that_erases_nothing_is_made_up_by_another_version(record: Record, tmp_path: Path) -> None:
    """Of another version the state is not worked out anew, so the policies in force have to be asked."""
    away = withdrawal(tmp_path / "audited.yaml", "away", "audited")
    state = desired_state([parse(path.read_bytes(), "") for path in (tmp_path / "audited.yaml", away)])
    model = weights_in(tmp_path / "other", b"unedited")
    record.publish_base(model, state, record.chain[0].inputs["policy"], "cd" * 32, version="0.4.0")
    assert any("it rests on no verdict, and in force is audited" in problem for problem in record.problems())


@pytest.mark.parametrize("left_out", [{"verdict", "evidence"}, set()])
def test_attack_a_second_receipt_of_a_bundle_says_that_it_is_of_another_model(
    record: Record, left_out: set[str]
) -> None:
    """The first has the verdict that the publication rests on, and the second what is in the bundle."""
    (record.work / "bundle" / "model" / "weights").write_bytes(b"unedited")
    extras: dict[str, Path | bytes] = {file: record.work / file for file in FILES.values()}
    assemble(record.work / "bundle" / "model", extras, record.work / "new")
    shutil.rmtree(record.work / "bundle")
    (record.work / "new").rename(record.work / "bundle")
    bundle, model = verify_bundle(record.work / "bundle"), folder_digest(record.work / "bundle" / "model")

    def forge(receipt: dict) -> None:
        if "bundle" in receipt["outputs"]:
            receipt["outputs"]["bundle"] = bundle

    record.rewrite(forge)
    honest = record.chain[5]
    inputs = {name: digest for name, digest in honest.inputs.items() if name not in left_out} | {"candidate": model}
    told = {"inputs": inputs, "outputs": honest.outputs, "settings": honest.settings}
    journal(record.home, LINE).append("bundled", request_id="audited", who="x", **told)
    (problem,) = record.problems()
    assert "its bundle is that of receipt 6, and made of something else" in problem


def test_attack_a_restoration_goes_round_in_a_ring(restored: Record, tmp_path: Path) -> None:
    """None of the two is in force then, so that no policy in force would say which base it has to be."""
    digests = {}
    for name, gone in (("away", "ring"), ("ring", "away")):
        path = withdrawal(tmp_path / "audited.yaml", name, "audited", gone)
        digests[name] = parse(path.read_bytes(), name).digest
        keep_policy(restored.home, digests[name], path.read_bytes())

    def forge(receipt: dict) -> None:
        if "policy" in receipt["inputs"]:
            receipt["inputs"]["policy"] = digests["away"]

    restored.rewrite(forge)
    assert restored.problems() == ()
    model = weights_in(tmp_path / "other", b"others")
    state = DesiredState.model_validate_json((restored.work / "state.json").read_bytes())
    restored.publish_base(model, state, digests["ring"], "cd" * 32)
    ring, other_model = restored.problems()
    assert "it rests on no verdict, and its own policy is not in force" in ring
    assert f"it rests on no verdict, and it is of the model {folder_digest(model)}, the base is" in other_model


def test_attack_the_state_of_a_restoration_is_exchanged(restored: Record, tmp_path: Path) -> None:
    state = desired_state([parse((tmp_path / "audited.yaml").read_bytes(), "audited")])
    (restored.work / "state.json").write_bytes(canonical_json(state.model_dump(mode="json")))
    assert any("state.json has changed" in problem for problem in restored.problems())
    (restored.work / "state.json").unlink()
    assert any("state.json is missing" in problem for problem in restored.problems())
