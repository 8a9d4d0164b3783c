"""The schedule on the local stack: `python -m expunge.deployments.schedule` enters it in Prefect and works it off.

It is what `prefect.yaml` says, with the addresses and keys that the stack has. It runs until it is stopped; what falls
due meanwhile is done when it is started again. Options, such as `--run-once`, are those of `prefect worker start`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from rich.console import Console

from expunge.tasks.core.errors import ExpungeError
from expunge.tasks.core.settings import Settings, spare_proxy

ROOT = Path(__file__).parents[1]
POOL = "expunge"


def enter(settings: Settings) -> None:
    """Enter pool and deployment, or bring them up to date; CalledProcessError if Prefect refuses."""
    settings.export()
    os.environ["EXPUNGE_HOME"] = str(settings.home)  # flows run in the checkout, wherever this was called
    _prefect("work-pool", "create", "--overwrite", "--type", "process", POOL)
    _prefect("deploy", "--all", "--prefect-file", str(ROOT / "deployments" / "prefect.yaml"))


def work_off(*options: str) -> None:
    """Run what is scheduled, until stopped; CalledProcessError if the worker fails.

    One run at a time: after a while without a worker all that was missed is waiting, and only the first has work to do.
    """
    _prefect("worker", "start", "--pool", POOL, "--limit", "1", *options)


def _prefect(*words: str) -> None:
    subprocess.run([sys.executable, "-m", "prefect", "--no-prompt", *words], cwd=ROOT, check=True)


def main() -> int:
    spare_proxy()
    try:
        enter(Settings.load())
        work_off(*sys.argv[1:])
    except ExpungeError as error:
        Console(stderr=True).print(str(error), markup=False)
        return error.exit_code
    except subprocess.CalledProcessError as error:
        return error.returncode  # Prefect has said why
    except KeyboardInterrupt:
        pass
    return 0


if __name__ == "__main__":
    sys.exit(main())
