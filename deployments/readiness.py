"""Whether a server really serves, which is more than that its port answers, and turns away who has no key."""

import socket
import ssl
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from expunge.deployments.ports import HOST
from expunge.errors import ExpungeError
from expunge.tasks.core.settings import Settings
from expunge.tasks.storage import s3

BUCKETS = ("mlflow", "expunge")
PROBE_KEY, PROBE_BODY = "readiness", b"expunge"
SECONDS = 2
REFUSED = (401, 403)
NO_CERTIFICATE = {
    "TLSV13_ALERT_CERTIFICATE_REQUIRED",
    "SSLV3_ALERT_BAD_CERTIFICATE",
    "TLSV1_ALERT_CERTIFICATE_REQUIRED",
}


def answers(url: str) -> bool:
    """Return whether a GET of `url` says 200."""
    return _status(url) == 200


def refuses_strangers(url: str) -> bool:
    """Return whether a GET of `url` without any key is refused, and not for another reason."""
    return _status(url) in REFUSED


def asks_for_a_certificate(port: int) -> bool:
    """Return whether a TLS connection to `port` on this machine is ended because it came without a certificate.

    With TLS 1.3 the server says so when the client, which takes the connection to be there, first listens.
    """
    stranger = ssl.create_default_context()
    stranger.check_hostname, stranger.verify_mode = False, ssl.CERT_NONE
    stranger.set_alpn_protocols(["h2", "http/1.1"])
    try:
        with (
            socket.create_connection((HOST, port), timeout=SECONDS) as bare,
            stranger.wrap_socket(bare, server_hostname=HOST) as secured,
        ):
            secured.recv(1)
    except ssl.SSLError as error:
        return error.reason in NO_CERTIFICATE
    except OSError:
        return False
    return False


def s3_serves(settings: Settings, served: Path) -> bool:
    """Return whether S3 has its buckets, returns an object of an earlier life, and takes a new one.

    SeaweedFS lists buckets up to seconds before it can read old objects. `served` marks that there are old objects.
    """
    client = s3.client(settings)
    try:
        if served.exists() and not _returns(client):
            return False
        make_buckets(client, settings.bucket)
        client.put_object(Bucket=BUCKETS[0], Key=PROBE_KEY, Body=PROBE_BODY)
        if not _returns(client):
            return False
    except (ClientError, BotoCoreError, ExpungeError):
        return False
    served.touch()
    return True


def make_buckets(client: Any, versioned: str) -> None:
    """Make the missing buckets of MLflow and of the record; `versioned` keeps versions and can lock them."""
    have = {bucket["Name"] for bucket in client.list_buckets().get("Buckets", [])}
    for bucket in sorted({*BUCKETS, versioned} - have):
        client.create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=bucket == versioned)
    client.put_bucket_versioning(Bucket=versioned, VersioningConfiguration={"Status": "Enabled"})


def _status(url: str) -> int | None:
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=SECONDS) as response:
            return response.status
    except urllib.error.HTTPError as error:
        return error.code
    except (urllib.error.URLError, OSError):
        return None


def _returns(client: Any) -> bool:
    return client.get_object(Bucket=BUCKETS[0], Key=PROBE_KEY)["Body"].read() == PROBE_BODY
