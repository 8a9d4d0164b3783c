"""What is published is questioned again, from S3, on a schedule: with the real Prefect, MLflow and S3 servers.

Each test begins with a line on which one policy is in force and approved, and brings about what else it needs.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter
from prefect.client.schemas.objects import State
from prefect.client.schemas.sorting import FlowRunSort

from expunge.canonical_json import sha256
from expunge.deployments.schedule import enter, work_off
from expunge.engine.emoji import MODEL
from expunge.engine.files.bundle import VOUCHER
from expunge.engine.files.digests import file_digest, folder_digest
from expunge.flows.reverify import check, chosen, reverify_due
from expunge.policies import PolicyError, read
from expunge.tasks.audit.record import audit
from expunge.tasks.catch_up import catch_up
from expunge.tasks.core.errors import ChecksFailed, NothingOnRecord, ServiceUnreachable
from expunge.tasks.core.settings import Settings
from expunge.tasks.core.work_order import Order, Weights
from expunge.tasks.edit import plan_edit
from expunge.tasks.evidence.examination import examination
from expunge.tasks.ledger.floor_store import keep_floor
from expunge.tasks.ledger.ledger import Ledger
from expunge.tasks.ledger.line.proof import Proof, state_to_check
from expunge.tasks.ledger.policy_store import published_policies
from expunge.tasks.ledger.queries import lines_to_check, receipts, states
from expunge.tasks.ledger.receipt import Receipt
from expunge.tasks.ledger.recorder import journal
from expunge.tasks.reverify import Check, fetch_served, is_changed
from expunge.tasks.storage import s3
from expunge.tasks.storage.bundle_store import bundle_uri, publish_bundle
from expunge.tasks.storage.record_replica import differences
from expunge.tasks.tracking.abandoned_runs import MESSAGE, close_abandoned, mark_of
from expunge.tasks.tracking.registry import is_registered, model_name, withdraw
from expunge.tasks.tracking.runs import recorded_run
from tests.flows.conftest import FEW, policy_file, run_cli, submitted, withdrawal
from tests.tasks.handed_in import order_of
from tests.tasks.storage.bundles import make_bundle

OTHER = {"name": "scapre", "settings": {"strength": 10.0}}


@pytest.fixture(autouse=True)
def _sound(sound: Settings) -> None: ...


def unreachable(*_: object) -> NoReturn:
    raise ServiceUnreachable("MLflow does not serve")


def proof(line: Settings) -> Proof:
    found = Proof.of(list(receipts(line.home)))
    assert found is not None
    return found


def run_of(line: Settings, receipt: Receipt) -> Run:
    """The one by which MLflow has what ended with this receipt."""
    client = MlflowClient(line.mlflow_tracking_uri)
    experiment = client.get_experiment_by_name("takedowns")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id], f"tags.`expunge.receipt` = '{receipt.digest}'")
    return run


def artifacts(line: Settings, published: Receipt) -> set[str]:
    """What MLflow has of a publication."""
    run_id = run_of(line, published).info.run_id
    return {item.path for item in MlflowClient(line.mlflow_tracking_uri).list_artifacts(run_id)}


def state_of(line: Settings) -> str:
    """That of what was published last."""
    last = proof(line).publication.digest
    return next(row["state"] for row in states(line.home) if row["receipt"] == last)


def in_force(line: Settings) -> Path:
    """The file of the policy that no other took the place of."""
    files = (line.home.parent / f"{name}.yaml" for name in ("instead", "checked"))
    return next(path for path in files if path.exists())


def checked_once(line: Settings, name: str) -> Receipt:
    """The receipt of the last check; one is made if there is none."""
    if proof(line).check is None:
        check([name], line)
    found = proof(line).check
    assert found is not None
    return found


def harmed(line: Settings, name: str) -> None:
    """Make the line suspect: a file of what it serves is lost."""
    s3.client(line).delete_object(Bucket=line.bucket, Key=f"bundles/{proof(line).bundle}/verdict.json")
    assert check([name], line)[0]["exit_code"] == 6


def put_instead(line: Settings, base_digest: str) -> dict[str, Any]:
    """Publish another edit in the place of the one in force: a second attempt, which needs more seeds."""
    path = policy_file(line.home.parent, base_digest, "instead", **{**FEW, "seeds": 4})
    other = {"replaces": ["checked"], "editor": OTHER, "kind": "ncii"}
    path.write_text(json.dumps({**json.loads(path.read_text()), **other}))
    return submitted(line, path)


def pictures(line: Settings) -> set[str]:
    return {path.stem for path in (line.home / "pictures").rglob("*.png")}


@pytest.mark.usefixtures("untouched")
def test_what_is_published_is_questioned_again_from_s3_by_seeds_of_its_own(line: Settings, name: str) -> None:
    before = pictures(line)
    MlflowClient(line.mlflow_tracking_uri).delete_run(run_of(line, proof(line).publication).info.run_id)
    (told,) = check([name], line)
    assert (told["line"], told["suspect"], told["exit_code"], state_of(line)) == (name, [], 0, "published")
    *_, published, checked = receipts(line.home)
    assert (published.step, checked.step, checked.at) == ("published", "reverified", told["checked"])
    assert checked.inputs["bundle"] == published.outputs["bundle"] == told["bundle"]
    order = Order.load(line.home, str(checked.settings["work"]))
    asked = {question.shot for question in examination(order).questions}
    first = Order.load(line.home, str(published.settings["work"]))
    assert not asked & {question.shot for question in examination(first).questions}
    assert len(pictures(line) - before) == 2 * len(asked)
    assert not (line.home / "served" / name).exists(), "a copy of the model for every check would fill the disk"
    assert "Questioned again on" in Path(told["report"]).read_text(encoding="utf-8")
    assert is_registered(line, name, bundle_uri(told["bundle"], line))
    whole = audit(line.home)
    assert (whole.problems, list(differences(line))) == ((), [])
    assert whole.lines[0].concluded == whole.lines[0].rederived == 3
    run = run_of(line, checked)
    assert (run.data.tags["expunge.state"], run.data.params["bundle"]) == ("reverified", told["bundle"])
    assert run_of(line, published), "MLflow had lost it, and hears of it again"


def test_what_mlflow_shows_is_held_against_the_record(line: Settings, name: str) -> None:
    """Whoever may write there could show a FAIL as a PASS, and name another model approved."""
    client, told = MlflowClient(line.mlflow_tracking_uri), run_cli("audit", "--indexed", "--json")
    assert (told.code, told.data["problems"]) == (0, [])
    assert told.data["compared_with"] == f"MLflow at {line.mlflow_tracking_uri}"
    run = run_of(line, proof(line).publication).info.run_id
    for tag, flipped, own in (("verdict", "FAIL", "PASS"), ("state", "rejected", "published")):
        client.set_tag(run, f"expunge.{tag}", flipped)
        told = run_cli("audit", "--indexed", "--json")
        assert (told.code, len(told.data["problems"])) == (6, 1)
        assert re.search(rf"{run} shows .*{flipped}.* on record is PASS and published", told.data["problems"][0])
        client.set_tag(run, f"expunge.{tag}", own)
    client.set_tag(run, "expunge.receipt", "0" * 64)
    problems = run_cli("audit", "--indexed", "--json").data["problems"]
    assert [("ends no work here" in one, "no run names" in one) for one in problems] == [(True, False), (False, True)]
    client.set_tag(run, "expunge.receipt", proof(line).publication.digest)
    withdraw(line, name)
    (problem,) = run_cli("audit", "--indexed", "--json").data["problems"]
    assert "the alias names another bundle than was published last, or none" in problem
    catch_up(journal(line.home, name), line)
    assert run_cli("audit", "--indexed").code == 0


def test_what_is_served_damaged_is_suspect_until_it_is_repaired_and_checked(line: Settings, name: str) -> None:
    bundle = proof(line).bundle
    s3.client(line).delete_object(Bucket=line.bucket, Key=f"bundles/{bundle}/verdict.json")
    done = run_cli("reverify", name, "--json")
    assert done.code == 6
    (told,) = done.data["lines"]
    assert "verdict.json is missing" in told["suspect"][0]
    assert told["suspect"] == [told["problem"]]
    assert state_of(line) == "suspect"
    assert not is_registered(line, name, bundle_uri(bundle, line))
    assert (audit(line.home).problems, list(differences(line))) == ((), [])
    status = run_cli("status")
    assert (status.code, "verdict.json is missing" in status.out.replace("\n", "")) == (4, True)
    again = submitted(line, line.home.parent / "checked.yaml")
    assert (again["exit_code"], again["suspect"], again["repeated"]) == (4, told["suspect"], False)
    assert not is_registered(line, name, bundle_uri(bundle, line)), "it is repaired, and not proven"
    done = run_cli("submit", str(line.home.parent / "checked.yaml"))
    assert (done.code, "Nothing to do" in done.out, "suspect" in done.out) == (4, True, True)
    (told,) = check([name], line)
    assert (told["exit_code"], state_of(line), run_cli("status").code) == (0, "published", 0)
    assert is_registered(line, name, bundle_uri(bundle, line))


def test_attack_what_vouches_for_what_is_served_is_replaced(line: Settings, name: str, tmp_path: Path) -> None:
    """Where it is gone it is put there again."""
    client, key = s3.client(line), f"bundles/{proof(line).bundle}/{VOUCHER}"
    signed = s3.read(client, line.bucket, key)
    client.put_object(Bucket=line.bucket, Key=key, Body=signed.replace(b'"payload"', b'"Payload"'))
    (told,) = check([name], line)
    assert (told["exit_code"], len(told["suspect"])) == (6, 1)
    assert "has a signature that cannot be read" in told["suspect"][0]
    assert "remove it from S3, and the next check puts there what is on record" in told["suspect"][0]
    assert not is_registered(line, name, bundle_uri(proof(line).bundle, line))
    client.delete_object(Bucket=line.bucket, Key=key)
    (told,) = check([name], line)
    assert (told["exit_code"], s3.read(client, line.bucket, key)) == (0, signed)
    assert is_registered(line, name, bundle_uri(proof(line).bundle, line))


@pytest.mark.parametrize("of", ["a check", "a publication"])
def test_what_mlflow_failed_to_hear_it_hears_the_next_night(line: Settings, name: str, of: str) -> None:
    unheard = checked_once(line, name) if of == "a check" else proof(line).publication
    MlflowClient(line.mlflow_tracking_uri).delete_run(run_of(line, unheard).info.run_id)
    withdraw(line, name)
    assert reverify_due() == []
    assert recorded_run(line, unheard.digest)
    assert is_registered(line, name, bundle_uri(proof(line).bundle, line))


def test_a_check_that_was_killed_before_its_report_is_told_the_next_night(line: Settings, name: str) -> None:
    check = checked_once(line, name)
    MlflowClient(line.mlflow_tracking_uri).delete_run(run_of(line, check).info.run_id)
    (report := line.home / "work" / check.work / "report.html").unlink()
    assert reverify_due() == []
    assert report.exists()
    assert recorded_run(line, check.digest)


def test_an_alias_that_was_lost_is_set_again_though_the_work_was_cleared_away(line: Settings, name: str) -> None:
    withdraw(line, name)
    (line.home / "work").rename(away := line.home / "cleared")
    try:
        assert reverify_due() == []
    finally:
        shutil.rmtree(line.home / "work", ignore_errors=True)
        away.rename(line.home / "work")
    assert is_registered(line, name, bundle_uri(proof(line).bundle, line))


def test_what_mlflow_never_heard_of_is_entered_by_a_machine_that_drew_nothing(line: Settings, name: str) -> None:
    """A run was killed between the publication and its entry, and another machine takes the policy up again."""
    published, before = proof(line).publication, list(receipts(line.home))
    MlflowClient(line.mlflow_tracking_uri).delete_run(run_of(line, published).info.run_id)
    shutil.rmtree(line.home / "work")
    (line.home / "pictures").rename(away := line.home / "elsewhere")
    try:
        assert submitted(line, line.home.parent / "checked.yaml")["repeated"]
    finally:
        shutil.rmtree(line.home / "pictures", ignore_errors=True)
        away.rename(line.home / "pictures")
    assert list(receipts(line.home)) == before, "nothing is done again"
    assert run_of(line, published).info.status == "FINISHED"


def test_what_an_older_version_registered_is_registered_by_the_next_submission_and_nothing_is_done_again(
    line: Settings, name: str
) -> None:
    client, source = MlflowClient(line.mlflow_tracking_uri), bundle_uri(proof(line).bundle, line)
    client.delete_registered_model(model_name(line, name))
    client.create_registered_model(name)
    client.set_registered_model_alias(name, "approved", client.create_model_version(name, source).version)
    before = list(receipts(line.home))
    assert submitted(line, line.home.parent / "checked.yaml")["repeated"]
    assert list(receipts(line.home)) == before
    assert is_registered(line, name, source)
    assert client.get_registered_model(name).aliases == {}
    client.delete_registered_model(name)


def test_a_record_that_cannot_be_read_keeps_no_other_line_from_being_told(line: Settings, name: str) -> None:
    broken = line.home / "receipts" / f"broken-{'0' * 12}"
    broken.mkdir()
    (broken / f"000001-{'0' * 64}.json").write_text("{}")
    try:
        with pytest.raises(ChecksFailed, match="does not hold") as failed:
            reverify_due()
        assert name not in str(failed.value)
    finally:
        shutil.rmtree(broken)


def test_a_home_whose_work_was_cleared_away_has_it_again_from_s3(line: Settings, name: str) -> None:
    """So does one that was restored from the record in S3, which has receipts and policies and no work."""
    published, path = proof(line).publication, line.home.parent / "checked.yaml"
    shutil.rmtree(line.home / "work" / str(published.settings["work"]))
    done = submitted(line, path)
    assert (done["exit_code"], done["repeated"], done["bundle"]) == (0, True, bundle_uri(proof(line).bundle, line))
    assert proof(line).bundle == published.outputs["bundle"], "the same policy, base, version and seed"
    shown = run_cli("report", str(path))
    assert (shown.code, "Traceback" in shown.err) == (0, False)
    audited = run_cli("audit", "--json")
    assert (audited.code, audited.data["problems"]) == (0, []), audited.err


def test_what_is_found_is_on_record_though_mlflow_does_not_hear_of_it(
    line: Settings, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = proof(line).bundle
    lost = f"bundles/{bundle}/verdict.json"
    content = s3.read(s3.client(line), line.bucket, lost)
    s3.client(line).delete_object(Bucket=line.bucket, Key=lost)
    with monkeypatch.context() as patch:
        patch.setattr("expunge.tasks.reverify.withdraw", unreachable)
        (told,) = check([name], line)
    assert (told["exit_code"], state_of(line)) == (6, "suspect")
    assert "verdict.json is missing" in told["problem"]
    assert is_registered(line, name, bundle_uri(bundle, line)), "the positive control: nobody told MLflow"
    with pytest.raises(ChecksFailed, match=r"verdict\.json is missing"):
        reverify_due()
    assert not is_registered(line, name, bundle_uri(bundle, line))
    s3.put_once(s3.client(line), line.bucket, lost, content, hashlib.sha256(content).hexdigest())


def test_a_line_that_somebody_else_moved_is_suspect(line: Settings, name: str, tmp_path: Path) -> None:
    own = line.home / "work" / str(proof(line).publication.settings["work"]) / "bundle"
    publish_bundle(make_bundle(tmp_path / "other", b"somebody else's"), name, line)
    try:
        (told,) = check([name], line)
    finally:
        publish_bundle(own, name, line)
    assert (told["exit_code"], state_of(line)) == (6, "suspect")
    assert "somebody else moved" in told["problem"]
    assert lines_to_check(line.home, datetime.now(UTC)) == [], "it was checked, and is asked again in a month"
    with pytest.raises(ChecksFailed, match=f"{name}: .* somebody else moved") as failed:
        reverify_due()
    assert failed.value.exit_code == 4, "every night, until it is proven"
    (found,) = check([name], line, due=True)
    assert (found["exit_code"], found["problem"]) == (4, told["problem"]), "while this run waited, another found it so"


def test_a_request_in_its_place_cures_what_is_suspect(line: Settings, name: str, base_digest: str) -> None:
    """The policy in force cannot be changed, and what no longer passes needs another edit, if only by a setting."""
    harmed(line, name)
    assert state_of(line) == "suspect"
    done = put_instead(line, base_digest)
    assert (done["verdict"], done["suspect"], done["exit_code"]) == ("PASS", [], 0)
    old, new = states(line.home)
    assert (old["state"], old["reasons"], new["state"]) == ("replaced", ["by instead"], "published")
    assert is_registered(line, name, bundle_uri(proof(line).bundle, line))
    assert audit(line.home).problems == ()
    shown, hidden = (artifacts(line, receipt) for receipt in proof(line).published[-2:])
    assert shown - hidden == {"contact_sheets", "report.html"}, "no picture of a person leaves the home"
    earlier = proof(line).published[-2]
    MlflowClient(line.mlflow_tracking_uri).delete_run(run_of(line, earlier).info.run_id)
    catch_up(journal(line.home, name), line)
    assert run_of(line, earlier).data.tags["expunge.state"] == "replaced", "what it never heard of, it hears late"
    assert is_registered(line, name, bundle_uri(proof(line).bundle, line))
    again = run_cli("submit", str(line.home.parent / "checked.yaml"))
    assert (again.code, again.out) == (3, "")
    assert "checked was replaced by instead" in again.err
    unknown = policy_file(line.home.parent, base_digest, "astray", **FEW)
    unknown.write_text(json.dumps({**json.loads(unknown.read_text()), "replaces": ["nobody"]}))
    with pytest.raises(PolicyError, match="no request 'nobody' is on record on this base"):
        submitted(line, unknown)
    assert states(line.home)[-1]["state"] == "rejected"
    assert [row["state"] for row in states(line.home)] == ["replaced", "published", "rejected"]


def test_attack_an_unsigned_pass_overrides_what_was_signed_and_nobody_takes_it(line: Settings, name: str) -> None:
    """Status, submission, the nightly check and MLflow's alias, on the real servers."""
    last, served = proof(line).publication, proof(line).bundle
    verdict = {"outcome": "PASS", "reasons": [], "doubts": []}
    forged = Ledger(line.home / "receipts", name).append(
        "reverified",
        request_id=last.request_id,
        who="x",
        inputs={"bundle": served},
        outputs={},
        settings=last.settings,
        verdict=verdict,
    )
    withdraw(line, name)
    try:
        assert run_cli("status").code == run_cli("audit").code == 6
        again = run_cli("submit", str(in_force(line)))
        assert (again.code, "has no signature" in again.err) == (6, True)
        (told,) = check([name], line)
        assert (told["exit_code"], "has no signature" in told["problem"]) == (6, True)
        with pytest.raises(ChecksFailed, match="has no signature"):
            reverify_due()
        assert not is_registered(line, name, bundle_uri(served, line))
    finally:
        (line.home / "receipts" / name / forged.file_name).unlink()
    catch_up(journal(line.home, name), line)
    assert is_registered(line, name, bundle_uri(served, line))


