"""Handle a notice: check a policy, plan it, carry it out, and see what became of it."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Annotated, Any

import typer

from expunge.flows.admission import refuse_early
from expunge.flows.cli import show
from expunge.flows.cli.common import AsJson, PolicyFile, at_home, exit_codes, look_at_record, say
from expunge.flows.cli.remote import REMOTE, Patience
from expunge.flows.validation import summary
from expunge.policies import Policy, read
from expunge.tasks.core.errors import UsageError
from expunge.tasks.core.settings import Settings, home_folder
from expunge.tasks.ledger.floor_store import floor_in_force, read_to_submit

GROUP = "Handle a notice"
commands = typer.Typer()


@commands.command(rich_help_panel=GROUP, epilog="Example: expunge validate policies/examples/demo.yaml")
def validate(policy: PolicyFile, as_json: AsJson = False) -> None:
    """Check a policy file and say what it asks for; nothing is run."""
    with exit_codes(as_json):
        say(as_json, summary(read(policy, floor_in_force())), show.print_summary)


@commands.command(rich_help_panel=GROUP, epilog="Example: expunge plan policies/examples/demo.yaml")
def plan(policy: PolicyFile, as_json: AsJson = False) -> None:
    """Dry run: compute the edit and what it would change and cost; nothing is recorded or published."""
    with at_home(as_json):
        look_at_record(home_folder())
        known = read_to_submit(policy, home_folder())
        from expunge.flows.dry import dry_run

        say(as_json, dry_run(known, home_folder()), show.print_plan)


@commands.command(rich_help_panel=GROUP, epilog="Example: expunge submit policies/examples/demo.yaml")
def submit(
    policy: PolicyFile,
    remote: Annotated[bool, typer.Option("--remote", help="let a worker do it, and follow its run")] = False,
    urgent: Annotated[bool, typer.Option("--urgent", help="with --remote: before all other runs")] = False,
    patience: Patience = 60,
    as_json: AsJson = False,
) -> None:
    """Take a policy through the whole pipeline: erase, prove, record, publish."""
    with at_home(as_json):
        if urgent and not remote:
            raise UsageError("--urgent goes with --remote: here the run begins at once")
        outcome = _on_a_worker(policy, urgent, patience) if remote else _here(policy)
        say(as_json, outcome, show.print_outcome)
        raise typer.Exit(outcome["exit_code"])


def _here(policy: Path) -> dict[str, Any]:
    known = read_to_submit(policy, home_folder())
    settings = Settings.load()
    settings.export()
    refuse_early(policy, known, settings)
    from expunge.flows.submission import submit as run

    with redirect_stdout(sys.stderr):  # stdout is for the result; libraries print there too
        return run(policy, known, settings)


def _on_a_worker(policy: Path, urgent: bool, patience: float) -> dict[str, Any]:
    known = read(policy)  # the worker holds it against its own floor
    settings = Settings.load(REMOTE)
    settings.export()
    from expunge.flows.remote.follow import submit_remote

    with redirect_stdout(sys.stderr):
        return submit_remote(policy, known, settings, urgent, patience)


@commands.command(rich_help_panel=GROUP, epilog="Example: expunge status --json")
def status(
    policy: Annotated[Path | None, typer.Argument(help="a policy file; all requests if left out", exists=True)] = None,
    as_json: AsJson = False,
) -> None:
    """Show what happened to a request, or to all of them, from the receipts on disk."""
    with exit_codes(as_json):
        from expunge.flows.history import states

        known: Policy | None = read(policy) if policy else None
        old = look_at_record(home_folder())
        found = states(home_folder(), known) | {"old": old or None}
        say(as_json, found, show.print_states)
        raise typer.Exit(found["exit_code"])


@commands.command(rich_help_panel=GROUP, epilog="Example: expunge report policies/examples/demo.yaml --out report.html")
def report(
    policy: PolicyFile,
    out: Annotated[Path | None, typer.Option(help="where to write the page; beside its evidence if left out")] = None,
    as_json: AsJson = False,
) -> None:
    """Write the report of a policy's last verification as one self-contained HTML page."""
    with at_home(as_json):
        from expunge.flows.history import write_report

        look_at_record(home_folder())
        say(
            as_json, {"report": str(write_report(home_folder(), read(policy), out))}, lambda data: print(data["report"])
        )
