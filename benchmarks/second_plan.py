"""How long `expunge plan` takes for a second policy on one base: `python -m benchmarks.second_plan [--write]`.

Seconds of the processor, on one thread, so that other work on the machine counts for little. Three policies are planned
in a new home. The first and the second have a process each, as the command has. The third follows the second in its
process, which has the libraries already. `--write` puts the table into `docs/operations.md`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks.common.page import DOCS, put, table
from expunge.engine.emoji import MODEL
from expunge.engine.files.digests import folder_digest

CHILD = """
import contextlib, json, sys, time
from pathlib import Path
from expunge.policies import read
from expunge.tasks.core.settings import home_folder
import expunge.flows.dry as dry
import expunge.tasks.edit, expunge.tasks.intake, expunge.tasks.views.plan_summary
times = [time.process_time()]
for path in sys.argv[1:]:
    with contextlib.redirect_stdout(sys.stderr):
        dry.dry_run(read(Path(path)), home_folder())
    times.append(time.process_time())
print(json.dumps(times))
"""


def policy(folder: Path, name: str) -> Path:
    """Write a policy that erases one object, and return its file."""
    said: dict[str, Any] = {
        "schema_version": "1",
        "request_id": name,
        "kind": "trademark",
        "received_at": "2026-02-03T16:05:00Z",
        "base": {"uri": "builtin:emoji", "sha256": folder_digest(MODEL)},
        "concepts": [{"id": name, "name": name, "category": "object"}],
        "retain": [{"id": "car", "name": "car", "kind": "look_alike", "category": "object"}],
    }
    (path := folder / f"{name}.yaml").write_text(json.dumps(said), encoding="utf-8")
    return path


def timed(home: Path, *paths: Path) -> list[float]:
    """Return the seconds of loading the libraries, and of each plan, in a process of its own."""
    one = {"EXPUNGE_HOME": str(home), "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    words = [sys.executable, "-c", CHILD, *map(str, paths)]
    done = subprocess.run(words, env={**os.environ, **one}, check=True, stdout=subprocess.PIPE, text=True)
    times = [0.0, *json.loads(done.stdout)]
    return [later - earlier for earlier, later in pairwise(times)]


def main() -> None:
    """Print the table, or write it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true")
    write = parser.parse_args().write
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        one, two, three = (policy(Path(folder), name) for name in ("bicycle", "castle", "guitar"))
        first, (loading, second, third) = timed(home, one), timed(home, two, three)
    rows = [
        ["the first on a base", f"{first[0]:.1f}", f"{first[1]:.1f}"],
        ["a second", f"{loading:.1f}", f"{second:.1f}"],
        ["one more in the same process", "0", f"{third:.1f}"],
    ]
    text = table(["policy", "loading libraries, s", "planning, s"], rows)
    if write:
        put("second-plan", text, DOCS / "operations.md")
    print(text)


if __name__ == "__main__":
    main()
