"""Start the desk, the web application for people who decide."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from expunge.flows.cli.common import at_home
from expunge.tasks.core.errors import UsageError
from expunge.tasks.core.settings import LOOPBACK, home_folder

GROUP = "Decide"
commands = typer.Typer()


@commands.command(rich_help_panel=GROUP, epilog="Example: expunge desk --new-token ada && expunge desk")
def desk(
    new_token: Annotated[
        str | None, typer.Option(metavar="NAME", help="print a token for this person once, and end")
    ] = None,
    host: Annotated[str, typer.Option(help="the address that it listens on")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="the port that it listens on", min=1, max=65535)] = 8000,
    name: Annotated[
        list[str] | None, typer.Option(metavar="HOST", help="by what other name browsers call it; repeatable")
    ] = None,
    https: Annotated[
        bool, typer.Option("--https", help="a proxy in front speaks HTTPS: send cookies over that alone")
    ] = False,
) -> None:
    """Open the desk in a browser: receive, check, submit, approve or refuse, and read the record."""
    with at_home():
        import uvicorn

        from expunge.flows.desk import make_app
        from expunge.flows.desk.people import Door, add_token

        home = home_folder()
        door = Door.of(home, os.environ)
        if new_token is not None:
            print(add_token(door.tokens, new_token))
            return
        if host not in LOOPBACK and not https:
            raise UsageError(
                f"--host {host} is open to the network: put a proxy in front that speaks HTTPS, and say --https"
            )
        app = make_app(home, door, name or (), https)
        uvicorn.run(app, host=host, port=port, proxy_headers=False, server_header=False, log_level="warning")
