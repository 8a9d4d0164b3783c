"""Whether a server really serves, which is more than that its port answers."""

import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from expunge.tasks.core.errors import ExpungeError
from expunge.tasks.core.settings import Settings
from expunge.tasks.storage import s3

BUCKETS = ("mlflow", "expunge")
PROBE_KEY, PROBE_BODY = "readiness", b"expunge"


def answers(url: str) -> bool:
    """Whether a GET of `url` says 200."""
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=2) as response:
            return response.status == 200
    except (urllib.error.URLError, OSError):
        return False


def s3_serves(settings: Settings, served: Path) -> bool:
    """Whether S3 has its buckets, returns an object of an earlier life, and takes a new one.

    SeaweedFS lists buckets up to seconds before it can read old objects. `served` marks that there are old objects.
    """
    client = s3.client(settings)
    try:
        if served.exists() and not _returns(client):
            return False
        _make_buckets(client, settings.bucket)
        client.put_object(Bucket=BUCKETS[0], Key=PROBE_KEY, Body=PROBE_BODY)
        if not _returns(client):
            return False
    except (ClientError, BotoCoreError, ExpungeError):
        return False
    served.touch()
    return True


def _returns(client: Any) -> bool:
    return client.get_object(Bucket=BUCKETS[0], Key=PROBE_KEY)["Body"].read() == PROBE_BODY


def _make_buckets(client: Any, versioned: str) -> None:
    have = {bucket["Name"] for bucket in client.list_buckets().get("Buckets", [])}
    for bucket in {*BUCKETS} - have:
        client.create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=bucket == versioned)
    client.put_bucket_versioning(Bucket=versioned, VersioningConfiguration={"Status": "Enabled"})
