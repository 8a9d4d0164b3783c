"""Records on the real MLflow server: one run a request, one model version a bundle."""

import dataclasses
import math
import uuid
from pathlib import Path

import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.store.artifact.s3_artifact_repo import S3ArtifactRepository
from PIL import Image

from expunge.engine.stats.evidence import table as evidence
from expunge.engine.stats.evidence.table import Row
from expunge.tasks.core.errors import ServiceUnreachable
from expunge.tasks.core.settings import Settings
from expunge.tasks.tracking.registry import is_registered, model_name, register, withdraw
from expunge.tasks.tracking.runs import (
    RunRecord,
    check_experiment,
    page_of,
    reaching,
    record,
    recorded_publications,
    recorded_run,
    shortened,
    supersede,
)


@pytest.fixture
def what(tmp_path: Path) -> RunRecord:
    shown = [("before", True, 0.9, 1), ("after", False, 0.2, 1), ("after", False, 0.7, 2), ("after", True, 0.6, 3)]
    rows = [
        Row("apple", "target", "object", "name", "an apple", seed, arm, seen, score, "")
        for arm, seen, score, seed in shown
    ]
    evidence.write(evidence.table(rows), tmp_path / "evidence.parquet")
    Image.new("RGB", (8, 8)).save(tmp_path / "sheet.png")
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/index.html").write_text("<p>docs</p>")
    (tmp_path / "report.html").write_text("<p>report</p>")
    return RunRecord(
        key=uuid.uuid4().hex,
        request_id="REQ-1",
        receipt_digest="a" * 64,
        identity={"policy": "b" * 64, "editor": "uce", "seed": "7"},
        metrics={"apple/rate_after": 0.05, "general/clip_drop": 0.01},
        tags={"state": "validated", "verdict": "PASS"},
        evidence=tmp_path / "evidence.parquet",
        data_docs=tmp_path / "docs",
        contact_sheets=(tmp_path / "sheet.png",),
        report=tmp_path / "report.html",
    )


