"""What all commands share: common options, exit codes, and how a result is printed."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from expunge.flows.terminal import Console
from expunge.policies import PolicyError, PolicyErrors
from expunge.tasks.core.errors import exit_code_of
from expunge.tasks.core.machine.private_home import private
from expunge.tasks.core.settings import home_folder

PolicyFile = Annotated[Path, typer.Argument(help="the policy file", exists=True, dir_okay=False, readable=True)]
Keys = Annotated[
    list[Path] | None,
    typer.Option(help="public key (PEM) of who signs the receipts, got from elsewhere; repeatable", exists=True),
]
AsJson = Annotated[bool, typer.Option("--json", help="print one JSON object instead of text")]


@contextmanager
def exit_codes(as_json: bool = False) -> Iterator[None]:
    """Turn every expected failure into one clear message on stderr and an exit code of its own.

    With `--json` the message is one JSON object.
    """
    try:
        yield
    except typer.Exit:
        raise
    except Exception as error:
        code = exit_code_of(error)
        if as_json:
            print(json.dumps(_described(error, code), ensure_ascii=False), file=sys.stderr)
            raise typer.Exit(code) from None
        Console(stderr=True, highlight=False, soft_wrap=True).print(f"expunge: {error}", style="red", markup=False)
        if code == 1:
            Console(stderr=True).print_exception()
        raise typer.Exit(code) from None


def _described(error: Exception, code: int) -> dict[str, Any]:
    """Return an error as data: its message, and each problem of a policy with field, line and cure."""
    single = [error] if isinstance(error, PolicyError) else []
    problems = error.errors if isinstance(error, PolicyErrors) else single
    fields = ("field", "line", "message", "cure", "source")
    return {
        "error": str(error),
        "type": type(error).__name__,
        "exit_code": code,
        "problems": [{name: getattr(one, name) for name in fields} for one in problems],
    }


@contextmanager
def at_home(as_json: bool = False) -> Iterator[None]:
    """Do as `exit_codes` for a command that writes into the home: what it writes only its owner can read."""
    with exit_codes(as_json), private(home_folder()):
        yield


def look_at_record(home: Path) -> str:
    """Fetch what other machines put on record, before it is shown; say on stderr why what is shown may be old.

    Returns the same words, "" where it is not old.
    """
    from expunge.tasks.storage.record.fetching import bring_up_to_date

    if old := bring_up_to_date(home):
        Console(stderr=True, highlight=False, soft_wrap=True).print(f"expunge: {old}", style="yellow", markup=False)
    return old


def say(as_json: bool, data: dict[str, Any], text: Callable[[dict[str, Any]], None]) -> None:
    """Print a result: as one JSON object, or by `text` as people read it."""
    if as_json:
        print(json.dumps(data, indent=2, ensure_ascii=False))
    else:
        text(data)
