"""The S3 server in a container: SeaweedFS with one account for the record and one for MLflow.

`python -m expunge.deployments.containers.s3` keeps its data in `$EXPUNGE_HOME`. MLflow's account reaches the bucket
`mlflow` alone, so whoever takes over MLflow does not reach the record. Parts of the server talk to each other with a
certificate of this start, so other containers reach the S3 port alone.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from expunge.deployments.keys import write_private
from expunge.deployments.ports import Wish, choose
from expunge.deployments.seaweedfs import INNER_PORTS, weed_command
from expunge.errors import ExpungeError
from expunge.tasks.core.errors import UsageError
from expunge.tasks.core.settings import home_folder

S3 = Wish("s3", 8333, "EXPUNGE_S3_PORT")
EVERY_ADDRESS = "0.0.0.0"
SHORTEST = 16
ACTIONS = ("Admin", "Read", "Write", "List", "Tagging")


def accounts(environ: Mapping[str, str]) -> dict[str, Any]:
    """Return who may use S3, and what: `expunge` every bucket, `mlflow` its own. UsageError without a secret."""
    scopes = {"expunge": ACTIONS, "mlflow": tuple(f"{action}:mlflow" for action in ACTIONS[1:])}
    return {"identities": [_identity(name, actions, environ) for name, actions in scopes.items()]}


def _identity(name: str, actions: tuple[str, ...], environ: Mapping[str, str]) -> dict[str, Any]:
    variable = f"S3_SECRET_{name.upper()}"
    secret = environ.get(variable, "")
    if len(secret) < SHORTEST:
        raise UsageError(f"{variable} has {len(secret)} characters: set it to at least {SHORTEST} random ones")
    return {"name": name, "credentials": [{"accessKey": name, "secretKey": secret}], "actions": list(actions)}


def command(folder: Path, environ: Mapping[str, str]) -> tuple[str, ...]:
    """Write the server's settings into `folder`, and return its command, to be started there."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_private(keys := folder / "s3.json", json.dumps(accounts(environ)))
    return weed_command(folder, keys, choose([S3, *INNER_PORTS]), bind=EVERY_ADDRESS)


def main() -> int:
    """Become the server; return only if it cannot start."""
    folder = home_folder()
    try:
        argv = command(folder, os.environ)
    except ExpungeError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    os.umask(0o077)
    os.chdir(folder)
    os.execve(argv[0], argv, {name: value for name, value in os.environ.items() if not name.startswith("S3_")})


if __name__ == "__main__":
    sys.exit(main())