def test_an_artifact_store_that_does_not_answer_is_told_as_a_service(
    stack: Settings, what: RunRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where MLflow is no proxy for it, its client asks S3 itself, and says so in S3's words."""
    monkeypatch.setenv("MLFLOW_S3_ENDPOINT_URL", "http://127.0.0.1:9")
    store = S3ArtifactRepository("s3://mlflow/artifacts", access_key_id="none", secret_access_key="none")
    with pytest.raises(ServiceUnreachable, match=r"MLflow at .* does not serve"), reaching(stack):
        store.log_artifact(str(what.report))


def test_the_publications_of_a_line_are_found_page_by_page_and_no_checks(
    stack: Settings, what: RunRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("expunge.tasks.tracking.runs.PAGE", 2)
    line, states = f"line-{uuid.uuid4().hex}", ["published", "replaced", "published", "reverified", "suspect"]
    runs = {}
    for state in states:
        digest = uuid.uuid4().hex
        told = dataclasses.replace(
            what, key=digest, receipt_digest=digest, identity={"line": line}, tags={"expunge.state": state}
        )
        runs[digest] = record(stack, told)
    elsewhere = dataclasses.replace(
        what, key=uuid.uuid4().hex, identity={"line": "another"}, tags={"expunge.state": "published"}
    )
    record(stack, elsewhere)
    published = {digest: run for (digest, run), state in zip(runs.items(), states, strict=True) if state in states[:3]}
    assert recorded_publications(stack, line) == published


def test_people_are_shown_the_run_or_the_server_where_there_is_none(stack: Settings, what: RunRecord) -> None:
    known = dataclasses.replace(what, receipt_digest=uuid.uuid4().hex)
    run, address = record(stack, known), "http://someone:secret@127.0.0.1:9"
    assert page_of(stack, known.receipt_digest).startswith(f"{stack.mlflow_tracking_uri}/#/experiments/")
    assert f"/runs/{run}?" in page_of(stack, known.receipt_digest)
    assert page_of(stack, uuid.uuid4().hex) == stack.mlflow_tracking_uri
    assert (
        page_of(dataclasses.replace(stack, mlflow_tracking_uri=address), known.receipt_digest) == "http://127.0.0.1:9"
    )


def client(settings: Settings) -> MlflowClient:
    return MlflowClient(tracking_uri=settings.mlflow_tracking_uri, registry_uri=settings.mlflow_tracking_uri)


def runs_of(settings: Settings, key: str) -> list[str]:
    experiment = client(settings).get_experiment_by_name("takedowns")
    assert experiment is not None
    found = client(settings).search_runs([experiment.experiment_id], f"tags.`expunge.key` = '{key}'")
    return [run.info.run_id for run in found]


def test_a_run_shows_identity_metrics_state_and_files(stack, what):
    run_id = record(stack, what)
    run = client(stack).get_run(run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params == {"request_id": "REQ-1", "receipt": "a" * 64, **what.identity}
    assert run.data.metrics == what.metrics
    assert run.data.tags["verdict"] == "PASS"
    top = {entry.path for entry in client(stack).list_artifacts(run_id)}
    assert top == {"contact_sheets", "data_docs", "evidence", "evidence.json", "report.html"}
    assert [entry.path for entry in client(stack).list_artifacts(run_id, "data_docs")] == ["data_docs/index.html"]


def test_the_list_of_runs_says_request_and_verdict(stack, what):
    told = {"expunge.verdict": "FAIL", "expunge.state": "rejected"}
    names = {
        "REQ-1: FAIL": told,
        "REQ-1: checked again PASS": {"expunge.verdict": "PASS", "expunge.state": "reverified"},
        "REQ-1: checked again FAIL": {"expunge.verdict": "FAIL", "expunge.state": "suspect"},
        "REQ-1: the base": {"expunge.verdict": "none", "expunge.state": "published"},
    }
    assert [dataclasses.replace(what, tags=tags).name for tags in names.values()] == list(names)
    run = client(stack).get_run(record(stack, dataclasses.replace(what, tags=told)))
    assert run.info.run_name == "REQ-1: FAIL"


def test_run_and_version_have_the_description_cut_between_lines_where_mlflow_would_cut_it(stack, what):
    page = "\n".join([f"line {number} " + "x" * 90 for number in range(200)])
    line = f"line-{uuid.uuid4().hex[:8]}"
    run = record(stack, dataclasses.replace(what, description=page))
    told = client(stack).get_run(run).data.tags["mlflow.note.content"]
    register(stack, "s3://expunge/bundles/d", run, line, "d" * 64)
    version = str(client(stack).get_model_version(model_name(stack, line), "1").description)
    for text, most in ((told, 8000), (version, 5000)):
        assert most - 300 < len(text) <= most
        assert text.endswith("in the bundle's README.md.")
        assert page.startswith(text.split("\n\n")[0] + "\n")
    assert shortened("short", 8000) == "short"


def test_what_speaks_against_the_model_comes_first(stack, what, tmp_path):
    run = record(stack, what)
    table = client(stack).download_artifacts(run, "evidence.json", str(tmp_path))
    rows = pd.read_json(table, orient="split")
    assert list(zip(rows["arm"], rows["seed"], strict=True)) == [
        ("after", 3),
        ("after", 2),
        ("after", 1),
        ("before", 1),
    ]
    sheets = [entry.path for entry in client(stack).list_artifacts(run, "contact_sheets")]
    assert sheets == ["contact_sheets/1-sheet.png"]


def test_the_artifacts_lie_in_s3(stack, what):
    from expunge.tasks.storage import s3

    run_id = record(stack, what)
    experiment = client(stack).get_run(run_id).info.experiment_id
    found = s3.client(stack).list_objects_v2(Bucket="mlflow", Prefix=f"artifacts/{experiment}/{run_id}/")
    assert any(entry["Key"].endswith("/evidence.parquet") for entry in found.get("Contents", []))


def test_recording_twice_gives_one_run_and_one_table(stack, what, tmp_path):
    first, second = record(stack, what), record(stack, what)
    assert first == second
    assert runs_of(stack, what.key) == [first]
    table = client(stack).download_artifacts(first, "evidence.json", str(tmp_path))
    assert len(pd.read_json(table, orient="split")) == 4


def test_the_run_of_a_replaced_request_says_by_which(stack, what):
    tags, line = {"expunge.state": "published"}, f"line-{uuid.uuid4().hex[:8]}"
    own = dataclasses.replace(what, identity={**what.identity, "line": line}, tags=tags)
    other = dataclasses.replace(own, key=uuid.uuid4().hex, request_id="REQ-2")
    elsewhere = dataclasses.replace(own, key=uuid.uuid4().hex, identity={**what.identity, "line": "another"})
    refused = dataclasses.replace(own, key=uuid.uuid4().hex, tags={"expunge.state": "rejected"})
    runs = [record(stack, each) for each in (own, other, elsewhere, refused)]
    for _ in range(2):
        supersede(stack, line, ("REQ-1", "REQ-0"), "REQ-3")
    told = [client(stack).get_run(run).data.tags for run in runs]
    assert [tags["expunge.state"] for tags in told] == ["replaced", "published", "published", "rejected"]
    assert [tags.get("expunge.replaced_by") for tags in told] == ["REQ-3", None, None, None]
    assert record(stack, own) == runs[0], "it is still the run of its receipt"


def test_what_a_crash_left_is_replaced(stack, what):
    with pytest.raises(FileNotFoundError):
        record(stack, dataclasses.replace(what, report=Path("gone.html")))
    assert len(runs_of(stack, what.key)) == 1, "the positive control: something was left behind"
    run_id = record(stack, what)
    assert runs_of(stack, what.key) == [run_id]
    assert client(stack).get_run(run_id).info.status == "FINISHED"


def test_another_outcome_of_the_same_work_has_a_run_of_its_own(stack, what):
    """Rejected on one machine and published from another, or after an upgrade: both happened, and both are shown."""
    rejected = record(stack, what)
    published = record(stack, dataclasses.replace(what, receipt_digest="c" * 64, tags={"state": "published"}))
    assert sorted(runs_of(stack, what.key)) == sorted([rejected, published])
    assert client(stack).get_run(published).data.tags["state"] == "published"
    assert record(stack, what) == rejected


def test_what_is_recorded_and_registered_is_found_by_receipt_and_bundle(stack, what):
    receipt, line, bundle = uuid.uuid4().hex * 2, f"line-{uuid.uuid4().hex}", "s3://expunge/bundles/d"
    assert recorded_run(stack, receipt) is None
    assert not is_registered(stack, line, bundle)
    run = record(stack, dataclasses.replace(what, receipt_digest=receipt))
    register(stack, bundle, run, line, "d" * 64)
    assert recorded_run(stack, receipt)
    assert is_registered(stack, line, bundle)
    assert not is_registered(stack, line, "s3://expunge/bundles/e")


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"metrics": {"apple/rate": math.nan}}, "apple/rate"),
        ({"metrics": {"apple/rate": math.inf}}, "apple/rate"),
        ({"metrics": {"apple;rate": 0.0}}, "apple;rate"),
        ({"identity": {"policy": "b" * 501}}, "policy: 501 characters"),
        ({"key": "it's"}, "key"),
    ],
)
def test_what_mlflow_would_cut_or_change_is_refused(what, wrong, says):
    with pytest.raises(ValueError, match=says):
        dataclasses.replace(what, **wrong)


