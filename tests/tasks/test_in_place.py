"""A line is in place where it serves what was published on it last, and S3 has all of that."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest
from prefect import Task

from expunge.engine.files.bundle import MANIFEST
from expunge.engine.files.digests import file_digest
from expunge.tasks import publish
from expunge.tasks.core.settings import Settings
from expunge.tasks.ledger.ledger import Ledger
from expunge.tasks.ledger.recorder import journal, note
from expunge.tasks.publish import follow_task, publish_task, still_in_place
from expunge.tasks.storage import s3
from expunge.tasks.storage.bundle_store import publish_bundle
from expunge.tasks.storage.manifest import prefix
from tests.mutation.frozen import changeable
from tests.tasks.records import Work
from tests.tasks.storage.bundles import make_bundle


@pytest.fixture
def settings(stack: Settings, tmp_path: Path) -> Settings:
    return replace(stack, home=tmp_path / "home")


def on_record(settings: Settings, line: str, bundle: str) -> Ledger:
    note(Work(settings.home, line, uuid4().hex), "published", {}, {"bundle": bundle})
    return journal(settings.home, line)


def published(folder: Path, settings: Settings, line: str, before: str = "") -> str:
    bundle = publish_bundle(make_bundle(folder, uuid4().bytes), line, settings, {before} if before else ())
    on_record(settings, line, bundle)
    return bundle


def test_the_last_of_several_publications_counts(tmp_path: Path, settings: Settings, line: str) -> None:
    first = published(tmp_path / "a", settings, line)
    second = published(tmp_path / "b", settings, line, first)
    published(tmp_path / "c", settings, line, second)
    assert still_in_place(journal(settings.home, line), settings)


def test_attack_a_line_serves_another_bundle_that_is_whole(tmp_path: Path, settings: Settings, line: str) -> None:
    published(tmp_path / "a", settings, line)
    other = file_digest(make_bundle(tmp_path / "b", uuid4().bytes) / MANIFEST)
    publish_bundle(tmp_path / "b", f"other-{line}", settings)
    assert not still_in_place(on_record(settings, line, other), settings)


def test_attack_a_file_of_what_a_line_serves_is_removed(tmp_path: Path, settings: Settings, line: str) -> None:
    bundle = published(tmp_path / "a", settings, line)
    client, place = s3.client(settings), f"{prefix(bundle)}/"
    key = next(name for name in sorted(s3.names_under(client, settings.bucket, place)) if name != MANIFEST)
    client.delete_object(Bucket=settings.bucket, Key=f"{place}{key}")
    assert not still_in_place(journal(settings.home, line), settings)


def test_looking_and_publishing_are_tasks_of_the_run() -> None:
    assert isinstance(follow_task, Task)
    assert isinstance(publish_task, Task)


def test_what_was_published_cannot_be_changed() -> None:
    assert changeable(publish) == []
