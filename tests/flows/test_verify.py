"""`expunge verify` examines what it is given, bundle or folder, alone with the policy and without any server."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from expunge.engine.emoji import JUDGE
from expunge.engine.emoji import MODEL as EMOJI
from expunge.engine.errors import ModelFormatError
from expunge.engine.files.bundle import MODEL, assemble
from expunge.engine.files.digests import folder_digest
from expunge.engine.stats.evidence import table as evidence
from expunge.engine.stats.sampling_plan import breaches
from expunge.engine.stats.verdict import Verdict
from expunge.flows.verify import verify
from expunge.policies import Acceptance, Policy, read
from expunge.tasks.core.errors import IntegrityError, UsageError
from expunge.tasks.core.work_order import Order
from expunge.tasks.evidence.examination import examination
from expunge.tasks.storage.external_model import given_model
from tests.engine import tiny
from tests.engine.plans.test_diff import nudge, swap_meanings
from tests.flows.conftest import NO_SERVICES, WritePolicy, policy_file, run_process


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save(tmp_path_factory.mktemp("base") / "base")


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of another model, whose manifest fits."""
    folder = tmp_path_factory.mktemp("given")
    assemble(tiny.save_edited(folder / "model"), {"README.md": b"a card"}, folder / "bundle")
    return folder / "bundle"


@pytest.fixture
def policy(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Policy:
    """Few questions, on a base that is not the built-in one."""
    monkeypatch.setenv("EXPUNGE_JUDGE", str(JUDGE))
    path = policy_file(tmp_path, folder_digest(base), "given", seeds=1, prompts=1)
    path.write_text(path.read_text().replace("builtin:emoji", f"file:{base}"))
    return read(path)


def test_an_unedited_model_fails_with_4_and_leaves_verdict_evidence_and_report(
    write_policy: WritePolicy, tmp_path: Path
) -> None:
    path = write_policy("unedited", seeds=2, prompts=2, min_control_rate=0.5)
    home = {**NO_SERVICES, "EXPUNGE_HOME": str(tmp_path / "home")}
    done = run_process("verify", str(EMOJI), "--policy", str(path), "--out", str(tmp_path / "out"), "--json", **home)
    assert done.code == 4, done.err
    assert (done.data["verdict"], done.data["exit_code"], done.data["bundle"]) == ("FAIL", 4, "")
    assert any("bicycle is still seen" in reason for reason in done.data["reasons"])
    assert any("unet is the base's own, weight for weight" in reason for reason in done.data["reasons"])
    verdict = Verdict.load(tmp_path / "out" / "verdict.json")
    table = evidence.read(tmp_path / "out" / "evidence.parquet")
    assert verdict.evidence == evidence.digest(table)
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "The model does not pass" in page
    assert page.count("data:image/png;base64,") >= 2
    assert "makes no attack" in page  # the level is quick
    assert (tmp_path / "out" / "quality.json").is_file()


def test_a_bundle_and_the_folder_in_it_come_to_the_same_and_are_drawn_once(
    policy: Policy, given: Path, tmp_path: Path
) -> None:
    first = verify(given, policy, tmp_path / "home", tmp_path / "out")
    drawn = {path: path.stat().st_mtime_ns for path in (tmp_path / "home" / "pictures").rglob("*.png")}
    again = verify(given / MODEL, policy, tmp_path / "home", None)
    assert len(drawn) == 2 * 5
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "home" / "pictures").rglob("*.png")} == drawn
    same = ("verdict", "reasons", "concepts", "model", "base", "judge")
    assert [first[key] for key in same] == [again[key] for key in same]
    assert (tmp_path / "out" / "verdict.json").read_bytes() == Path(again["verdict_file"]).read_bytes()
    assert first["bundle"]
    assert not again["bundle"]


