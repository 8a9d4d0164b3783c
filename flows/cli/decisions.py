"""Decide on a publication: list what waits, approve, refuse, publish."""

from __future__ import annotations

import os
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from expunge.flows.cli import show
from expunge.flows.cli.common import AsJson, at_home, exit_codes, look_at_record, say
from expunge.flows.cli.show import console, make_table
from expunge.flows.terminal import Console
from expunge.tasks.core.errors import UsageError
from expunge.tasks.core.settings import Settings, home_folder

GROUP = "Decide"
APPROVAL_KEY = "EXPUNGE_APPROVAL_KEY"
commands = typer.Typer()
Request = Annotated[str, typer.Argument(help="the request's id, as `expunge status` shows it")]
OnLine = Annotated[str, typer.Option(help="the model line, where several have a request of this id")]
OwnKey = Annotated[
    Path | None, typer.Option(help=f"your private key (PEM), which the floor names; else ${APPROVAL_KEY}", exists=True)
]


@commands.command(rich_help_panel=GROUP, epilog="Example: expunge waiting")
def waiting(as_json: AsJson = False) -> None:
    """List what waits for a person's decision, or for its publication after one."""
    with exit_codes(as_json):
        from expunge.flows.casework.approval import waiting as rows

        look_at_record(home_folder())
        say(as_json, {"waiting": rows(home_folder())}, _print_waiting)


@commands.command(rich_help_panel=GROUP, epilog="Example: expunge approve demo-2026-0001 --key ada.pem")
def approve(
    request: Request,
    key: OwnKey = None,
    later: Annotated[bool, typer.Option("--later", help="only approve; `expunge publish` publishes it")] = False,
    line: OnLine = "",
    as_json: AsJson = False,
) -> None:
    """Approve a publication, and publish it; everything is checked again before."""
    with at_home(as_json):
        from expunge.flows.casework.approval import approve as give

        settings = None if later else Settings.load()
        decided = give(home_folder(), request, _key(key), line)
        if settings is None:
            say(as_json, decided, _print_decided)
            return
        _print_decided(decided, Console(stderr=True, highlight=False, soft_wrap=True))
        say(as_json, _published(request, settings, decided["line"]), show.print_outcome)


@commands.command(rich_help_panel=GROUP, epilog="Example: expunge refuse demo-2026-0001 --reason 'It is a parody.'")
def refuse(
    request: Request,
    reason: Annotated[str, typer.Option(help="why, in words that the sender of the notice can be told")],
    key: OwnKey = None,
    line: OnLine = "",
    as_json: AsJson = False,
) -> None:
    """Refuse a publication, with the reason; this ends the request."""
    with at_home(as_json):
        from expunge.flows.casework.approval import refuse as give

        say(as_json, give(home_folder(), request, reason, _key(key), line), _print_decided)


@commands.command(rich_help_panel=GROUP, epilog="Example: expunge publish demo-2026-0001")
def publish(request: Request, line: OnLine = "", as_json: AsJson = False) -> None:
    """Publish what a person approved; everything is checked again before."""
    with at_home(as_json):
        say(as_json, _published(request, Settings.load(), line), show.print_outcome)


def _published(request: str, settings: Settings, line: str) -> dict[str, Any]:
    settings.export()
    from expunge.flows.publish import publish_approved

    with redirect_stdout(sys.stderr):
        return publish_approved(request, settings, line)


def _key(key: Path | None) -> Path:
    if key is None and not (named := os.environ.get(APPROVAL_KEY)):
        raise UsageError(f"nobody can tell who decides: give --key FILE, or set {APPROVAL_KEY} to your private key")
    return key or Path(named)


def _print_waiting(data: dict[str, Any]) -> None:
    if not data["waiting"]:
        console.print("Nothing waits for a decision.")
        return
    table = make_table("request", "line", "state", "asked at", "due", "who may decide", "approved by", "until")
    for row in data["waiting"]:
        cells = (row["line"], row["state"], row["asked_at"], row["due"] or "", ", ".join(row["approvers"]))
        more = (row["approved_by"] or "", row["expires"] or "")
        table.add_row(escape(row["request_id"]), *map(escape, (*cells, *more)))
    console.print(table)
    for row in data["waiting"]:
        if row["headline"]:
            console.print(f"[bold]{row['outcome']}[/] {escape(row['headline'])} {escape(row['assurance'])}")
        console.print(f"report   {escape(row['report'] or 'none')}")
        if row["problem"]:
            console.print(f"- {escape(row['request_id'])}: {escape(row['problem'])}")


def _print_decided(data: dict[str, Any], console: Console = console) -> None:
    by, request = escape(data["by"]), escape(data["request_id"])
    if data["state"] == "approved":
        console.print(f"[bold]{by}[/] approved {request}; the approval holds until {data['expires']}")
    else:
        console.print(f"[bold]{by}[/] refused {request}, and nothing is published: {escape(data['reason'])}")
    console.print(f"bundle   {data['bundle']}\nreceipt  {data['receipt']}", style="dim")
