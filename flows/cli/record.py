"""Audit the record, or one bundle; write the database anew from the record."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from expunge.flows.cli import show
from expunge.flows.cli.common import AsJson, Keys, at_home, exit_codes, look_at_record, say
from expunge.tasks.core.errors import UsageError
from expunge.tasks.core.settings import INDEX, STORE, Settings, home_folder

GROUP = "Audit"
commands = typer.Typer()


@commands.command(rich_help_panel=GROUP)
def audit(
    noted: Annotated[
        list[str] | None,
        typer.Option(help="digest of a receipt as it was noted elsewhere, which must still be on record; repeatable"),
    ] = None,
    key: Keys = None,
    stored: Annotated[bool, typer.Option("--stored", help="compare with the copy in S3 too, which must be up")] = False,
    indexed: Annotated[
        bool, typer.Option("--indexed", help="compare with what MLflow shows too, which must be up")
    ] = False,
    bundle: Annotated[
        Path | None,
        typer.Option(help="look at this bundle alone, which needs a --key and no home", exists=True, file_okay=False),
    ] = None,
    base: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="with --bundle: its base, of which its model is to be the edit and no more"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check whether the record is whole: receipts, signatures, the files named, and what every publication rests on."""
    with exit_codes():
        from expunge.flows.history import audit as whole
        from expunge.flows.history import audit_bundle

        if base and not bundle:
            raise UsageError("--base goes with --bundle: it is what the bundle's model is held against")
        if bundle:
            found, text = audit_bundle(bundle, noted or [], key or [], stored or indexed, base), show.print_bundle
        else:
            look_at_record(home_folder())
            store = Settings.load(STORE) if stored else None
            index = Settings.load(INDEX) if indexed else None
            if index:
                index.export()
            found, text = whole(home_folder(), noted or [], key or [], store, index), show.print_audit
        say(as_json, found, text)
        raise typer.Exit(found["exit_code"])


@commands.command(rich_help_panel=GROUP)
def migrate(
    old: Annotated[Path, typer.Argument(metavar="OLD", help="the home of version 0.19, which stays as it is")],
    key: Keys = None,
    noted: Annotated[
        list[str] | None, typer.Option(help="digest of a receipt as it was noted elsewhere; repeatable")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make a new home, EXPUNGE_HOME, from one of version 0.19: its record is proven and copied, no byte changed."""
    with at_home():
        from expunge.flows.history import migrate as take_over

        found = take_over(old, home_folder(), key or [], noted or [])
        say(as_json, found, show.print_migration)
        raise typer.Exit(found["exit_code"])


@commands.command(rich_help_panel=GROUP)
def rebuild(as_json: AsJson = False) -> None:
    """Write the database of leases and states anew from the receipts, which it repeats."""
    with at_home():
        from expunge.flows.history import rebuild as write_anew

        say(as_json, write_anew(home_folder()), show.print_fields)