def test_attack_what_else_differs_in_a_folder_from_outside_is_a_finding(
    policy: Policy, base: Path, tmp_path: Path
) -> None:
    """Its pictures decide nothing here: that words mean something else is told by file and component, with the cure."""
    folder = Path(shutil.copytree(base, tmp_path / "outside"))
    nudge(folder / "unet" / "diffusion_pytorch_model.safetensors", "conv_in.bias")
    swap_meanings(folder)
    found = Verdict.load(Path(verify(folder, policy, tmp_path / "home", None)["verdict_file"]))
    told = {reason.code: reason for reason in found.reasons}
    assert "nothing-erased" not in told
    assert told["unlike-base"].concept == "text_encoder"
    assert told["unlike-base"].message.startswith("text_encoder/model.safetensors holds 1 weights")


@pytest.mark.parametrize("harm", ["change", "add", "delete"])
def test_a_bundle_that_is_not_as_published_is_refused_before_anything_is_drawn(
    policy: Policy, tmp_path: Path, harm: str
) -> None:
    assemble(tiny.save(tmp_path / "model"), {"README.md": b"a card"}, tmp_path / "bundle")
    card = tmp_path / "bundle" / "README.md"
    match harm:
        case "change":
            card.write_bytes(b"a Card")
        case "add":
            card.with_name("more.txt").write_text("more")
        case "delete":
            card.unlink()
    with pytest.raises(IntegrityError, match="more" if harm == "add" else "README"):
        verify(tmp_path / "bundle", policy, tmp_path / "home", None)
    assert not (tmp_path / "home").exists()


def test_forged_results_under_a_forged_manifest_are_not_the_bundle_of_the_receipt(
    policy: Policy, tmp_path: Path
) -> None:
    model = tiny.save(tmp_path / "model")
    published = assemble(model, {"verdict.json": b'{"outcome": "FAIL"}'}, tmp_path / "published")
    forged = assemble(model, {"verdict.json": b'{"outcome": "PASS"}'}, tmp_path / "forged")
    assert given_model(tmp_path / "published", published)[1] == published
    assert given_model(tmp_path / "forged")[1] == forged
    with pytest.raises(IntegrityError, match=f"is bundle {forged}, not {published}"):
        verify(tmp_path / "forged", policy, tmp_path / "home", None, published=published)
    with pytest.raises(UsageError, match="has no manifest"):
        verify(model, policy, tmp_path / "home", None, published=published)
    assert not (tmp_path / "home").exists()


def test_a_bundle_without_its_manifest_is_no_model(policy: Policy, tmp_path: Path) -> None:
    assemble(tiny.save(tmp_path / "model"), {}, tmp_path / "bundle")
    (tmp_path / "bundle" / "manifest.json").unlink()
    with pytest.raises(ModelFormatError, match="neither a bundle"):
        verify(tmp_path / "bundle", policy, tmp_path / "home", None)


def test_sampled_in_rounds_the_evidence_is_what_the_rule_asks_for(policy: Policy, given: Path, tmp_path: Path) -> None:
    raw = {**policy.acceptance.model_dump(), "sampling": "sequential", "seeds": 3, "round_seeds": 1}
    rounds = policy.model_copy(update={"acceptance": Acceptance.model_validate(raw)})
    result = verify(given, rounds, tmp_path / "home", None)
    assert result["pictures"] == 2 * 3 * 5  # one picture an arm and concept decides nothing, so every round was asked
    assert not any("rows" in reason for reason in result["reasons"])
    exam, table = examination(Order.load(tmp_path / "home", result["work"])), evidence.read(Path(result["evidence"]))
    assert list(breaches(exam.plan, table, exam.acceptance)) == []
    assert list(breaches(exam.plan, table.query("seed < 2"), exam.acceptance)) != []


def test_results_never_go_into_what_was_examined(policy: Policy, given: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--out"):
        verify(given, policy, tmp_path / "home", given / "out")
    assert not (given / "out").exists()


def test_results_that_could_not_be_written_are_refused_before_anything_is_drawn(
    policy: Policy, given: Path, tmp_path: Path
) -> None:
    (file := tmp_path / "file").touch()
    for out in (file, file / "below"):
        with pytest.raises(UsageError, match=f"--out {out} cannot be made a folder"):
            verify(given, policy, tmp_path / "home", out)
    assert not (tmp_path / "home").exists()
