"""What must outlast a power loss is on disk before it is named; what a verdict rests on is never taken for absent."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from expunge.engine.files.atomic import write_whole
from expunge.engine.models.sampling import Sampler
from expunge.tasks.core.errors import IntegrityError
from expunge.tasks.core.paths import QUALITY, readable
from expunge.tasks.evidence.budget import Budget, Cost, known_pace, remember_pace, spend, spent
from expunge.tasks.evidence.quality import read_quality

SPOILT = [b"", b"\0\0\0\0\0\0", b"\xff\xfe", b'{"pictures":']


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, int]]:
    """(what, name, size) of every fsync and every rename, which are done as ever."""
    done, fsync, rename = [], os.fsync, os.rename

    def synced(handle: int) -> None:
        fsync(handle)
        path = Path(os.readlink(f"/proc/self/fd/{handle}"))
        done.append(("sync", path.name, path.stat().st_size if path.is_file() else 0))

    def renamed(source: Path, target: Path) -> None:
        rename(source, target)
        done.append(("rename", Path(target).name, 0))

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", renamed)
    return done


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="names what is synced by /proc")
def test_content_is_on_disk_before_the_name_and_the_name_before_anybody_hears_of_it(
    tmp_path: Path, steps: list[tuple[str, str, int]]
) -> None:
    write_whole(tmp_path / "folder" / "file", b"content")
    assert [what for what, _, _ in steps] == ["sync", "rename", "sync"]
    (_, scratch, size), (_, name, _), (_, folder, _) = steps
    assert (size, name, folder) == (len(b"content"), "file", "folder")
    assert scratch != name
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["file"]


def pace_file(home: Path) -> Path:
    return home / "pace" / f"base-{Sampler().digest[:12]}"


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="names what is synced by /proc")
def test_estimates_are_written_so(tmp_path: Path, steps: list[tuple[str, str, int]]) -> None:
    budget = Budget(minutes=1.0)
    budget.drew(1, 1)
    spend(tmp_path, budget)
    remember_pace(tmp_path, "base", Sampler(), 0.25)
    assert [name for what, name, _ in steps if what == "rename"] == ["cost.json", pace_file(tmp_path).name]
    assert [what for what, _, _ in steps] == ["sync", "rename", "sync"] * 2


@pytest.mark.parametrize("content", SPOILT)
def test_a_spoilt_estimate_is_none_and_is_made_anew(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "pace").mkdir()
    for path in (pace_file(tmp_path), tmp_path / "cost.json"):
        path.write_bytes(content)
    assert known_pace(tmp_path, "base", Sampler()) is None
    assert spent(tmp_path) == Cost()
    budget = Budget(minutes=1.0, clock=lambda: 0.0)
    budget.drew(3, 3)
    spend(tmp_path, budget)
    remember_pace(tmp_path, "base", Sampler(), 0.25)
    assert (spent(tmp_path), known_pace(tmp_path, "base", Sampler())) == (Cost(3, 0.0), 0.25)


@pytest.mark.parametrize("content", SPOILT)
def test_a_spoilt_record_is_no_missing_one(tmp_path: Path, content: bytes) -> None:
    (tmp_path / QUALITY).write_bytes(content)
    with pytest.raises(IntegrityError, match=rf"{QUALITY} cannot be read.*submit again"):
        read_quality(tmp_path)


def test_a_record_that_is_not_there_is_another_matter(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), readable(tmp_path / "none"):
        (tmp_path / "none").read_bytes()
