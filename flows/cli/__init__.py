"""The command `expunge`: what a compliance officer, an operator or a script types. One file a group of commands."""

from __future__ import annotations

import sys
from importlib.metadata import version
from typing import Annotated

import typer

from expunge.flows.cli import checks, decisions, desk, edits, letters, notices, record, remote, requests
from expunge.flows.terminal import guard
from expunge.tasks.core.settings import keep_silent, spare_proxy

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for group in (notices, requests, decisions, letters, desk, checks, remote, record, edits):  # the order of the help
    app.add_typer(group.commands)


def _print_version(asked: bool) -> None:
    if asked:
        print(f"expunge {version('expunge')}")
        raise typer.Exit


@app.callback()
def common(
    asked: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="print the version and exit")
    ] = False,
) -> None:
    """Take concepts out of text-to-image models by policy, prove it, publish it, and keep the proof."""


def main() -> None:
    """Run the command line."""
    guard()
    keep_silent()
    spare_proxy()
    app(args=sys.argv[1:], prog_name="expunge")
