"""The command `expunge`: what a compliance officer, an operator or a script types."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Annotated, Any

import typer

from expunge.flows import show
from expunge.flows.admission import refuse_early
from expunge.flows.terminal import Console, guard
from expunge.policies import Policy, read
from expunge.policies.model.schema import Level
from expunge.tasks.core.errors import UsageError
from expunge.tasks.core.exit_codes import exit_code_of
from expunge.tasks.core.private_home import private
from expunge.tasks.core.settings import INDEX, STORE, Settings, home_folder, keep_silent, spare_proxy
from expunge.tasks.ledger.floor_store import floor_in_force, read_to_submit

app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
PolicyFile = Annotated[Path, typer.Argument(help="the policy file", exists=True, dir_okay=False, readable=True)]
Keys = Annotated[
    list[Path] | None,
    typer.Option(help="public key (PEM) of who signs the receipts, got from elsewhere; repeatable", exists=True),
]
AsJson = Annotated[bool, typer.Option("--json", help="print one JSON object instead of text")]


@contextmanager
def exit_codes() -> Iterator[None]:
    """Every expected failure is one clear message on stderr and an exit code of its own."""
    try:
        yield
    except typer.Exit:
        raise
    except Exception as error:
        code = exit_code_of(error)
        Console(stderr=True, highlight=False, soft_wrap=True).print(f"expunge: {error}", style="red", markup=False)
        if code == 1:
            Console(stderr=True).print_exception()
        raise typer.Exit(code) from None


@contextmanager
def at_home() -> Iterator[None]:
    """`exit_codes` of a command that writes into the home: what it writes only its owner can read."""
    with exit_codes(), private(home_folder()):
        yield


def say(as_json: bool, data: dict[str, Any], text: Callable[[dict[str, Any]], None]) -> None:
    if as_json:
        print(json.dumps(data, indent=2, ensure_ascii=False))
    else:
        text(data)


@app.command()
def validate(policy: PolicyFile, as_json: AsJson = False) -> None:
    """Check a policy file and say what it asks for; nothing is run."""
    with exit_codes():
        say(as_json, show.summary(read(policy, floor_in_force())), show.print_summary)


@app.command()
def plan(policy: PolicyFile, as_json: AsJson = False) -> None:
    """Dry run: compute the edit and what it would change and cost; nothing is recorded or published."""
    with at_home():
        known = read_to_submit(policy, home_folder())
        from expunge.flows.dry import dry_run

        say(as_json, dry_run(known, home_folder()), show.print_plan)


@app.command()
def submit(policy: PolicyFile, as_json: AsJson = False) -> None:
    """Take a policy through the whole pipeline: erase, prove, record, publish."""
    with at_home():
        known = read_to_submit(policy, home_folder())
        settings = Settings.load()
        settings.export()
        refuse_early(policy, known, settings)
        from expunge.flows.submission import submit as run

        with redirect_stdout(sys.stderr):  # stdout is for the result; libraries print there too
            outcome = run(policy, known, settings)
        say(as_json, outcome, show.print_outcome)
        raise typer.Exit(outcome["exit_code"])


@app.command()
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
    with at_home():
        known = read(policy, floor_in_force())
        from expunge.flows.verify import verify as run

        with redirect_stdout(sys.stderr):
            result = run(model, known, home_folder(), out, level, digest)
        say(as_json, result, show.print_examination)
        raise typer.Exit(result["exit_code"])


@app.command()
def reverify(
    line: Annotated[str, typer.Argument(help="a model line as `expunge status` names it; all if left out")] = "",
    due: Annotated[
        bool,
        typer.Option("--due", help="only what its policies want checked within two days, and restored bases"),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Question what is published again, as S3 has it and with new seeds; what does not pass is suspect."""
    with at_home():
        settings = Settings.load()
        settings.export()
        from expunge.flows.reverify import check, chosen, look_at_others

        with redirect_stdout(sys.stderr):
            lines = chosen(settings.home, line, due)
            found = check(lines, settings, due) + (look_at_others(settings, lines) if due and not line else [])
        say(as_json, {"lines": found}, show.print_checks)
        raise typer.Exit(max((each["exit_code"] for each in found), default=0))


