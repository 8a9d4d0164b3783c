"""Take in a notice, and see what is due."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, get_args

import typer
from rich.markup import escape

from expunge.flows.cli.common import AsJson, at_home, exit_codes, look_at_record, say
from expunge.flows.cli.show import console, make_table
from expunge.policies import Policy
from expunge.policies.kinds import REQUESTS, Kind
from expunge.policies.model.schema import Category
from expunge.tasks.core.errors import UsageError
from expunge.tasks.core.settings import home_folder

GROUP = "Handle a notice"
commands = typer.Typer()
Received = Annotated[
    str | None, typer.Option(metavar="TIME", help='when it came in, such as "2026-01-31T09:30:00+01:00"; else now')
]


@commands.command(rich_help_panel=GROUP, epilog="Example: expunge receive mail.eml --kind copyright")
def receive(
    file: Annotated[
        Path, typer.Argument(help="an e-mail as text, a Lumen notice (JSON), or our YAML", exists=True, dir_okay=False)
    ],
    kind: Annotated[str | None, typer.Option(help=f"what it is: {', '.join(REQUESTS)}")] = None,
    received: Received = None,
    out: Annotated[Path | None, typer.Option(help="where to write the draft policy; the home if left out")] = None,
    as_json: AsJson = False,
) -> None:
    """Put a notice on record at once, complete or not: its clock starts. Says what is missing and drafts the policy."""
    with at_home(as_json):
        from expunge.flows.casework.notices import take_in

        say(
            as_json,
            take_in(file, _kind(kind) if kind is not None else None, _moment(received), out, home_folder()),
            print_receipt,
        )


@commands.command(
    rich_help_panel=GROUP, epilog="Example: expunge new copyright --target 'panda; panda bear' --keep koala"
)
def new(
    kind: Annotated[str, typer.Argument(help=f"the kind of request: {', '.join(REQUESTS)}")],
    element: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=TEXT", help="what the notice says for an element of its kind; repeatable"),
    ] = None,
    target: Annotated[str | None, typer.Option(help="what to forget, then its other names, with ; between")] = None,
    category: Annotated[str | None, typer.Option(help=f"what it is: {', '.join(get_args(Category))}")] = None,
    keep: Annotated[str | None, typer.Option(help="look-alikes that have to stay, with ; between")] = None,
    general: Annotated[str | None, typer.Option(help="what else has to stay, with ; between")] = None,
    anchor: Annotated[str | None, typer.Option(help="what the target becomes")] = None,
    model: Annotated[str | None, typer.Option(help='"builtin:emoji", or "file:/absolute/path" of a model')] = None,
    expires: Annotated[
        str | None, typer.Option(metavar="TIME", help="until when it holds; until it is withdrawn if left out")
    ] = None,
    received: Received = None,
    out: Annotated[Path | None, typer.Option(help="where to write the policy; the home if left out")] = None,
    as_json: AsJson = False,
) -> None:
    """Ask what a request of a kind needs, put its notice on record, and write a commented policy, ready to submit."""
    with at_home(as_json):
        from expunge.flows.casework.new_request import write_request
        from expunge.flows.casework.questions import Given, ask_answers, ask_elements

        of_kind, at, home = _kind(kind, "KIND"), _moment(received), home_folder()
        elements = ask_elements(of_kind, dict(map(_element, element or ())))
        given = Given(target, category, keep, general, anchor, model, expires)
        answers = ask_answers(of_kind, given, at or datetime.now(UTC))
        say(as_json, write_request(of_kind, elements, answers, at, out, home), print_receipt)


@commands.command(rich_help_panel=GROUP, epilog="Example: expunge counter notice-20260112-1f0c6a9b22d4 reply.eml")
def counter(
    request: Annotated[str, typer.Argument(help="the id of the copyright request that it is about")],
    file: Annotated[
        Path, typer.Argument(help="the counter-notice, in a form of `receive`", exists=True, dir_okay=False)
    ],
    received: Received = None,
    court_action: Annotated[
        bool, typer.Option("--court-action", help="the file tells of a court action, which ends the counter-notice")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Put a counter-notice on record: nothing is published for the request, and the window for putting back opens."""
    with at_home(as_json):
        from expunge.flows.casework.counter import counter as take_in

        found = take_in(request, file, _moment(received), home_folder(), court_action)
        say(as_json, found, print_counter)


@commands.command(rich_help_panel=GROUP, epilog="Example: expunge rescind notice-20260112-1f0c6a9b22d4 sorry.eml")
def rescind(
    request: Annotated[str, typer.Argument(help="the id of the request whose notice is taken back")],
    file: Annotated[Path, typer.Argument(help="the sender's letter, as for `receive`", exists=True, dir_okay=False)],
    received: Received = None,
    as_json: AsJson = False,
) -> None:
    """Put on record that the sender of a notice takes it back: nothing is published for the request any more."""
    with at_home(as_json):
        from expunge.flows.casework.counter import rescind as take_in

        say(as_json, take_in(request, file, _moment(received), home_folder()), print_counter)