def test_attack_s3_serves_an_old_bundle_or_junk_and_the_audit_compares_it(
    line: Settings, name: str, tmp_path: Path
) -> None:
    def problems() -> set[str]:
        return set(run_cli("audit", "--stored", "--json").data["problems"])

    assert "what S3 serves" not in run_cli("audit", "--stored").out
    known, client, bundle = problems(), s3.client(line), proof(line).bundle
    own = line.home / "work" / str(proof(line).publication.settings["work"]) / "bundle"
    publish_bundle(make_bundle(tmp_path / "other", b"an old one"), name, line)
    try:
        (moved,) = problems() - known
        assert moved.startswith(f"S3, {name}: {name} serves ")
        assert "somebody else moved" in moved
    finally:
        publish_bundle(own, name, line)
    for key, content, problem in (
        ("verdict.json", b"junk", "verdict.json has the sha256"),
        ("manifest.json", b"{}", "its manifest.json has the sha256"),
        (VOUCHER, b"[" * 100_000, "has a signature that cannot be read"),
        ("model/unet/more.safetensors", b"more", "lies beside its files and is in no manifest"),
    ):
        place = f"bundles/{bundle}/{key}"
        before = s3.read(client, line.bucket, place) if s3.is_there(client, line.bucket, place) else None
        client.put_object(Bucket=line.bucket, Key=place, Body=content)
        try:
            (found,) = problems() - known
            assert problem in found
        finally:
            client.delete_object(Bucket=line.bucket, Key=place)
            if before is not None:
                client.put_object(Bucket=line.bucket, Key=place, Body=before)
    assert problems() == known


