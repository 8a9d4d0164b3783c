"""Are the services there? Asked before any work, so that nobody waits for minutes to hear that one is not."""

from __future__ import annotations

import urllib.error
import urllib.request

from tasks import s3
from tasks.errors import ServiceUnreachable
from tasks.settings import Settings

SECONDS = 5


def reach(settings: Settings) -> None:
    """ServiceUnreachable names the first of Prefect, MLflow and S3 that does not answer, and the cure."""
    ping("Prefect", settings.prefect_api_url, "PREFECT_API_URL")
    ping("MLflow", settings.mlflow_tracking_uri, "MLFLOW_TRACKING_URI")
    client = s3.client(settings)
    s3.check_bucket(client, settings.bucket)
    s3.check_history(client, settings.bucket)
    if settings.retention_days:
        s3.check_lock(client, settings.bucket)


def ping(service: str, url: str, variable: str) -> None:
    """ServiceUnreachable, with the cure, unless `url` answers at its /health within seconds."""
    try:
        urllib.request.urlopen(f"{url}/health", timeout=SECONDS).close()
    except (urllib.error.URLError, OSError, ValueError) as error:
        raise ServiceUnreachable(
            f"{service} at {url} does not answer ({error}): `make up`, or set {variable}"
        ) from error