@commands.command(rich_help_panel=GROUP, epilog="Example: expunge due || echo 'something is late'")
def due(as_json: AsJson = False) -> None:
    """List what is late and what is next, with the days that are left; exit code 4 if anything is late."""
    with exit_codes(as_json):
        from expunge.flows.casework.notices import list_due

        look_at_record(home_folder())
        found = list_due(home_folder())
        say(as_json, found, print_due)
        raise typer.Exit(found["exit_code"])


@commands.command(rich_help_panel=GROUP, epilog="Example: EXPUNGE_NOTIFY=mailtos://... expunge notify")
def notify(as_json: AsJson = False) -> None:
    """Tell people, each once, what was received, is due soon or late, waits for them, was published or is suspect."""
    with at_home(as_json):
        from expunge.flows.casework.notify import VARIABLE
        from expunge.flows.casework.notify import notify as send

        look_at_record(home_folder())
        found = send(home_folder(), os.environ.get(VARIABLE, "").split())
        say(as_json, found, print_sent)
        raise typer.Exit(found["exit_code"])


@commands.command(rich_help_panel=GROUP, epilog="Example: expunge schema > policy.schema.json")
def schema() -> None:
    """Print the JSON Schema of a policy, by which editors complete and check the file."""
    print(policy_schema(), end="")


def policy_schema() -> str:
    """Return the JSON Schema of a policy as the committed file has it."""
    return json.dumps(Policy.model_json_schema(), indent=2, ensure_ascii=False) + "\n"


def _kind(text: str, field: str = "--kind") -> Kind:
    if text not in REQUESTS:
        raise UsageError(f"{field} {text!r} is none of the kinds: use one of {', '.join(REQUESTS)}")
    return text  # pyright: ignore[reportReturnType] (one of them, by the check)


def _element(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise UsageError(f"--element {text!r} has no value: write NAME=TEXT, such as work='The Blue Heron'")
    return name.strip(), value


def _moment(text: str | None) -> datetime | None:
    try:
        return None if text is None else datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"--received {text!r} is no moment: write 2026-01-31T09:30:00+01:00") from None


def print_receipt(data: dict[str, Any]) -> None:
    console.print(f"[bold]{escape(data['request_id'])}[/] is on record: {data['state']}, {data['kind']}")
    console.print(f"received {data['received_at']}\ndue      {data['due'] or 'without delay, no law names a time'}")
    console.print(f"draft    {escape(data['draft'])}\nreceipt  {data['receipt']}")
    _print_missing(data)


def _print_missing(data: dict[str, Any]) -> None:
    if data["missing"]:
        console.print("[bold yellow]missing[/], so send back:")
    for one in data["missing"]:
        console.print(f"- {escape(one['ask'])} ({escape(one['element'])}, {escape(one['source'])})")
    for remark in data["unclear"]:
        console.print(f"note: {escape(remark)}")


def print_counter(data: dict[str, Any]) -> None:
    what = data["kind"].replace("_", "-")
    console.print(f"[bold]{escape(data['counters'])}[/]: the {what} is on record: {data['state']}")
    console.print(f"received {data['received_at']}")
    if data["closes"]:
        console.print(f"put back from {data['opens']}\nuntil    {data['closes']}")
    if data.get("draft"):
        console.print(f"draft    {escape(data['draft'])}: submit it then")
    console.print(f"receipt  {data['receipt']}")
    _print_missing(data)


def print_sent(data: dict[str, Any]) -> None:
    for one in data["sent"]:
        console.print(f"sent: {escape(one['text'])}")
    for problem in data["problems"]:
        console.print(f"[bold red]not sent[/]: {escape(problem)}")
    if not data["sent"] and not data["problems"]:
        console.print("Nothing new to tell.")


def print_due(data: dict[str, Any]) -> None:
    console.print(f"home {escape(data['home'])}", style="dim")
    for problem in data["problems"]:
        console.print(f"[bold red]nothing can be told of a line[/]: {escape(problem)}; see `expunge audit`")
    if not data["due"]:
        console.print("Nothing is due.")
        return
    table = make_table("request", "kind", "state", "due", ">days left", "missing")
    for row in data["due"]:
        left = "" if row["days_left"] is None else f"{row['days_left']:g}"
        when = row["due"] or row["ends"] or "without delay"
        shown = (f"[bold red]{when} late[/]", f"[bold red]{left}[/]") if row["late"] else (when, left)
        table.add_row(escape(row["request_id"]), row["kind"] or "", row["state"], *shown, ", ".join(row["missing"]))
    console.print(table)