def test_attack_junk_in_place_of_the_weights_or_an_old_bundle_is_found_the_same_night(
    line: Settings, name: str, tmp_path: Path
) -> None:
    """The proof is less than a month old, so that nothing is due."""
    assert (check([name], line)[0]["exit_code"], chosen(line.home, name, due=True)) == (0, [])
    assert (is_changed(name, line), run_cli("reverify", "--due").code) == (False, 0), "the positive control"
    client, bundle = s3.client(line), proof(line).bundle
    place = f"bundles/{bundle}/model/unet/diffusion_pytorch_model.safetensors"
    weights = client.get_object(Bucket=line.bucket, Key=place)["Body"].read()
    junk, as_base64 = weights[:-1] + bytes([weights[-1] ^ 1]), s3.as_base64(sha256(weights))
    client.put_object(Bucket=line.bucket, Key=place, Body=junk, Metadata={"x-amz-checksum-sha256": as_base64})
    done = run_cli("reverify", "--due", "--json")
    (told,) = done.data["lines"]
    assert (done.code, state_of(line)) == (6, "suspect")
    assert "diffusion_pytorch_model.safetensors" in told["suspect"][0]
    assert not is_registered(line, name, bundle_uri(bundle, line))
    before = len(list(receipts(line.home)))
    assert (run_cli("reverify", "--due").code, len(list(receipts(line.home)))) == (4, before), "one receipt is enough"
    client.put_object(Bucket=line.bucket, Key=place, Body=weights)
    own = line.home / "work" / str(proof(line).publication.settings["work"]) / "bundle"
    publish_bundle(make_bundle(tmp_path / "old", b"an old one"), name, line)
    try:
        assert is_changed(name, line)
    finally:
        publish_bundle(own, name, line)
    assert not is_changed(name, line)
    assert check([name], line)[0]["exit_code"] == 0


