"""One safetensors file, whole and the same to the byte."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file

from expunge.engine.files.tensor_files import save_whole

TENSORS = {"b": torch.arange(6.0).reshape(2, 3), "a": torch.ones(3, dtype=torch.float16)}
METADATA = {name: f'{name}: "quoted" / é \n' for name in ("format", "expunge", "note", "author", "licence")}


def test_metadata_of_many_names_gives_the_same_bytes_each_time(tmp_path: Path) -> None:
    files = [tmp_path / str(number) for number in range(6)]
    for number, path in enumerate(files):
        entries = list(METADATA.items())
        save_whole(TENSORS, path, dict(entries[number:] + entries[:number]))
    assert len({path.read_bytes() for path in files}) == 1


def test_a_full_disk_is_told_as_of_any_file_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The library's own error says so in its text alone."""

    def full(*_: object) -> None:
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr("expunge.engine.files.tensor_files.save_file", full)
    with pytest.raises(OSError, match="No space left on device") as caught:
        save_whole(TENSORS, tmp_path / "file")
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, str(tmp_path / "file"))
    assert not list(tmp_path.iterdir())


def test_what_was_saved_is_read_back(tmp_path: Path) -> None:
    save_whole(TENSORS, tmp_path / "file", METADATA)
    with safe_open(tmp_path / "file", framework="pt") as handle:
        assert handle.metadata() == METADATA
    read = load_file(tmp_path / "file")
    assert all(torch.equal(read[name], tensor) and read[name].dtype == tensor.dtype for name, tensor in TENSORS.items())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]
