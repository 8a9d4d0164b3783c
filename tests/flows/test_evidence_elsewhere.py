"""`expunge evidence` on a home that lacks the files of a request: they come from the real S3 server, by digest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from expunge.engine.files.digests import file_digest
from expunge.engine.stats.evidence import table
from expunge.engine.stats.verdict import Verdict
from expunge.tasks.core.paths import EVIDENCE, VERDICT, work_folder
from expunge.tasks.core.settings import Settings
from expunge.tasks.ledger.line.head import sharing
from expunge.tasks.storage import s3
from expunge.tasks.storage.record.place import place_of
from expunge.tasks.storage.record.shared import RecordInS3
from tests.flows.conftest import NO_SERVICES, run_cli
from tests.tasks.ledger.signatures.keys import write_key
from tests.tasks.views.lettered import publish, request


@pytest.fixture
def work(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a published work whose evidence and verdict are in S3, too."""
    monkeypatch.setenv("EXPUNGE_SIGNING_KEY", str(write_key(tmp_path, "operator")[0]))
    with sharing(home, RecordInS3.own(Settings.load())):
        return work_folder(home, publish(request(tmp_path)).work)


def key_of(home: Path, file: Path) -> str:
    return f"{place_of(home)}files/{file_digest(file)}"


@pytest.mark.parametrize("lost", [(EVIDENCE,), (VERDICT,), (EVIDENCE, VERDICT)])
def test_what_the_home_lacks_is_fetched_and_the_words_are_the_same(lost: tuple[str, ...], work: Path) -> None:
    before = run_cli("evidence", "first")
    assert (before.code, "PASS by this evidence" in before.out) == (0, True), before.err
    digests = {name: file_digest(work / name) for name in lost}
    for name in lost:
        (work / name).unlink()
    alone = run_cli("evidence", "first", **NO_SERVICES)
    assert (alone.code, alone.out) == (8, ""), "the positive control: without S3 nobody can tell"
    after = run_cli("evidence", "first")
    assert (after.code, after.out) == (0, before.out), after.err
    assert {name: file_digest(work / name) for name in lost} == digests


def nothing_seen(file: Path) -> None:
    """Evidence that reads well and says that the target is in no picture of either model."""
    frame = pd.read_parquet(file)
    table.write(frame.assign(seen=frame["seen"] & (frame["role"] != "target")), file)


def more_planned(file: Path) -> None:
    """A verdict that reads well and is another."""
    verdict = Verdict.load(file)
    file.write_text(replace(verdict, planned=verdict.planned + 1).to_json())


@pytest.mark.parametrize(("name", "forge"), [(EVIDENCE, nothing_seen), (VERDICT, more_planned)])
def test_attack_another_object_lies_under_the_digest(
    name: str, forge: Callable[[Path], Any], work: Path, home: Path, tmp_path: Path
) -> None:
    """Who may write to the bucket would let the record say what nobody saw."""
    settings, key = Settings.load(), key_of(home, work / name)
    forged = tmp_path / name
    forged.write_bytes((work / name).read_bytes())
    (work / name).unlink()
    forge(forged)
    s3.client(settings).put_object(Bucket=settings.bucket, Key=key, Body=forged.read_bytes())
    for words in (("evidence", "first"), ("evidence", "first", "--json")):
        done = run_cli(*words)
        assert (done.code, done.out) == (6, ""), done.out
        assert "is not what its name says" in done.err
    assert [path.name for path in work.iterdir() if path.name.startswith(name)] == [], "nothing of it stays here"


@pytest.mark.parametrize("name", [EVIDENCE, VERDICT])
def test_a_file_that_is_nowhere_is_named(name: str, work: Path, home: Path) -> None:
    settings = Settings.load()
    s3.client(settings).delete_object(Bucket=settings.bucket, Key=key_of(home, work / name))
    (work / name).unlink()
    done = run_cli("evidence", "first")
    assert (done.code, done.out) == (2, "")
    assert f"{name} is neither here nor in S3" in done.err
