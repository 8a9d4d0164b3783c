"""Write the pages of the site that follow from the code: every option, the schema of a policy, the Python interface."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import mkdocs_gen_files
from typer.main import get_command
from typer.testing import CliRunner

from expunge.flows.cli import app
from expunge.policies import Policy

INTERFACE = (
    "expunge.engine.spec",
    "expunge.engine.models.load",
    "expunge.engine.models.sampling",
    "expunge.engine.planning.make",
    "expunge.engine.planning.compare",
    "expunge.engine.plans.edit_plan",
    "expunge.engine.plans.export",
    "expunge.engine.judges",
    "expunge.engine.stats.decide",
)
"""The modules that docs/python.md uses."""


def options() -> Iterator[str]:
    """Yield the lines of the page of commands, each with all that its help says."""
    yield "# Every option\n\nWhat `expunge COMMAND --help` says.\n"
    group: Any = get_command(app)
    for name in sorted(group.commands):
        said = (
            CliRunner()
            .invoke(app, [name, "--help"], env={"TERMINAL_WIDTH": "80", "NO_COLOR": "1"}, prog_name="expunge")
            .stdout
        )
        yield f"## expunge {name}\n\n```\n{said.strip()}\n```\n"


def schema() -> Iterator[str]:
    """Yield the lines of the page with the JSON Schema of a policy."""
    yield "# Schema of a policy\n\nJSON Schema, for editors that complete and check YAML.\n"
    yield f"```json\n{json.dumps(Policy.model_json_schema(), indent=2, ensure_ascii=False)}\n```\n"


def interface() -> Iterator[str]:
    """Yield the lines of the page of the Python interface."""
    yield "# Python\n\n[From Python](../python.md) shows these at work.\n"
    yield from (f"::: {module}\n" for module in INTERFACE)


for page, lines in (("options", options()), ("schema", schema()), ("python", interface())):
    with mkdocs_gen_files.open(f"reference/{page}.md", "w") as file:
        file.write("\n".join(lines))