def test_a_bundle_is_one_version_under_the_alias(stack, what):
    line = f"line-{uuid.uuid4().hex[:8]}"
    run_id = record(stack, what)
    uri = f"s3://expunge/bundles/{'d' * 64}"
    first = register(stack, uri, run_id, line, "d" * 64)
    again = register(stack, uri, run_id, line, "d" * 64)
    other = register(stack, f"s3://expunge/bundles/{'e' * 64}", run_id, line, "e" * 64)
    assert (first, again, other) == ("1", "1", "2")
    approved = client(stack).get_model_version_by_alias(model_name(stack, line), "approved")
    assert (str(approved.version), approved.tags["expunge.bundle"], approved.run_id) == ("2", "e" * 64, run_id)
    assert client(stack).get_model_version(model_name(stack, line), "1").source == uri


def test_installations_that_share_a_server_do_not_take_the_alias_from_each_other(stack, what):
    """One base, two buckets: staging beside production, whose line has the same name."""
    line, staging = f"line-{uuid.uuid4().hex[:8]}", dataclasses.replace(stack, bucket="staging")
    ours, theirs = f"s3://expunge/bundles/{'d' * 64}", f"s3://staging/bundles/{'e' * 64}"
    tags, identity = {"expunge.state": "published"}, {**what.identity, "line": line}
    run_id = record(stack, dataclasses.replace(what, identity={**identity, "bucket": "expunge"}, tags=tags))
    register(stack, ours, run_id, line, "d" * 64)
    register(staging, theirs, run_id, line, "e" * 64)
    assert (is_registered(stack, line, ours), is_registered(staging, line, theirs)) == (True, True)
    supersede(staging, line, ("REQ-1",), "REQ-2")
    withdraw(staging, line)
    assert (is_registered(stack, line, ours), is_registered(staging, line, theirs)) == (True, False)
    assert client(stack).get_run(run_id).data.tags["expunge.state"] == "published"
    supersede(stack, line, ("REQ-1",), "REQ-2")
    assert client(stack).get_run(run_id).data.tags["expunge.state"] == "replaced"


def test_what_an_older_version_approved_under_the_lines_own_name_is_approved_no_more(stack, what):
    line, source = f"line-{uuid.uuid4().hex[:8]}", f"s3://expunge/bundles/{'d' * 64}"
    run_id = record(stack, what)
    client(stack).create_registered_model(line)
    for where in (source, "s3://elsewhere/bundles/d"):
        version = client(stack).create_model_version(line, where, run_id)
        client(stack).set_registered_model_alias(line, "approved", str(version.version))
        withdraw(stack, line)
    assert client(stack).get_registered_model(line).aliases == {"approved": "2"}, "it is another installation's"
    client(stack).set_registered_model_alias(line, "approved", "1")
    register(stack, source, run_id, line, "d" * 64)
    assert client(stack).get_registered_model(line).aliases == {}


def test_no_server_is_named_with_its_cure(stack, what):
    with pytest.raises(ServiceUnreachable, match="MLFLOW_TRACKING_URI"):
        record(dataclasses.replace(stack, mlflow_tracking_uri="http://127.0.0.1:1"), what)


def test_an_experiment_that_was_deleted_is_named_before_any_work(stack):
    check_experiment(stack)
    experiment = client(stack).get_experiment_by_name("takedowns")
    assert experiment is not None
    client(stack).delete_experiment(experiment.experiment_id)
    try:
        with pytest.raises(ServiceUnreachable, match=f"experiments restore -x {experiment.experiment_id}"):
            check_experiment(stack)
    finally:
        client(stack).restore_experiment(experiment.experiment_id)