KILLED = """
import os, signal, sys
from pathlib import Path
from prefect import flow
from expunge.tasks.tracking.abandoned_runs import mark_run
@flow
def killed() -> None:
    mark_run(sys.argv[1], Path(sys.argv[2]))
    os.kill(os.getpid(), signal.SIGKILL)
killed()
"""


@pytest.mark.parametrize("by", ["the nightly flow", "the next submission"])
def test_a_run_that_was_killed_is_closed_in_prefect(line: Settings, name: str, by: str) -> None:
    """By a real SIGKILL; a run of another line is left alone."""
    other = f"other-{'1' * 12}"
    for each in (name, other):
        done = subprocess.run([sys.executable, "-c", KILLED, each, str(line.home)], capture_output=True)
        assert done.returncode == -9, done.stderr
    assert [state.name for state in states_of_runs(name, line)].count("Running") == 1
    if by == "the nightly flow":
        reverify_due()
    else:
        submitted(line, in_force(line))
    assert {state.type.value for state in states_of_runs(name, line)} & {"RUNNING", "PENDING"} == set()
    (crashed,) = (state for state in states_of_runs(name, line)[-1:])
    assert (crashed.name, crashed.message) == ("Crashed", MESSAGE)
    assert states_of_runs(other, line)[-1].name == "Running"
    assert close_abandoned(other, line.home) == 1


