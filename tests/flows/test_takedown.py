"""The whole way of a notice on the built-in model, with the real Prefect, MLflow and S3 servers."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import pytest
from mlflow import MlflowClient
from prefect.settings import temporary_settings

from expunge.engine.emoji import MODEL
from expunge.engine.files.bundle import verify_bundle
from expunge.engine.files.digests import file_digest, folder_digest
from expunge.engine.models.load import open_model
from expunge.engine.models.sampling import Sampler, picture_key
from expunge.engine.plans.edit_plan import EditPlan
from expunge.flows.submission import submit
from expunge.policies import read
from expunge.tasks.audit.record import audit
from expunge.tasks.core.errors import IntegrityError, ServiceUnreachable, VerdictNotPassed
from expunge.tasks.core.settings import Settings
from expunge.tasks.core.work_order import Order
from expunge.tasks.evidence.examination import examination
from expunge.tasks.evidence.quality import read_quality
from expunge.tasks.ledger.queries import receipts, states
from expunge.tasks.ledger.recorder import journal
from expunge.tasks.storage import s3
from expunge.tasks.storage.bundle_store import bundle_uri, fetch_bundle, publish_bundle
from expunge.tasks.storage.pointer import approved
from expunge.tasks.storage.record_replica import differences
from expunge.tasks.tracking.registry import model_name
from expunge.tasks.tracking.runs import page_of, recorded_run
from tests.flows.conftest import FEW, Finished, WritePolicy, edited_by, policy_file, prefect_at, run_cli, run_process
from tests.tasks.ledger.signatures.keys import write_key
from tests.tasks.storage.bundles import make_bundle


def line_of(home: Path) -> str:
    return next(iter(receipts(home))).line


@pytest.fixture(scope="module")
def published(
    stack: Settings, tmp_path_factory: pytest.TempPathFactory, base_digest: str
) -> tuple[Finished, Path, Path]:
    """One policy that passes, submitted once for all tests of this file: what the command said, home and policy."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in stack.variables().items():
            patch.setenv(name, value)
        folder = tmp_path_factory.mktemp("takedown")
        patch.setenv("EXPUNGE_HOME", str(folder / "home"))
        policy = policy_file(folder, base_digest, "whole-way", **FEW)
        return run_process("submit", str(policy), "--json"), folder / "home", policy


def test_a_passing_policy_is_published_and_verifiable(published: tuple, stack: Settings, tmp_path: Path) -> None:
    done, home, _ = published
    assert done.code == 0, done.err
    assert done.data["verdict"] == "PASS"
    run = recorded_run(stack, journal(home, line_of(home)).receipts()[-1].digest)
    assert done.data["mlflow"] == page_of(stack, journal(home, line_of(home)).receipts()[-1].digest)
    assert f"/runs/{run}?" in done.data["mlflow"]
    bundle = fetch_bundle(line_of(home), tmp_path / "bundle", stack)
    assert bundle.digest == approved(line_of(home), stack)
    assert done.data["bundle"] == bundle_uri(bundle.digest, stack)
    assert verify_bundle(tmp_path / "bundle") == bundle.digest
    open_model(tmp_path / "bundle" / "model")
    EditPlan.load(tmp_path / "bundle" / "deltas.safetensors")


