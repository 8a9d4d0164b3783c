"""A line that stands again as it stood after its first publication, whatever tests did to it."""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from expunge.tasks.catch_up import catch_up
from expunge.tasks.core.settings import Settings
from expunge.tasks.ledger.queries import line_status, publications, states
from expunge.tasks.ledger.recorder import journal
from expunge.tasks.publish import still_in_place
from expunge.tasks.storage import s3
from expunge.tasks.storage.bundle_store import bundle_uri, publish_bundle
from expunge.tasks.storage.record.shared import RecordInS3
from expunge.tasks.storage.record_replica import store
from expunge.tasks.tracking.registry import is_registered, model_name

DRAWN = "pictures"
"""What no reset takes away: it is the same whenever it is drawn."""


def keep(line: Settings, kept: Path) -> None:
    """Copy the home and the policy files beside it to a folder that is not there yet."""
    shutil.copytree(line.home, kept / "home", ignore=shutil.ignore_patterns(DRAWN, "*.lock", ".lock"))
    for file in line.home.parent.glob("*.yaml"):
        shutil.copy(file, kept)
    (kept / DRAWN).write_text("\n".join(path.name for path in (line.home / DRAWN).rglob("*.png")))


def draw_anew(line: Settings, kept: Path) -> None:
    """Remove what was drawn since."""
    before = set((kept / DRAWN).read_text().split("\n"))
    for path in (line.home / DRAWN).rglob("*.png"):
        if path.name not in before:
            path.unlink()


def reset(line: Settings, name: str, kept: Path) -> None:
    """Bring home, bucket and MLflow to what was kept of the home."""
    for path in line.home.iterdir():
        if path.name != DRAWN:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    shutil.copytree(kept / "home", line.home, dirs_exist_ok=True)
    for file in line.home.parent.glob("*.yaml"):
        file.unlink()
    for file in kept.glob("*.yaml"):
        shutil.copy(file, line.home.parent)
    client = s3.client(line)
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=line.bucket):
        for entry in page.get("Contents", ()):
            client.delete_object(Bucket=line.bucket, Key=entry["Key"])
    _forget_in_mlflow(line, name)
    for receipt in publications(line.home, name):
        publish_bundle(line.home / "work" / receipt.work / "bundle", name, line)
    store(line)
    record = RecordInS3.own(line)
    for receipt in journal(line.home, name).receipts():
        record.keep_named(receipt)
    catch_up(journal(line.home, name), line)


def _forget_in_mlflow(line: Settings, name: str) -> None:
    client = MlflowClient(line.mlflow_tracking_uri)
    experiment = client.get_experiment_by_name("takedowns")
    assert experiment is not None
    for run in client.search_runs([experiment.experiment_id], f"params.bucket = '{line.bucket}'"):
        client.delete_run(run.info.run_id)
    with suppress(MlflowException):
        client.delete_registered_model(model_name(line, name))


def is_sound(line: Settings, name: str, *requests: str) -> bool:
    """Whether these requests and no others are on record, and what they came to is served, approved and no suspect."""
    status = line_status(line.home, name)
    assert status is not None
    known = [row["request_id"] for row in states(line.home)]
    uri = bundle_uri(status.proof.bundle, line)
    works = [line.home / "work" / receipt.work / "bundle" for receipt in publications(line.home, name)]
    return (
        known == list(requests)
        and not status.doubts
        and all(map(Path.exists, works))
        and is_registered(line, name, uri)
        and still_in_place(journal(line.home, name), line)
    )


def is_untouched(line: Settings, name: str, kept: Path) -> bool:
    """Whether nothing was put on record since."""
    before = journal(kept / "home", name).receipts()
    return is_sound(line, name, "checked") and journal(line.home, name).receipts() == before
