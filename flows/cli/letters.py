"""Write letters and exports about a request, and the transparency report of a period."""

from __future__ import annotations

import sys
from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from expunge.flows.cli.common import exit_codes, look_at_record
from expunge.tasks.core.errors import UsageError
from expunge.tasks.core.paths import write_out
from expunge.tasks.core.settings import home_folder

GROUP = "Write to people"
commands = typer.Typer()
Language = Annotated[str, typer.Option(help="the language of the text")]


@commands.command(rich_help_panel=GROUP, epilog="Example: expunge letter decision notice-20260112-1f0c6a9b22d4")
def letter(
    name: Annotated[str, typer.Argument(help="the letter: acknowledgement, missing-elements, decision, ...")],
    request: Annotated[str, typer.Argument(help="the id of the request or notice, as `expunge status` shows it")],
    out: Annotated[Path | None, typer.Option(help="the new file to write; else it is printed")] = None,
    language: Language = "en",
    note: Annotated[str, typer.Option(help="a sentence of your own, which the letter adds")] = "",
    line: Annotated[str, typer.Option(help="the model line, where several have a request of this id")] = "",
) -> None:
    """Write a letter or an export about a request, from the record alone; needs no server."""
    with exit_codes():
        from expunge.flows.casework.letters import write_letter

        look_at_record(home_folder())
        written = write_letter(home_folder(), name, request, language, note, line)
        if out is None and written.file_name.endswith(".zip"):
            raise UsageError(f"{name} is an archive: name its file by --out {written.file_name}")
        if out is None:
            sys.stdout.write(written.content.decode())
        else:
            write_out(out, written.content)


@commands.command(
    rich_help_panel=GROUP, epilog="Example: expunge transparency --from 2026-01-01 --to 2026-06-30 --out report"
)
def transparency(
    first: Annotated[str, typer.Option("--from", metavar="DATE", help="the first day, such as 2026-01-01")],
    last: Annotated[str, typer.Option("--to", metavar="DATE", help="the last day")],
    out: Annotated[Path, typer.Option(help="the folder to write the table and the page into")],
    language: Language = "en",
) -> None:
    """Count the requests of a period by kind and state, with the days that they took, as CSV and as a page."""
    with exit_codes():
        from expunge.flows.casework.letters import transparency as report

        look_at_record(home_folder())
        files = report(home_folder(), _day("--from", first), _day("--to", last), language)
        try:
            out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"--out {out} is no folder and cannot be made one ({error.strerror})") from None
        for name, content in files.items():
            write_out(out / name, content)
            print(out / name)


def _day(option: str, text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{option} {text!r} is no day: write 2026-01-31") from None