def test_the_command_fetches_what_is_approved_with_no_server_but_s3(
    published: tuple, stack: Settings, tmp_path: Path
) -> None:
    _, home, _ = published
    line, elsewhere = line_of(home), str(tmp_path / "another home")
    alone = {**stack.variables(), "PREFECT_API_URL": "", "MLFLOW_TRACKING_URI": "", "EXPUNGE_HOME": elsewhere}
    (key,) = (home / "keys").iterdir()
    done = run_cli("fetch", line, "--out", str(tmp_path / "bundle"), "--key", str(key), "--json", **alone)
    assert done.code == 0, done.err
    assert done.data == {"bundle": approved(line, stack), "model": str(tmp_path / "bundle" / "model")}
    open_model(Path(done.data["model"]))
    nowhere = {**alone, "AWS_ENDPOINT_URL_S3": ""}
    whole = run_cli("audit", "--bundle", str(tmp_path / "bundle"), "--key", str(key), "--json", **nowhere)
    assert (whole.code, whole.data["problems"], whole.data["rederived"]) == (0, [], True)
    assert (whole.data["request_id"], whole.data["bundle"]) == ("whole-way", done.data["bundle"])
    assert (whole.data["verdict"], whole.data["limits"]["max_target_rate"]) == ("PASS", FEW["max_target_rate"])
    assert whole.data["receipt"] == journal(home, line).receipts()[-1].digest
    bundle = ("audit", "--bundle", str(tmp_path / "bundle"), "--key", str(key))
    held = run_cli(*bundle, "--base", "builtin:emoji", "--json", **nowhere)
    assert (held.code, held.data["problems"], held.data["base"]) == (0, [], folder_digest(MODEL))
    other = run_cli(*bundle, "--base", str(tmp_path / "bundle" / "model"), **nowhere)
    assert (other.code, "not the base's with the edit added" in other.out) == (6, True), other.out
    assert run_cli("audit", "--base", "builtin:emoji", **nowhere).code == 2
    told = run_cli(*bundle, "--noted", "0" * 64, **nowhere)
    assert (told.code, "NOT WHOLE" in told.out, "none of those noted" in told.out) == (6, True, True)
    assert run_cli("audit", "--bundle", str(tmp_path / "bundle"), **nowhere).code == 2
    _, stranger = write_key(tmp_path, "stranger")
    forged = run_cli("audit", "--bundle", str(tmp_path / "bundle"), "--key", str(stranger), **nowhere)
    assert (forged.code, forged.out, "signed by none of the keys" in forged.err) == (6, "", True)


def test_every_step_left_a_receipt_signed_and_copied_to_s3_and_the_chain_holds(
    published: tuple, stack: Settings
) -> None:
    _, home, _ = published
    (line,) = audit(home).lines
    assert (line.receipts, line.signed) == (8, 8)
    assert list(differences(replace(stack, home=home))) == []
    chain = journal(home, line_of(home))
    steps = [receipt.step for receipt in chain.receipts()]
    assert steps == ["read", "planned", "erased", "attempted", "verified", "gated", "bundled", "published"]
    quality = next(receipt.outputs["quality"] for receipt in chain.receipts() if receipt.step == "verified")
    folder = home / "work" / published[0].data["work"]
    assert file_digest(folder / "bundle" / "quality.json") == file_digest(folder / "quality.json") == quality


def test_the_published_bundle_is_verified_again_without_a_server_and_comes_to_the_same(
    published: tuple, stack: Settings, tmp_path: Path
) -> None:
    done, home, policy = published
    bundle = fetch_bundle(line_of(home), tmp_path / "bundle", stack)
    drawn = {path: path.stat().st_mtime_ns for path in (home / "pictures").rglob("*.png")}
    nowhere = {"PREFECT_API_URL": "", "MLFLOW_TRACKING_URI": "", "AWS_ENDPOINT_URL_S3": "", "EXPUNGE_HOME": str(home)}
    again = run_cli("verify", str(tmp_path / "bundle"), "--policy", str(policy), "--json", **nowhere)
    assert again.code == 0, again.err
    assert (again.data["verdict"], again.data["bundle"]) == ("PASS", bundle.digest)
    alone, first = again.data["concepts"], done.data["concepts"]
    assert [{**row, "bound": 0} for row in alone] == [{**row, "bound": 0} for row in first]
    tighter = [own["bound"] <= then["bound"] for own, then in zip(alone, first, strict=True)]
    assert all(tighter), "it is no attempt, so it has the whole of the error to spend"
    evidence = Path(again.data["verdict_file"]).with_name("evidence.parquet").read_bytes()
    assert evidence == (tmp_path / "bundle" / "evidence.parquet").read_bytes()
    assert {path: path.stat().st_mtime_ns for path in (home / "pictures").rglob("*.png")} == drawn


