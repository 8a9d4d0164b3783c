"""The local stack: `python -m expunge.deployments.stack up | down | status`.

All its state lies under `$EXPUNGE_HOME/stack`.
"""

import argparse
import json
import sys
import time
from dataclasses import asdict
from pathlib import Path

from filelock import FileLock
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from expunge.deployments.keys import load_keys, write_private
from expunge.deployments.ports import Wish, choose
from expunge.deployments.processes import Launched, is_running, launch, stop
from expunge.deployments.services import PORTS, PUBLIC_PORTS, Service, client_variables, services
from expunge.errors import ExpungeError
from expunge.flows.terminal import Console
from expunge.tasks.core.errors import ServiceUnreachable, UsageError, exit_code_of
from expunge.tasks.core.machine.private_home import private
from expunge.tasks.core.settings import home_folder, spare_proxy, stack_file, stack_variables

READY_SECONDS = 300.0  # a minute is usual even on a busy machine; a server that dies is noticed at once
LOCKED_SECONDS = 10.0
POLL_SECONDS = 0.2
TITLES = {"s3": "S3 (SeaweedFS)", "mlflow": "MLflow", "prefect": "Prefect"}
URLS = {"s3": "AWS_ENDPOINT_URL_S3", "mlflow": "MLFLOW_TRACKING_URI", "prefect": "PREFECT_API_URL"}


def up(home: Path, console: Console) -> None:
    """Start what is not running and return when all of it serves. Raises PortTaken or ServiceUnreachable."""
    stack = home / "stack"
    stack.mkdir(parents=True, exist_ok=True)
    with FileLock(stack / ".lock"):
        launched = servers(home)
        if launched.keys() == TITLES.keys() and all(map(is_running, launched.values())) and stack_file(home).exists():
            console.print("The local stack is already running.")
        else:
            _forget(home, launched)
            _start(home, stack, console)
    _print_urls(home, console)


def down(home: Path, console: Console) -> None:
    """Stop what `up` started, and the schedule that works for it; data and keys stay for the next `up`."""
    stack = home / "stack"
    if not stack.exists():
        console.print(f"No local stack under {home}.")
        return
    with FileLock(stack / ".lock"):
        launched = servers(home)
        running = sum(map(is_running, launched.values()))
        _forget(home, launched)
    console.print(f"Stopped {running} of {len(TITLES)} services; their data stay in {stack}.")


def status(home: Path, console: Console) -> bool:
    """Say for each service whether it runs; True if all do."""
    launched = servers(home)
    running = {name: name in launched and is_running(launched[name]) for name in TITLES}
    for name, title in TITLES.items():
        console.print(f"{title:<16}{'running, pid ' + str(launched[name].pid) if running[name] else 'stopped'}")
    if not all(running.values()):
        return False
    if not stack_file(home).exists():
        console.print("They are starting: it is up once `up` says so.")
        return False
    _print_urls(home, console)
    return True


def _start(home: Path, stack: Path, console: Console) -> None:
    keys = load_keys(stack)
    ports = choose(PORTS)
    for wish in PUBLIC_PORTS:
        _say_if_moved(wish, ports[wish.name], console)
    wanted = services(stack, ports, keys)
    launched: dict[str, Launched] = {}
    try:
        for one in wanted:
            launched[one.name] = launch(one.argv, one.environ, one.folder, _log(stack, one.name))
        write_private(_record(stack), json.dumps({name: asdict(one) for name, one in launched.items()}))
        _wait(stack, wanted, launched, console)
        write_private(stack_file(home), json.dumps(client_variables(stack, ports, keys), indent=2))
    except BaseException:  # Ctrl-C and a full disk included: nothing half-started stays behind
        _forget(home, launched)
        raise


def _wait(stack: Path, wanted: list[Service], launched: dict[str, Launched], console: Console) -> None:
    columns = (SpinnerColumn(finished_text="✓"), TextColumn("{task.description}"), TimeElapsedColumn())
    deadline = time.monotonic() + READY_SECONDS
    with Progress(*columns, console=console) as progress:
        rows = {one.name: progress.add_task(TITLES[one.name], total=1) for one in wanted}
        waiting = list(wanted)
        while waiting:
            for one in waiting:
                if not is_running(launched[one.name]):
                    raise ServiceUnreachable(_why(stack, one.name, "stopped while starting"))
                if one.is_ready():
                    refuse_open(one)
                    progress.update(rows[one.name], completed=1)
            waiting = [one for one in waiting if not progress.tasks[rows[one.name]].finished]
            if waiting and time.monotonic() > deadline:
                raise ServiceUnreachable(_why(stack, waiting[0].name, f"not ready after {READY_SECONDS:.0f} s"))
            time.sleep(POLL_SECONDS)


def refuse_open(service: Service) -> None:
    """Raise ServiceUnreachable on a server that lets strangers in.

    A busy machine may answer too late, which proves nothing. So we ask again for a while before we stop the server.
    """
    deadline = time.monotonic() + LOCKED_SECONDS
    while not service.is_locked():
        if time.monotonic() > deadline:
            raise ServiceUnreachable(
                f"{TITLES[service.name]} lets in who has no key, so it was stopped: is its version one that "
                "constraints.txt names?"
            )
        time.sleep(POLL_SECONDS)


def _why(stack: Path, name: str, what: str) -> str:
    log = _log(stack, name)
    tail = "\n".join(log.read_text(errors="replace").splitlines()[-8:])
    return f"{TITLES[name]} {what}; the end of {log} says:\n{tail}"


def _say_if_moved(wish: Wish, port: int, console: Console) -> None:
    if wish.usual != port and port:
        console.print(f"{TITLES[wish.name]}: on port {port}, not its usual {wish.usual} ({wish.variable} chooses).")


def servers(home: Path) -> dict[str, Launched]:
    """Return the servers that `up` started in this home, by name; UsageError if their record cannot be read."""
    file = _record(home / "stack")
    try:
        records = json.loads(file.read_text()) if file.exists() else {}
        return {name: Launched(record["pid"], record["mark"]) for name, record in records.items()}
    except (ValueError, KeyError, TypeError) as error:
        cure = "end its weed, mlflow and prefect by hand, if they run, and remove the file"
        raise UsageError(f"{file} cannot be read ({error!r}): {cure}") from None


def _forget(home: Path, launched: dict[str, Launched]) -> None:
    stop(list(launched.values()))
    stack_file(home).unlink(missing_ok=True)
    _record(home / "stack").unlink(missing_ok=True)


def _print_urls(home: Path, console: Console) -> None:
    variables = stack_variables(home)
    for name, title in TITLES.items():
        console.print(f"{title:<16}{variables[URLS[name]].removesuffix('/api')}")
    console.print("The pages of Prefect and MLflow ask for what this file says, and nobody but you can read it:")
    console.print(f"{stack_file(home)}", soft_wrap=True)


def _record(stack: Path) -> Path:
    return stack / "services.json"


def _log(stack: Path, name: str) -> Path:
    return stack / f"{name}.log"


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m expunge.deployments.stack", description="The local stack of expunge."
    )
    parser.add_argument("command", choices=["up", "down", "status"])
    spare_proxy()
    command, console = parser.parse_args().command, Console()
    try:
        with private(home := home_folder()):
            if command == "status":
                return 0 if status(home, console) else ServiceUnreachable.exit_code
            (up if command == "up" else down)(home, console)
    except (ExpungeError, ValueError, OSError) as error:
        Console(stderr=True).print(str(error), markup=False)
        return 2 if isinstance(error, ValueError) else exit_code_of(error)
    return 0


if __name__ == "__main__":
    sys.exit(main())
