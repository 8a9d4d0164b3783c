"""The floor in force, as the environment names it, and floors as they were, each under the digest of what it says."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from expunge import policies
from expunge.engine.files.atomic import write_whole
from expunge.engine.files.bundle import DIGEST
from expunge.policies import Floor, Policy, PolicyErrors, read, read_floor
from expunge.tasks.core.errors import IntegrityError, UsageError

BUILT_IN = Path(policies.__file__).parent / "floor.yaml"


def floor_file() -> Path:
    """Return `$EXPUNGE_FLOOR`, or the built-in floor where it is unset."""
    return Path(os.environ.get("EXPUNGE_FLOOR") or BUILT_IN)


def floor_in_force() -> Floor:
    """Return what no policy may go below now; UsageError if the file cannot be read or is not exactly a floor."""
    try:
        return read_floor(floor_file())
    except PolicyErrors as error:
        raise UsageError(f"EXPUNGE_FLOOR names no floor:\n{error}") from None


def accepted_floors(named: Iterable[str]) -> list[str]:
    """Return the digests of floors that are named by file or by digest. UsageError where one is neither."""
    return [text if DIGEST.fullmatch(text) else _digest_of(Path(text)) for text in named]


def _digest_of(file: Path) -> str:
    try:
        return read_floor(file).digest
    except (PolicyErrors, OSError) as error:
        raise UsageError(f"--floor takes the file of a floor, or its digest of 64 hex digits:\n{error}") from None


def read_to_submit(path: Path, home: Path) -> Policy:
    """Return the policy in the file, raised to the floor if it was published here already.

    A policy that was published cannot be changed any more.

    Raises:
        PolicyErrors: it is below the floor and was not published here.
    """
    try:
        return read(path, floor_in_force())
    except PolicyErrors:
        from expunge.tasks.ledger.queries import line_of, publication

        policy = read(path)
        if publication(home, line_of(policy, home), policy.digest) is None:
            raise
        return policy


def keep_floor(home: Path) -> Floor:
    """Keep the file of the floor in force in the home, and return the floor.

    A copy that was altered is replaced.
    """
    floor = floor_in_force()
    if _kept(home, floor.digest) is None:
        write_whole(_path(home, floor.digest), floor_file().read_bytes())
    return kept_floor(home, floor.digest)


def kept_floor(home: Path, digest: str) -> Floor:
    """Return the floor that a receipt names; IntegrityError if it is not there, or says something else by now."""
    floor = _kept(home, digest)
    if floor is None:
        raise IntegrityError(f"{_path(home, digest)} is not the floor that was in force: restore it from a backup")
    return floor


def _kept(home: Path, digest: str) -> Floor | None:
    try:
        floor = read_floor(_path(home, digest))
    except PolicyErrors:
        return None
    return floor if floor.digest == digest else None


def _path(home: Path, digest: str) -> Path:
    return home / "floors" / f"{digest}.yaml"