def test_a_budget_that_is_too_small_publishes_nothing_and_the_receipt_says_why(
    home: Path, write_policy: WritePolicy
) -> None:
    path = write_policy("hurried", erase="rainbow")
    policy = json.loads(path.read_text())
    policy["limits"]["max_compute_minutes"] = 0.001
    path.write_text(json.dumps(policy))
    done = run_cli("submit", str(path))
    assert done.code == 4
    assert "limits.max_compute_minutes" in done.err
    last = journal(home, line_of(home)).receipts()[-1]
    assert last.step == "refused"
    assert "limits.max_compute_minutes" in str(last.verdict)
    assert states(home)[0]["state"] == "rejected"


def test_mlflow_shows_the_request_with_the_receipts_digest(published: tuple, stack: Settings) -> None:
    done, home, _ = published
    client = MlflowClient(stack.mlflow_tracking_uri)
    experiment = client.get_experiment_by_name("takedowns")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id], f"tags.`expunge.key` = '{done.data['work']}'")
    last = journal(home, line_of(home)).receipts()[-1]
    assert run.data.params["receipt"] == last.digest
    assert run.data.metrics["bicycle/seen_after"] <= 0.10 < run.data.metrics["bicycle/seen_before"]
    quality, _ = read_quality(home / "work" / done.data["work"])
    assert quality is not None
    assert run.data.metrics["quality/kid"] == quality.kid
    assert run.data.metrics["cost/pictures_drawn"] == len(list((home / "pictures").rglob("*.png")))
    assert run.data.metrics["bicycle/erased_holm_p"] <= 1.0
    names = {item.path for item in client.list_artifacts(run.info.run_id)}
    assert {"evidence", "evidence.json", "data_docs", "contact_sheets", "report.html"} <= names
    assert {"verdict.json", "quality.json"} <= names
    version = client.get_model_version_by_alias(model_name(stack, line_of(home)), "approved")
    assert version.tags["expunge.bundle"] == last.outputs["bundle"]
    assert not (home / "work" / done.data["work"] / "candidate").exists(), "the bundle has it"


def test_the_report_is_one_page_that_needs_no_network(published: tuple) -> None:
    done, _, _ = published
    page = Path(done.data["report"]).read_text(encoding="utf-8")
    assert "PASS" in page
    assert page.count("data:image/png;base64,") >= 2
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "https://" not in page


def test_submitted_again_nothing_is_done_and_it_says_so(published: tuple, on_stack: None) -> None:
    done, home, policy = published
    before = len(list(receipts(home)))
    again = run_cli("submit", str(policy), "--json", EXPUNGE_HOME=str(home))
    assert again.code == 0, again.err
    assert again.data == {**done.data, "repeated": True}
    assert len(list(receipts(home))) == before
    assert "Nothing to do" in run_cli("submit", str(policy), EXPUNGE_HOME=str(home)).out


