"""Read the record in words, audit it or one bundle, and write the database anew from it."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Annotated

import typer

from expunge.flows.cli import show
from expunge.flows.cli.common import AsJson, Keys, at_home, exit_codes, look_at_record, say
from expunge.tasks.core.errors import NothingOnRecord, UsageError
from expunge.tasks.core.paths import write_out
from expunge.tasks.core.settings import INDEX, STORE, Settings, home_folder

GROUP = "Audit"
commands = typer.Typer()


@commands.command(rich_help_panel=GROUP, epilog="Example: expunge audit --key signer.pem --stored")
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
    floor: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE_OR_DIGEST",
            help="floor that you accept, with the approvers it names; the record may rest on no other; repeatable",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check whether the record is whole: receipts, signatures, the files named, and what every publication rests on."""
    with exit_codes(as_json):
        from expunge.flows.history import audit as whole
        from expunge.flows.history import audit_bundle

        if base and not bundle:
            raise UsageError("--base goes with --bundle: it is what the bundle's model is held against")
        if floor and bundle:
            raise UsageError("--floor goes with a home: a bundle alone does not say who approved it")
        if bundle:
            found, text = audit_bundle(bundle, noted or [], key or [], stored or indexed, base), show.print_bundle
        else:
            old = look_at_record(home_folder())
            store = Settings.load(STORE) if stored else None
            index = Settings.load(INDEX) if indexed else None
            if index:
                index.export()
            found = whole(home_folder(), noted or [], key or [], store, index, not old, floor or [])
            text = show.print_audit
        say(as_json, found, text)
        raise typer.Exit(found["exit_code"])


@commands.command(rich_help_panel=GROUP, epilog="Example: EXPUNGE_HOME=./new expunge migrate ./old --key signer.pem")
def migrate(
    old: Annotated[Path, typer.Argument(metavar="OLD", help="the home of version 0.19, which stays as it is")],
    key: Keys = None,
    noted: Annotated[
        list[str] | None, typer.Option(help="digest of a receipt as it was noted elsewhere; repeatable")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make a new home, EXPUNGE_HOME, from one of version 0.19: its record is proven and copied, no byte changed."""
    with at_home(as_json):
        from expunge.flows.history import migrate as take_over

        found = take_over(old, home_folder(), key or [], noted or [])
        say(as_json, found, show.print_migration)
        raise typer.Exit(found["exit_code"])


@commands.command(rich_help_panel=GROUP, epilog="Example: expunge receipts demo-2026-0001 --zip demo.zip")
def receipts(
    request: Annotated[str, typer.Argument(help="the id of a request, or the digest of a receipt")],
    archive: Annotated[
        Path | None, typer.Option("--zip", help="write receipts, verdict, manifest and report into this new file")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List what happened to a request, receipt by receipt, or say what one receipt says; needs no server."""
    with exit_codes(as_json):
        from expunge.flows.casework.record_words import DIGEST, describe_receipt
        from expunge.flows.casework.trail import files_of, trail

        look_at_record(home := home_folder())
        steps = trail(home, request)
        if not steps and DIGEST.fullmatch(request):
            if archive:
                raise UsageError("--zip takes the id of a request, and not a digest")
            say(as_json, describe_receipt(home, request), show.print_says)
            return
        if not steps:
            raise NothingOnRecord(f"no request {request!r} is on record: see `expunge status`")
        if archive:
            write_out(archive, files_of(home, request))
        say(as_json, {"request_id": request, "receipts": steps, "zip": archive and str(archive)}, show.print_trail)


@commands.command(rich_help_panel=GROUP, epilog="Example: expunge evidence demo-2026-0001")
def evidence(
    request: Annotated[str, typer.Argument(help="the id of a request that was verified")],
    line: Annotated[str, typer.Option(help="the model line, where several have a request of this id")] = "",
    as_json: AsJson = False,
) -> None:
    """Say how many pictures were drawn for a request, what was seen in them, and what that came to."""
    with exit_codes(as_json):
        from expunge.flows.casework.notices import refuse_no_home
        from expunge.tasks.views.evidence_words import describe_evidence

        refuse_no_home(home := home_folder())
        look_at_record(home)
        say(as_json, describe_evidence(home, request, line), show.print_says)


@commands.command(rich_help_panel=GROUP, epilog="Example: expunge rebuild")
def rebuild(as_json: AsJson = False) -> None:
    """Write the database of leases and states anew from the receipts, which it repeats."""
    with at_home(as_json):
        from expunge.flows.history import rebuild as write_anew

        say(as_json, write_anew(home_folder()), show.print_fields)


@commands.command(rich_help_panel=GROUP, epilog="Example: expunge reconcile --dry-run")
def reconcile(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only say what would be repaired")] = False,
    as_json: AsJson = False,
) -> None:
    """Hold database, S3, MLflow and Prefect against the receipts, repair what is safe, and say the rest."""
    with at_home(as_json):
        settings = Settings.load()
        settings.export()
        from expunge.flows.reconcile import reconcile as hold_against

        with redirect_stdout(sys.stderr):
            found = hold_against(settings, dry_run)
        say(as_json, found, show.print_reconciled)
        raise typer.Exit(found["exit_code"])
