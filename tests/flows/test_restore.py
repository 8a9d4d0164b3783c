"""Where all requests on a base are withdrawn the base itself is published: with the real Prefect, MLflow and S3."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from botocore.exceptions import EndpointConnectionError
from mlflow import MlflowClient

from expunge.engine.emoji import MODEL
from expunge.engine.files.digests import folder_digest
from expunge.flows.reverify import chosen, reverify_due
from expunge.policies import PolicyConflict
from expunge.tasks.audit.record import audit
from expunge.tasks.core.errors import ChecksFailed, IntegrityError, NothingOnRecord, ServiceUnreachable
from expunge.tasks.core.settings import Settings
from expunge.tasks.ledger.queries import is_restored, lines_to_check, receipts, states
from expunge.tasks.ledger.recorder import journal
from expunge.tasks.restore import look_task
from expunge.tasks.reverify import next_check
from expunge.tasks.storage import s3
from expunge.tasks.storage.bundle_store import fetch_bundle, publish_bundle
from expunge.tasks.storage.record_replica import differences
from expunge.tasks.tracking.registry import is_registered
from tests.flows.conftest import FEW, policy_file, run_cli, submitted, withdrawal
from tests.flows.lines import is_sound, reset
from tests.tasks.storage.puts import hook_puts


def served(line: Settings, name: str, out: Path) -> str:
    """The digest of the model that a line serves."""
    return folder_digest(fetch_bundle(name, out, line).model)


def told_by_mlflow(line: Settings) -> list[tuple[str, str, str | None]]:
    """Request, state and successor of each run of the line, the oldest first."""
    client = MlflowClient(line.mlflow_tracking_uri)
    experiment = client.get_experiment_by_name("takedowns")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], f"params.bucket = '{line.bucket}'")
    tags = [(run.data.params["request_id"], run.data.tags) for run in reversed(runs)]
    return [(request, told["expunge.state"], told.get("expunge.replaced_by")) for request, told in tags]


def away(line: Settings) -> Path:
    return withdrawal(line.home.parent / "checked.yaml", "away", "checked")


@pytest.fixture
def restored(line: Settings, name: str, kept: Path) -> None:
    """All is withdrawn, and the base is in place and approved."""
    if not (is_restored(line.home, name) and is_sound(line, name, "checked", "away")):
        reset(line, name, kept)
        submitted(line, away(line))


@pytest.mark.usefixtures("untouched")
def test_the_withdrawal_of_all_publishes_the_base_byte_for_byte(line: Settings, name: str, tmp_path: Path) -> None:
    """Which its plan says beforehand."""
    planned = run_cli("plan", str(away(line)), "--json")
    assert (planned.code, planned.data["restores"], planned.data["base"]) == (0, True, folder_digest(MODEL))
    done = submitted(line, away(line))
    edited, _ = (receipt.outputs["bundle"] for receipt in receipts(line.home) if receipt.step == "published")
    assert folder_digest(fetch_bundle(edited, tmp_path / "edited", line).model) != folder_digest(MODEL)
    assert (done["restored"], done["verdict"], done["concepts"], done["report"]) == (True, None, [], None)
    assert (done["exit_code"], done["repeated"]) == (0, False)
    assert served(line, name, tmp_path / "restored") == folder_digest(MODEL)
    assert is_registered(line, name, done["bundle"])
    none = run_cli("export", str(tmp_path / "restored"), "--to", "delta", "--out", str(tmp_path / "edit"))
    assert (none.code, "holds a base as it was, and no edit" in none.err) == (2, True)
    assert told_by_mlflow(line) == [("checked", "replaced", "away"), ("away", "published", None)]
    old, new = states(line.home)
    assert (old["state"], old["reasons"]) == ("replaced", ["by away"])
    assert (new["state"], new["proof_due"]) == ("restored", None)
    assert [receipt.step for receipt in receipts(line.home)][-3:] == ["read", "bundled", "published"]
    assert (audit(line.home).problems, list(differences(line))) == ((), [])


@pytest.mark.usefixtures("restored")
def test_what_was_restored_is_told_and_not_done_again(line: Settings) -> None:
    again = run_cli("submit", str(away(line)))
    assert (again.code, "Nothing to do" in again.out, "RESTORED: all requests are withdrawn" in again.out) == (
        0,
        True,
        True,
    )
    none = run_cli("report", str(away(line)))
    assert (none.code, none.out) == (2, "")
    assert "away has no verification on record here, for it published the base" in none.err
    with pytest.raises(PolicyConflict, match="checked was replaced by away"):
        submitted(line, line.home.parent / "checked.yaml")


@pytest.mark.usefixtures("restored")
def test_a_restored_base_is_looked_at_every_night_and_nothing_is_asked(line: Settings, name: str) -> None:
    before = list(receipts(line.home))
    assert (chosen(line.home, name, due=True), reverify_due()) == ([name], [name])
    assert list(receipts(line.home)) == before
    with pytest.raises(NothingOnRecord, match=f"{name} serves its base: all requests are withdrawn"):
        next_check(journal(line.home, name), line)


@pytest.mark.usefixtures("restored")
def test_a_restored_base_that_is_not_whole_or_not_served_is_told_until_it_is_repaired(
    line: Settings, name: str, tmp_path: Path
) -> None:
    edited, base = (receipt.outputs["bundle"] for receipt in receipts(line.home) if receipt.step == "published")
    fetch_bundle(edited, tmp_path / "edited", line)
    publish_bundle(tmp_path / "edited", name, line)
    with pytest.raises(ChecksFailed, match=f"{name}: {name} serves {edited}, and bundle {base} was published last"):
        reverify_due()
    fetch_bundle(base, tmp_path / "base", line)
    publish_bundle(tmp_path / "base", name, line)
    s3.client(line).delete_object(Bucket=line.bucket, Key=f"bundles/{base}/README.md")
    done = run_cli("reverify", name)
    assert (done.code, f"the base that {name} serves, is not whole" in done.out) == (6, True)
    assert "not as published" in done.out
    assert submitted(line, away(line))["repeated"] is False
    done = run_cli("reverify", name)
    assert (done.code, "the base" in done.out, "nothing to prove" in done.out) == (0, True, True)


@pytest.mark.usefixtures("restored")
def test_a_base_that_is_another_model_is_told(line: Settings, name: str, tmp_path: Path) -> None:
    """The bundle is whole, and the pointer names what the receipts say was published last."""
    copy = shutil.copytree(line.home, tmp_path / "copy")
    edited, base, *_ = (receipt.outputs["bundle"] for receipt in receipts(copy) if receipt.step == "published")
    *_, last = (receipt for receipt in receipts(copy) if receipt.step == "published")
    told = {"inputs": last.inputs, "outputs": {"bundle": edited}, "settings": last.settings}
    journal(copy, name).append("published", request_id="away", who="x", **told)
    publish_bundle(fetch_bundle(edited, tmp_path / "edited", line).folder, name, line)
    try:
        with pytest.raises(IntegrityError, match=f"{name} serves the model .*, its base is {folder_digest(MODEL)}"):
            look_task.fn(journal(copy, name), replace(Settings.load(), home=copy))
    finally:
        publish_bundle(fetch_bundle(base, tmp_path / "base", line).folder, name, line)


@pytest.mark.slow
@pytest.mark.usefixtures("restored")
def test_the_next_request_on_a_restored_base_is_as_the_first(line: Settings, name: str, base_digest: str) -> None:
    done = submitted(line, policy_file(line.home.parent, base_digest, "later", "bicycle", **FEW | {"seeds": 3}))
    assert (done["restored"], done["verdict"]) == (False, "PASS")
    again = run_cli("submit", str(away(line)))
    assert (again.code, "other requests have been published since" in again.out) == (0, True)
    assert "still in place" not in again.out
    assert [row["state"] for row in states(line.home)] == ["replaced", "published", "published"]
    assert lines_to_check(line.home) == [name]
    assert (audit(line.home).problems, list(differences(line))) == ((), [])


def test_a_store_that_takes_nothing_is_found_before_any_work(
    line: Settings, base_digest: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: str) -> None:
        raise EndpointConnectionError(endpoint_url="http://127.0.0.1")

    before = list(receipts(line.home))
    hook_puts(monkeypatch, full)
    (line.home / "keys" / f"{'0' * 64}.pem").write_text("not copied yet")
    with pytest.raises(ServiceUnreachable, match="does not answer"):
        submitted(line, policy_file(tmp_path, base_digest, "late", "umbrella", **FEW))
    (line.home / "keys" / f"{'0' * 64}.pem").unlink()
    assert list(receipts(line.home)) == before