def test_the_same_policy_under_a_second_id_is_reported_and_not_executed_again(
    published: tuple, on_stack: None, stack: Settings
) -> None:
    """Whoever asked for it second is told so in writing, and by whom it is in force."""
    done, home, policy = published
    before, drawn = list(receipts(home)), sorted((home / "pictures").rglob("*.png"))
    labels = {"request_id": "second-way", "title": "Asked once more", "received_at": "2026-02-04T09:00:00Z"}
    second = policy.with_name("second-way.yaml")
    second.write_text(json.dumps(json.loads(policy.read_text()) | labels))
    told = run_cli("submit", str(second), "--json", EXPUNGE_HOME=str(home))
    assert told.code == 0, told.err
    asked = {"request_id": "second-way", "same_as": "whole-way", "repeated": True}
    assert told.data == {**done.data, **asked}
    (left,) = list(receipts(home))[len(before) :]
    assert (left.step, left.outcome, left.request_id) == ("repeated", "repeated", "second-way")
    assert (left.verdict or {})["request"] == "whole-way"
    assert left.inputs["publication"] == before[-1].digest
    assert left.inputs["file"] == file_digest(second)
    assert sorted((home / "pictures").rglob("*.png")) == drawn
    whole = audit(home)
    assert (whole.problems, whole.lines[0].signed) == ((), len(before) + 1)
    assert list(differences(replace(stack, home=home))) == []
    words = run_cli("submit", str(second), EXPUNGE_HOME=str(home)).out
    assert "Nothing to do: second-way asks what whole-way asked, which was carried out before" in words
    assert len(list(receipts(home))) == len(before) + 1
    (row,) = run_cli("status", str(second), "--json", EXPUNGE_HOME=str(home)).data["requests"]
    assert (row["state"], row["same_as"], row["reasons"]) == ("repeated", "whole-way", ["whole-way asked the same"])


def test_a_verdict_that_was_lost_is_come_to_again(published: tuple, on_stack: None) -> None:
    done, home, policy = published
    lost = home / "work" / done.data["work"] / "verdict.json"
    before = lost.read_bytes()
    lost.unlink()
    again = run_cli("submit", str(policy), "--json", EXPUNGE_HOME=str(home))
    assert again.code == 0, again.err
    assert (again.data["bundle"], lost.read_bytes()) == (done.data["bundle"], before)
    assert audit(home).problems == ()


def test_a_file_that_changed_since_it_was_read_is_not_carried_out(home: Path, write_policy: WritePolicy) -> None:
    path = write_policy("read")
    policy = read(path)
    path.write_text(path.read_text().replace("bicycle", "umbrella"))
    with pytest.raises(IntegrityError, match="changed since it was read"):
        submit(path, policy, Settings.load())
    assert list(receipts(home)) == []


def test_a_line_that_somebody_else_moved_is_not_taken_back(
    published: tuple, stack: Settings, on_stack: None, tmp_path: Path
) -> None:
    """What is served may have erased more than this home knows of; it says so, and "nothing to do" would be a lie."""
    done, home, policy = published
    own = home / "work" / done.data["work"] / "bundle"
    other = make_bundle(tmp_path / "other", b"somebody else's")
    publish_bundle(other, line_of(home), stack)
    try:
        again = run_cli("submit", str(policy), "--json", EXPUNGE_HOME=str(home))
    finally:
        publish_bundle(own, line_of(home), stack)
    assert (again.code, again.out) == (6, "")
    assert "this takedown does not know it" in again.err
    assert "Nothing to do" in run_cli("submit", str(policy), EXPUNGE_HOME=str(home)).out


def test_status_audit_and_report_need_no_server(published: tuple, stack: Settings, tmp_path: Path) -> None:
    _, home, policy = published
    nowhere = {"PREFECT_API_URL": "", "MLFLOW_TRACKING_URI": "", "AWS_ENDPOINT_URL_S3": "", "EXPUNGE_HOME": str(home)}
    (row,) = run_cli("status", str(policy), "--json", **nowhere).data["requests"]
    assert (row["request_id"], row["state"], row["verdict"]) == ("whole-way", "published", "PASS")
    whole = run_cli("audit", "--noted", row["receipt"], "--json", **nowhere)
    assert (whole.code, whole.data["problems"]) == (0, [])
    assert [line["head"] for line in whole.data["lines"]] == [journal(home, line_of(home)).receipts()[-1].digest]
    gone = run_cli("audit", "--noted", "0" * 64, **nowhere)
    assert (gone.code, "NOT WHOLE" in gone.out, "0" * 64 in gone.out) == (6, True, True)
    _, stranger = write_key(tmp_path, "stranger")
    forged = run_cli("audit", "--key", str(stranger), "--stored", **{**stack.variables(), "EXPUNGE_HOME": str(home)})
    on_record = len(journal(home, line_of(home)).receipts())
    assert (forged.code, forged.out.count("is signed by none of the keys")) == (6, on_record + 1), (
        "the served bundle, too"
    )
    assert f"compared with s3://{stack.bucket}/record/" in forged.out.replace("\n", "")
    page = tmp_path / "page.html"
    assert run_cli("report", str(policy), "--out", str(page), **nowhere).code == 0
    assert "whole-way" in page.read_text(encoding="utf-8")


