"""Check what is published, or any model, and fetch a bundle."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Annotated

import typer

from expunge.flows.cli import show
from expunge.flows.cli.common import AsJson, Keys, at_home, exit_codes, look_at_record, say
from expunge.policies import read
from expunge.policies.model.schema import Level
from expunge.tasks.core.settings import STORE, Settings, home_folder
from expunge.tasks.ledger.floor_store import floor_in_force

GROUP = "Check what is published"
commands = typer.Typer()


@commands.command(rich_help_panel=GROUP, epilog="Example: expunge verify ./model --policy policies/examples/demo.yaml")
def verify(
    model: Annotated[
        Path,
        typer.Argument(help="a published bundle, or a model folder in diffusers layout", exists=True, file_okay=False),
    ],
    policy: Annotated[Path, typer.Option(help="the policy file", exists=True, dir_okay=False, readable=True)],
    level: Annotated[
        Level | None, typer.Option(help="how hard it is questioned; the policy's level if left out")
    ] = None,
    digest: Annotated[
        str, typer.Option(help="the bundle's digest as its receipt names it; a bundle with another is refused")
    ] = "",
    out: Annotated[
        Path | None, typer.Option(help="folder for verdict, evidence and report; the home if left out")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Verify any model against a policy, next to the policy's base; no server is needed, nothing is published."""
    with at_home(as_json):
        known = read(policy, floor_in_force())
        from expunge.flows.verify import verify as run

        with redirect_stdout(sys.stderr):
            result = run(model, known, home_folder(), out, level, digest)
        say(as_json, result, show.print_examination)
        raise typer.Exit(result["exit_code"])


@commands.command(rich_help_panel=GROUP, epilog="Example: expunge reverify --due")
def reverify(
    line: Annotated[str, typer.Argument(help="a model line as `expunge status` names it; all if left out")] = "",
    due: Annotated[
        bool,
        typer.Option("--due", help="only what its policies want checked within two days, and restored bases"),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Question what is published again, as S3 has it and with new seeds; what does not pass is suspect.

    With --due what has expired is withdrawn before.
    """
    with at_home(as_json):
        settings = Settings.load()
        settings.export()
        from expunge.flows.casework.expiry import withdraw_expired
        from expunge.flows.reverify import check, chosen, look_at_others

        look_at_record(settings.home)
        with redirect_stdout(sys.stderr):
            expired = withdraw_expired(chosen(settings.home, line, due=False), settings) if due else []
            lines = chosen(settings.home, line, due)
            found = check(lines, settings, due) + expired
            found += look_at_others(settings, lines) if due and not line else []
        say(as_json, {"lines": found}, show.print_checks)
        raise typer.Exit(max((each["exit_code"] for each in found), default=0))


@commands.command(
    rich_help_panel=GROUP, epilog="Example: expunge fetch emoji-0103c2fdff9b --out bundle --key signer.pem"
)
def fetch(
    bundle: Annotated[
        str,
        typer.Argument(metavar="LINE_OR_DIGEST", help="a line, whose approved bundle is meant, or a bundle's digest"),
    ],
    out: Annotated[Path, typer.Option(help="the folder to write; a bundle that is there and right is left alone")],
    key: Keys = None,
    as_json: AsJson = False,
) -> None:
    """Fetch a published bundle from S3, every file checked by its digest; the model in it is ready for diffusers."""
    with exit_codes(as_json):
        from expunge.tasks.storage.bundle_store import fetch_bundle

        fetched = fetch_bundle(bundle, out, Settings.load(STORE), key or [])
        say(as_json, {"bundle": fetched.digest, "model": str(fetched.model)}, show.print_fields)
