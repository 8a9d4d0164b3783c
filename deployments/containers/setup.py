"""Make what the workers need on the servers, where it is missing: `python -m expunge.deployments.containers.setup`.

These are the tables of the database, the work pool and the deployments; with `--buckets` also the two buckets, which an
S3 service of your own already has. It may run at any time and as often as you like.
"""

from __future__ import annotations

import argparse
import subprocess
import sys

from expunge.deployments.readiness import make_buckets
from expunge.deployments.schedule import enter
from expunge.errors import ExpungeError
from expunge.tasks.core.machine.private_home import private
from expunge.tasks.core.settings import Settings, home_folder, spare_proxy
from expunge.tasks.ledger.state.database import Database
from expunge.tasks.storage import s3


def set_up(settings: Settings, buckets: bool) -> None:
    """Make the buckets if wanted, the tables, then pool and deployments. ExpungeError names the server that refuses."""
    if buckets:
        with s3.reaching(client := s3.client(settings)):
            make_buckets(client, settings.bucket)
    with Database.of(settings.home).transaction():
        pass  # the first transaction brings the tables to their newest form
    enter(settings)


def main() -> int:
    """Set up, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m expunge.deployments.containers.setup", description=__doc__)
    parser.add_argument("--buckets", action="store_true", help="make the buckets of the record and of MLflow, too")
    options = parser.parse_args()
    spare_proxy()
    try:
        with private(home_folder()):
            set_up(Settings.load(), options.buckets)
    except ExpungeError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except subprocess.CalledProcessError as error:
        return error.returncode  # Prefect has said why
    return 0


if __name__ == "__main__":
    sys.exit(main())