def test_a_failed_verdict_publishes_nothing_and_says_why(
    home: Path, write_policy: WritePolicy, stack: Settings
) -> None:
    path = edited_by(write_policy("too-weak", erase="umbrella", **FEW), "uce", {"erase_scale": 0.0})
    done = run_cli("submit", str(path))
    assert done.code == 4
    assert "umbrella" in done.err
    assert "nothing was published" in done.err
    stored = s3.client(stack).list_objects_v2(Bucket=os.environ["EXPUNGE_BUCKET"])["Contents"]
    assert {entry["Key"].split("/")[0] for entry in stored} == {"record"}
    (row,) = states(home)
    assert (row["state"], row["verdict"]) == ("rejected", "FAIL")
    assert audit(home).problems == ()


def test_a_failed_verdict_is_told_though_mlflow_does_not_hear_of_it(
    home: Path, write_policy: WritePolicy, stack: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_policy("too-weak-and-unheard", erase="umbrella", **FEW)
    policy = json.loads(path.read_text())
    policy["editor"] = {"name": "uce", "settings": {"erase_scale": 0.0}}
    path.write_text(json.dumps(policy))
    monkeypatch.setenv("EXPUNGE_HOME", str(home))

    def unheard(*_: object, **__: object) -> NoReturn:
        raise ServiceUnreachable("MLflow does not serve")

    monkeypatch.setattr("expunge.flows.takedown.record_task", unheard)
    here = temporary_settings(prefect_at(stack.variables()))
    with here, pytest.raises(VerdictNotPassed, match="umbrella"):
        submit(path, read(path), Settings.load())


def test_a_policy_that_no_edit_could_pass_is_refused_before_a_picture_is_drawn(
    home: Path, write_policy: WritePolicy
) -> None:
    done = run_cli("submit", str(write_policy("too-few", erase="rainbow", seeds=1, prompts=2)))
    (row,) = states(home)
    assert (row["state"], done.code) == ("rejected", 3)
    assert "no edit could pass: rainbow was judged on 2 pictures; to prove 20.0%, 19 with none seen" in done.err
    assert "raise `acceptance.seeds`" in done.err
    assert not [*(home / "pictures").rglob("*.png")]
    assert "attempted" not in {receipt.step for receipt in receipts(home)}


def test_pages_say_how_pictures_were_drawn(home: Path, write_policy: WritePolicy) -> None:
    """What is drawn is what the examination asks, in the steps and under the guidance of the policy."""
    run_cli("submit", str(write_policy("other-settings", **{**FEW, "erase": "rainbow", "steps": 3, "guidance": 3.5})))
    (row,) = states(home)
    page = (home / "work" / row["work"] / "report.html").read_text(encoding="utf-8")
    assert "drawn in 3 steps under guidance 3.5" in page
    order = Order.load(home, row["work"])
    drawn = {path.stem for path in (home / "pictures").rglob("*.png")}
    wanted = {
        picture_key(model, question.shot, Sampler(steps=3, guidance=3.5))
        for question in examination(order).questions
        for model in (order.base, folder_digest(order.folder / "candidate"))
    }
    assert drawn == wanted
    assert audit(home).problems == ()
