"""The files of a run in MLflow: evidence, Data Docs, pictures and the report."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
from mlflow import MlflowClient

from expunge.tasks.views.evidence_order import against_first

if TYPE_CHECKING:
    from expunge.tasks.tracking.runs import RunRecord


def log_files(client: MlflowClient, run_id: str, what: RunRecord) -> None:
    """Log what a run has to show, in the order in which people look at it."""
    if what.evidence is not None:
        client.log_artifact(run_id, str(what.evidence), "evidence")
        client.log_table(run_id, against_first(pd.read_parquet(what.evidence)), "evidence.json")
    if what.data_docs is not None:
        client.log_artifacts(run_id, str(what.data_docs), "data_docs")
    _log_sheets(client, run_id, what.contact_sheets)
    if what.report is not None:
        client.log_artifact(run_id, str(what.report))
    for file in what.further:
        client.log_artifact(run_id, str(file))


def _log_sheets(client: MlflowClient, run_id: str, sheets: Sequence[Path]) -> None:
    """Log the sheets under numbers, for MLflow lists files by name."""
    with tempfile.TemporaryDirectory() as folder:
        for number, sheet in enumerate(sheets, 1):
            numbered = shutil.copyfile(sheet, Path(folder) / f"{number}-{sheet.name}")
            client.log_artifact(run_id, str(numbered), "contact_sheets")
