"""Take an edit elsewhere: in the form that other programs read, or onto its base."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from expunge.flows.cli import show
from expunge.flows.cli.common import AsJson, exit_codes, say

GROUP = "Take an edit elsewhere"
commands = typer.Typer()


@commands.command(rich_help_panel=GROUP, epilog="Example: expunge export bundle --to lora --out lora.safetensors")
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
    with exit_codes(as_json):
        from expunge.tasks.storage.export import export_edit

        say(as_json, export_edit(source, to, out, base, rank), show.print_fields)


@commands.command(rich_help_panel=GROUP, epilog="Example: expunge apply delta.safetensors --to ./model --out ./edited")
def apply(
    delta: Annotated[Path, typer.Argument(help="a saved plan, `deltas.safetensors` of a bundle", exists=True)],
    to: Annotated[str, typer.Option(metavar="MODEL", help="its base: a folder in diffusers layout, or builtin:emoji")],
    out: Annotated[Path, typer.Option(help="the folder to write; it must not be there yet")],
    as_json: AsJson = False,
) -> None:
    """Apply an edit to the model it was planned on, and to no other, in a new folder."""
    with exit_codes(as_json):
        from expunge.tasks.storage.export import apply_edit

        say(as_json, apply_edit(delta, to, out), show.print_fields)
