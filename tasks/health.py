"""Are the services there? Asked before any work, so that nobody waits for minutes to hear that one is not."""

from __future__ import annotations

import urllib.error
import urllib.request
from typing import Any

from botocore.exceptions import ClientError, ParamValidationError

from tasks import s3
from tasks.errors import ServiceUnreachable
from tasks.settings import Settings

SECONDS = 5


def reach(settings: Settings) -> None:
    """ServiceUnreachable names the first of Prefect, MLflow and S3 that does not answer, and the cure."""
    ping("Prefect", settings.prefect_api_url, "PREFECT_API_URL")
    ping("MLflow", settings.mlflow_tracking_uri, "MLFLOW_TRACKING_URI")
    client = s3.client(settings)
    check_bucket(client, settings.bucket)
    check_history(client, settings.bucket)
    if settings.retention_days:
        check_lock(client, settings.bucket)


def ping(service: str, url: str, variable: str) -> None:
    """ServiceUnreachable, with the cure, unless `url` answers at its /health within seconds."""
    try:
        urllib.request.urlopen(f"{url}/health", timeout=SECONDS).close()
    except (urllib.error.URLError, OSError, ValueError) as error:
        raise ServiceUnreachable(
            f"{service} at {url} does not answer ({error}): `make up`, or set {variable}"
        ) from error


def check_bucket(client: Any, bucket: str) -> None:
    """ServiceUnreachable unless there is the bucket and the keys open it."""
    with s3.reaching(client):
        try:
            client.head_bucket(Bucket=bucket)
        except (ClientError, ParamValidationError) as error:
            # a HEAD is answered without a body, so its status is all that tells why
            why = f"HTTP {s3.status(error)}" if isinstance(error, ClientError) else "no bucket can have that name"
            raise ServiceUnreachable(
                f"S3 at {client.meta.endpoint_url} does not give access to the bucket {bucket!r} ({why}): check "
                f"EXPUNGE_BUCKET, AWS_DEFAULT_REGION, and the keys {s3.KEYS}"
            ) from error


def check_lock(client: Any, bucket: str) -> None:
    """ServiceUnreachable unless the bucket can lock what it holds."""
    with s3.reaching(client):
        try:
            client.get_object_lock_configuration(Bucket=bucket)
        except ClientError as error:
            if s3.code(error) != "ObjectLockConfigurationNotFoundError":
                raise
            raise ServiceUnreachable(
                f"the bucket {bucket!r} has no Object Lock, which EXPUNGE_RETENTION_DAYS asks for: name one that has "
                "by EXPUNGE_BUCKET, or take the variable away"
            ) from error


def check_history(client: Any, bucket: str) -> None:
    """ServiceUnreachable unless the keys may list the versions of what the bucket holds."""
    with s3.reaching(client):
        client.list_object_versions(Bucket=bucket, MaxKeys=1)
