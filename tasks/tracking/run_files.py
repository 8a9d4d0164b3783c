"""The files of a run in MLflow: evidence, Data Docs, pictures and the report."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from mlflow import MlflowClient

from expunge.tasks.tracking.evidence_order import against_first


def log_files(
    client: MlflowClient,
    run_id: str,
    evidence: Path | None,
    data_docs: Path | None,
    sheets: Sequence[Path],
    files: Sequence[Path | None],
) -> None:
    """Log what a run has to show, in the order in which people look at it."""
    if evidence is not None:
        client.log_artifact(run_id, str(evidence), "evidence")
        client.log_table(run_id, against_first(pd.read_parquet(evidence)), "evidence.json")
    if data_docs is not None:
        client.log_artifacts(run_id, str(data_docs), "data_docs")
    _log_sheets(client, run_id, sheets)
    for file in files:
        if file is not None:
            client.log_artifact(run_id, str(file))


def _log_sheets(client: MlflowClient, run_id: str, sheets: Sequence[Path]) -> None:
    """Log the sheets under numbers, for MLflow lists files by name."""
    with tempfile.TemporaryDirectory() as folder:
        for number, sheet in enumerate(sheets, 1):
            numbered = shutil.copyfile(sheet, Path(folder) / f"{number}-{sheet.name}")
            client.log_artifact(run_id, str(numbered), "contact_sheets")