@app.command()
def status(
    policy: Annotated[Path | None, typer.Argument(help="a policy file; all requests if left out", exists=True)] = None,
    as_json: AsJson = False,
) -> None:
    """What happened to a request, or to all of them, from the receipts on disk."""
    with exit_codes():
        from expunge.flows.history import states

        known: Policy | None = read(policy) if policy else None
        told = states(home_folder(), known)
        say(as_json, told, show.print_states)
        raise typer.Exit(told["exit_code"])


@app.command()
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
    """Whether the record is whole: receipts, signatures, the files named, and what every publication rests on."""
    with exit_codes():
        from expunge.flows.history import audit as whole
        from expunge.flows.history import audit_bundle

        if base and not bundle:
            raise UsageError("--base goes with --bundle: it is what the bundle's model is held against")
        if bundle:
            found, text = audit_bundle(bundle, noted or [], key or [], stored or indexed, base), show.print_bundle
        else:
            store = Settings.load(STORE) if stored else None
            index = Settings.load(INDEX) if indexed else None
            if index:
                index.export()
            found, text = whole(home_folder(), noted or [], key or [], store, index), show.print_audit
        say(as_json, found, text)
        raise typer.Exit(found["exit_code"])


@app.command()
def report(
    policy: PolicyFile,
    out: Annotated[Path | None, typer.Option(help="where to write the page; beside its evidence if left out")] = None,
    as_json: AsJson = False,
) -> None:
    """Write the report of a policy's last verification as one self-contained HTML page."""
    with at_home():
        from expunge.flows.history import write_report

        say(
            as_json, {"report": str(write_report(home_folder(), read(policy), out))}, lambda data: print(data["report"])
        )


@app.command()
def export(
    source: Annotated[Path, typer.Argument(metavar="PLAN_OR_BUNDLE", help="a saved plan or a bundle", exists=True)],
    to: Annotated[str, typer.Option(metavar="FORMAT", help="diffusers, delta, lora, lora-webui or single-file")],
    out: Annotated[Path, typer.Option(help="the file or folder to write; it must not be there yet")],
    base: Annotated[
        str | None, typer.Option(help="the plan's base model, where a whole model is wanted of a plan")
    ] = None,
    rank: Annotated[int | None, typer.Option(help="at most this rank for a LoRA; exact if left out", min=1)] = None,
    as_json: AsJson = False,
) -> None:
    """Write an edit in the form that other programs read: a model folder, one file, a LoRA, or the deltas alone."""
    with exit_codes():
        from expunge.tasks.storage.export import export_edit

        say(as_json, export_edit(source, to, out, base, rank), show.print_fields)


@app.command()
def apply(
    delta: Annotated[Path, typer.Argument(help="a saved plan, `deltas.safetensors` of a bundle", exists=True)],
    to: Annotated[str, typer.Option(metavar="MODEL", help="its base: a folder in diffusers layout, or builtin:emoji")],
    out: Annotated[Path, typer.Option(help="the folder to write; it must not be there yet")],
    as_json: AsJson = False,
) -> None:
    """Apply an edit to the model it was planned on, and to no other, in a new folder."""
    with exit_codes():
        from expunge.tasks.storage.export import apply_edit

        say(as_json, apply_edit(delta, to, out), show.print_fields)


@app.command()
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
    with exit_codes():
        from expunge.tasks.storage.bundle_store import fetch_bundle

        fetched = fetch_bundle(bundle, out, Settings.load(STORE), key or [])
        say(as_json, {"bundle": fetched.digest, "model": str(fetched.model)}, show.print_fields)


def main() -> None:
    guard()
    keep_silent()
    spare_proxy()
    app(args=sys.argv[1:], prog_name="expunge")


if __name__ == "__main__":
    main()
