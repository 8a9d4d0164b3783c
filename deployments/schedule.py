"""The worker of the local stack: `python -m expunge.deployments.schedule` enters the deployments and works them off.

These are what `expunge deploy` enters, with the addresses and keys that the stack has: the nightly check, and what is
submitted with `--remote`. It runs until it is stopped, by Ctrl-C, SIGTERM or `make down`, and then everything that it
started is stopped too; what falls due meanwhile is done when it is started again. Options, such as `--run-once`, are
those of `prefect worker start`.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from expunge.deployments.processes import start, stop
from expunge.deployments.stack import servers
from expunge.errors import ExpungeError
from expunge.flows.terminal import Console
from expunge.tasks.core.machine.private_home import private
from expunge.tasks.core.settings import Settings, home_folder, spare_proxy, stack_variables

ROOT = Path(__file__).parents[1]


def enter(settings: Settings) -> None:
    """Enter pool, queues and deployments, or bring them up to date. ServiceUnreachable if Prefect refuses."""
    settings.export()
    os.environ["EXPUNGE_HOME"] = str(settings.home)  # a worker runs flows wherever it likes
    from expunge.flows.remote.deploy import deploy  # after the addresses are known, since it imports Prefect
    from expunge.flows.remote.queues import Place

    deploy(settings, Place())


def work_off(settings: Settings, *options: str) -> None:
    """Run what is scheduled, until stopped; CalledProcessError if the worker fails.

    One run at a time: after a while without a worker all that was missed is waiting, and only the first has work to do.
    """
    from expunge.flows.remote.queues import POOL  # late, for the same reason

    _prefect(settings, "worker", "start", "--pool", POOL, "--limit", "1", *options)


def _prefect(settings: Settings, *words: str) -> None:
    """Run a command of Prefect to its end, and leave nothing behind that it started, whatever ends this."""
    argv = (sys.executable, "-m", "prefect", "--no-prompt", *words)
    process, launched = start(argv, dict(os.environ), ROOT, owner=_owner(settings))
    try:
        code = process.wait()
    finally:
        stop([launched])
    if code:
        raise subprocess.CalledProcessError(abs(code), argv)


def _owner(settings: Settings) -> str:
    """Return the mark of the local Prefect, with which the schedule ends; "" where it works for another."""
    local = stack_variables(settings.home).get("PREFECT_API_URL") == settings.prefect_api_url
    return servers(settings.home)["prefect"].mark if local else ""


def main() -> int:
    spare_proxy()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        with private(home_folder()):
            enter(settings := Settings.load())
            work_off(settings, *sys.argv[1:])
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
