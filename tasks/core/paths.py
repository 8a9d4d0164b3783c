"""Where things lie: the folders of a home, and what more than one step knows by name in the folder of a work."""

from __future__ import annotations

from pathlib import Path

STATE = "state.json"
DELTAS = "deltas.safetensors"
TRIALS = "tuning.json"
TRAINING = "training"
CANDIDATE = "candidate"
EXCHANGED = "exchanged"
ROUNDING = "rounding.json"
EVIDENCE = "evidence.parquet"
COMPARISON = "comparison.json"
VERDICT = "verdict.json"
QUALITY = "quality.json"
GATE = "gate"
SHEETS = "sheets"
REPORT = "report.html"
BUNDLE = "bundle"


def words_folder(home: Path) -> Path:
    """Return what models make of their own words."""
    return home / "words"


def work_folder(home: Path, key: str) -> Path:
    return home / "work" / key


def receipts_folder(home: Path) -> Path:
    return home / "receipts"
