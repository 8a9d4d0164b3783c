"""Let workers do it: enter the deployments in Prefect, and follow a run."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from typing import Annotated, Literal

import typer

from expunge.flows.cli import show
from expunge.flows.cli.common import AsJson, at_home, say
from expunge.tasks.core.settings import Settings

GROUP = "Let workers do it"
REMOTE = ("PREFECT_API_URL", "AWS_ENDPOINT_URL_S3")
"""The servers without which nothing runs elsewhere."""
commands = typer.Typer()
Patience = Annotated[float, typer.Option(min=0, help="seconds to wait for a worker where there is none")]


@commands.command(rich_help_panel=GROUP, epilog="Example: expunge deploy --pool process")
def deploy(
    pool: Annotated[
        Literal["process", "docker", "kubernetes"], typer.Option(help="where workers run a flow")
    ] = "process",
    image: Annotated[str, typer.Option(help="with docker and kubernetes: the image of expunge")] = "",
    namespace: Annotated[str, typer.Option(help="with kubernetes: where its jobs go")] = "",
    secret: Annotated[str, typer.Option(help="with kubernetes: the Secret that has addresses and keys")] = "",
    volume: Annotated[str, typer.Option(help="with docker and kubernetes: the volume or claim of the home")] = "",
    as_json: AsJson = False,
) -> None:
    """Enter work pool, queues and deployments in Prefect, or bring them up to date; it may run as often as you like."""
    with at_home(as_json):
        settings = Settings.load(REMOTE[:1])
        settings.export()
        from expunge.flows.remote.deploy import deploy as enter
        from expunge.flows.remote.queues import Place

        with redirect_stdout(sys.stderr):
            entered = enter(settings, Place(pool, image, namespace, secret, volume))
        say(as_json, entered, show.print_deployments)


@commands.command(rich_help_panel=GROUP, epilog="Example: expunge follow 3f0c2f0e-8a2b-4f5c-9d7e-1b2c3d4e5f60")
def follow(
    run: Annotated[str, typer.Argument(help="the id of a run of `expunge submit --remote`, or of a form")],
    patience: Patience = 60,
    as_json: AsJson = False,
) -> None:
    """Follow a run on a worker to its end; print and return what `submit` does."""
    with at_home(as_json):
        settings = Settings.load(REMOTE)
        settings.export()
        from expunge.flows.remote.follow import follow as run_on

        with redirect_stdout(sys.stderr):
            outcome = run_on(run, settings, patience)
        say(as_json, outcome, show.print_outcome)
        raise typer.Exit(outcome["exit_code"])
