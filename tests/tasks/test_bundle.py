"""A bundle holds what was verified, to the byte, or it is not made."""

from __future__ import annotations

from pathlib import Path

import pytest

from expunge.engine.files.bundle import MODEL, assemble
from expunge.engine.files.digests import folder_digest
from expunge.tasks.bundle import check_proven
from expunge.tasks.core.errors import IntegrityError
from expunge.tasks.core.work_order import Ref


def made(folder: Path) -> tuple[str, dict[str, Ref]]:
    """A candidate and a file beside it in `folder`, as they were proven: digest and references."""
    (folder / "candidate").mkdir()
    (folder / "candidate" / "weights").write_bytes(b"erased")
    (folder / "deltas").write_bytes(b"deltas")
    return folder_digest(folder / "candidate"), {"deltas": Ref.of(folder / "deltas")}


def test_what_was_verified_is_bundled(tmp_path: Path) -> None:
    candidate, files = made(tmp_path)
    assemble(tmp_path / "candidate", {"deltas": tmp_path / "deltas"}, tmp_path / "bundle")
    check_proven(tmp_path / "bundle", candidate, files)


@pytest.mark.parametrize(("changed", "named"), [("candidate/weights", MODEL), ("deltas", "deltas")])
def test_weights_exchanged_after_the_proof_are_not_bundled(tmp_path: Path, changed: str, named: str) -> None:
    candidate, files = made(tmp_path)
    (tmp_path / changed).write_bytes(b"another")
    assemble(tmp_path / "candidate", {"deltas": tmp_path / "deltas"}, tmp_path / "bundle")
    with pytest.raises(IntegrityError, match=f"{named} in .* is not what was verified"):
        check_proven(tmp_path / "bundle", candidate, files)
