"""Which variables of the environment somebody reads: we, Prefect, MLflow or boto3."""

from __future__ import annotations

import re
from pathlib import Path

import mlflow.environment_variables
from prefect.settings import Settings
from prefect.settings.legacy import _get_settings_fields

ROOT = Path(__file__).parents[2]
BOTO3 = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL_S3"}
OPTIONS_OF_MLFLOW = {"MLFLOW_BACKEND_STORE_URI"}
"""What its command reads without a name in its list of variables."""


def ours() -> set[str]:
    """Return the variables that our code reads."""
    files = (file for folder in ("engine", "policies", "tasks", "flows") for file in (ROOT / folder).rglob("*.py"))
    return {name for file in files for name in re.findall(r"\bEXPUNGE_[A-Z0-9_]+\b", file.read_text(encoding="utf-8"))}


def unknown(names: set[str]) -> set[str]:
    """Return those of `names` that nobody reads."""
    mlflows = {name for name in vars(mlflow.environment_variables) if name.startswith("MLFLOW_")}
    return names - ours() - mlflows - OPTIONS_OF_MLFLOW - set(_get_settings_fields(Settings)) - BOTO3
