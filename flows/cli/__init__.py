"""The command `expunge`: what a compliance officer, an operator or a script types. One file a group of commands."""

from __future__ import annotations

import sys

import typer

from expunge.flows.cli import checks, edits, record, requests
from expunge.flows.terminal import guard
from expunge.tasks.core.settings import keep_silent, spare_proxy

app = typer.Typer(
    help="Take concepts out of text-to-image models by policy, prove it, publish it, and keep the proof.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for group in (requests, checks, record, edits):  # the order of the help
    app.add_typer(group.commands)


def main() -> None:
    """Run the command line."""
    guard()
    keep_silent()
    spare_proxy()
    app(args=sys.argv[1:], prog_name="expunge")