def states_of_runs(name: str, line: Settings) -> list[State]:
    wanted = FlowRunFilter.model_validate({"tags": {"all_": [mark_of(name, line.home)]}})
    with get_client(sync_client=True) as client:
        runs = client.read_flow_runs(flow_run_filter=wanted, sort=FlowRunSort.START_TIME_ASC)
    return [run.state for run in runs if run.state]


def test_what_can_be_checked_is_what_is_published(line: Settings, name: str, tmp_path: Path) -> None:
    assert chosen(line.home, "", due=False) == chosen(line.home, name, due=False) == [name]
    assert chosen(line.home, name, due=True) == []
    assert check([], line) == []
    with pytest.raises(NothingOnRecord, match="nothing is published on a line 'no-line'"):
        chosen(line.home, "no-line", due=False)
    with pytest.raises(NothingOnRecord, match="nothing is published here"):
        chosen(tmp_path, "", due=True)


def test_the_schedule_is_entered_and_a_worker_runs_what_is_due(
    line: Settings, name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """The proof is less than a month old, so nothing is: the run ends well and asks nothing."""
    before = len(list(receipts(line.home)))
    enter(line)
    for words in (("deployment", "schedule", "ls"), ("deployment", "run")):
        subprocess.run([sys.executable, "-m", "prefect", *words, "reverify what is due/daily"], check=True)
    work_off(line, "--run-once")
    told = capfd.readouterr()
    assert "0 3 * * *" in told.out
    assert "for flow 'reverify what is due'" in told.out + told.err
    assert "Finished in state Completed()" in told.out + told.err
    assert len(list(receipts(line.home))) == before


@pytest.mark.slow
def test_a_withdrawal_gives_back_what_it_names_and_keeps_the_rest_erased(
    line: Settings, name: str, base_digest: str
) -> None:
    put_instead(line, base_digest)
    second = policy_file(line.home.parent, base_digest, "second", "umbrella", **{**FEW, "seeds": 4})
    second.write_text(json.dumps({**json.loads(second.read_text()), "editor": OTHER}))
    assert submitted(line, second)["verdict"] == "PASS"
    done = submitted(line, withdrawal(second, "back", "instead"))
    assert (done["verdict"], {row["name"] for row in done["concepts"] if row["role"] == "erased"}) == (
        "PASS",
        {"umbrella"},
    )
    told = {row["request_id"]: row["state"] for row in states(line.home)}
    assert (told["instead"], told["second"], told["back"]) == ("replaced", "published", "published")
    (line.home.parent / "alone").mkdir()
    alone = policy_file(line.home.parent / "alone", base_digest, "alone", "umbrella", **{**FEW, "seeds": 4})
    alone.write_text(json.dumps({**json.loads(alone.read_text()), "editor": OTHER}))
    served_plan = line.home / "work" / done["work"] / "deltas.safetensors"
    fresh = plan_edit(order_of(read(alone), line.home.parent / "alone" / "home"))
    assert fresh.sha256 == file_digest(served_plan), "the edit is as if what was withdrawn had never been asked for"
    (checked,) = check([name], line)
    assert (checked["exit_code"], audit(line.home).problems) == (0, ())


def test_what_is_proven_no_more_is_suspect(line: Settings, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The unedited model shows all that was erased; that another than the published one was asked the audit sees."""

    def unedited(own: Check) -> Weights:
        fetch_served(own)
        return Weights(MODEL, folder_digest(MODEL))

    monkeypatch.setattr("expunge.tasks.reverify.fetch_served", unedited)
    monkeypatch.setattr("expunge.tasks.reverify.withdraw", unreachable)
    chain = list(receipts(line.home))
    (erased,) = state_to_check(published_policies(line.home, chain), chain, keep_floor(line.home)).concepts
    (told,) = check([name], line)
    assert (told["exit_code"], state_of(line)) == (4, "suspect")
    assert told["problem"].startswith(f"FAIL, what {name} serves is suspect:")
    assert any(erased.name in reason for reason in told["suspect"])
    page = Path(told["report"]).read_text(encoding="utf-8")
    assert "What is served is suspect, because:" in page
    assert is_registered(line, name, bundle_uri(told["bundle"], line)), "MLflow did not hear of it"
    monkeypatch.undo()
    with pytest.raises(ChecksFailed, match=name):
        reverify_due()
    assert not is_registered(line, name, bundle_uri(told["bundle"], line))
    (problem,) = audit(line.home).problems
    assert f"it questioned the model {folder_digest(MODEL)}, published last is" in problem
