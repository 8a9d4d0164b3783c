"""Where things lie: the folders of a home, and what more than one step knows by name in the folder of a work."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from expunge.engine.files.atomic import write_new, write_whole
from expunge.tasks.core.errors import IntegrityError, UsageError

IDENTITY = "identity.json"
STATE = "state.json"
DELTAS = "deltas.safetensors"
TRIALS = "tuning.json"
TRAINING = "training"
CANDIDATE = "candidate"
EXCHANGED = "exchanged"
ROUNDING = "rounding.json"
EVIDENCE = "evidence.parquet"
RETURNED = "returned.parquet"
COMPARISON = "comparison.json"
VERDICT = "verdict.json"
QUALITY = "quality.json"
GATE = "gate"
SHEETS = "sheets"
REPORT = "report.html"
BUNDLE = "bundle"

FILES_OF_RECEIPTS = {
    "plan": DELTAS,
    "trials": TRIALS,
    "rounding": ROUNDING,
    "comparison": COMPARISON,
    "evidence": EVIDENCE,
    "returned": RETURNED,
    "verdict": VERDICT,
    "quality": QUALITY,
}
"""Files in the folder of a work, by the name under which receipts have the sha256 of each."""


def words_folder(home: Path) -> Path:
    """Return what models make of their own words."""
    return home / "words"


def work_folder(home: Path, key: str) -> Path:
    return home / "work" / key


def receipts_folder(home: Path) -> Path:
    return home / "receipts"


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Raise IntegrityError where what a verdict rests on is there and cannot be read: it is never taken for absent."""
    try:
        yield
    except (ValueError, KeyError, TypeError) as error:
        raise IntegrityError(
            f"{path} cannot be read ({type(error).__name__}: {error}): restore it, or remove it and submit again"
        ) from error


def write_out(path: Path, content: bytes) -> None:
    """Write the new file that `--out` names; its owner alone can read it. UsageError if it cannot be written."""
    try:
        write_new(path, content)
    except FileExistsError:
        raise UsageError(f"--out {path} is there already: name a new file") from None
    except (FileNotFoundError, NotADirectoryError):
        raise UsageError(f"--out {path} is in no folder: name a file in one") from None


def write_over(path: Path, content: bytes, mode: int | None = None) -> None:
    """Write a file over the one that is there, whole or not at all."""
    write_whole(path, content, mode)
