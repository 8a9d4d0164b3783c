"""Count how far a reader turns back who follows one notice from top to bottom.

    make up
    python -m benchmarks.straight [--write]

One policy with few pictures goes through the whole pipeline on the local stack, in a home and bucket of its own, while
`sys.setprofile` notes each function of `flows` and `tasks` at its first call from another file of ours. Later calls of
the same function are not counted: a reader knows it by then. These figures come out:

calls     functions that are entered from another file, properties and one-line helpers among them
bodies    calls whose function has more than one statement, so that a reader has to open it
files     files that they are in
returns   times that the next function is in a file which was left before
loads     times that order, state, policy, settings, record or verdict are read from disk or environment
proofs    loads that prove something: a receipt is added to a chain only after that was read and checked

`--write` appends the figures to `measured/straight.tsv`, under the commit that is checked out.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
TABLE = ROOT / "benchmarks" / "measured" / "straight.tsv"
COUNTED = ("flows", "tasks")
LOADS = {
    ("tasks/core/settings.py", "Settings.load"),
    ("tasks/core/work_order.py", "Order.load"),
    ("tasks/core/work_order.py", "load_state"),  # up to fd85d8d
    ("tasks/core/work_order.py", "Order.desired"),
    ("tasks/core/work_order.py", "verdict_of"),
    ("tasks/ledger/floor_store.py", "kept_floor"),
    ("tasks/ledger/ledger.py", "Ledger._stored"),
    ("tasks/ledger/policy_store.py", "kept_policy"),
}
"""What reads something that a case could hold."""
PROVING = "Ledger._repair"
POLICY = {
    "schema_version": "1",
    "request_id": "straight",
    "kind": "trademark",
    "received_at": "2026-02-03T16:05:00Z",
    "concepts": [{"id": "bicycle", "name": "bicycle", "category": "object"}],
    "retain": [
        {"id": name, "name": name, "kind": kind, "category": "object"}
        for name, kind in {"car": "look_alike", "bus": "look_alike", "guitar": "general", "castle": "general"}.items()
    ],
    "limits": {"max_weight_delta": 8.0},
    "acceptance": {
        **{"max_target_rate": 0.4, "max_retain_drop": 0.5, "min_control_rate": 0.5},
        **{"seeds": 2, "prompts": 5, "steps": 6},
    },
}


@dataclass
class Trail:
    """The functions that were entered from another file, in order; each by its file below the repository and name."""

    entered: dict[tuple[str, str], None] = field(default_factory=dict)
    loads: Counter[tuple[str, str]] = field(default_factory=Counter)
    proofs: int = 0

    def note(self, frame: FrameType, event: str, _: Any) -> None:
        """Take one event of `sys.setprofile`."""
        if event != "call" or (file := _own(frame)) is None:
            return
        if (place := (file, frame.f_code.co_qualname)) in LOADS:
            self.loads[place] += 1
            self.proofs += frame.f_back is not None and frame.f_back.f_code.co_qualname == PROVING
        caller = frame.f_back
        while caller is not None and _own(caller) is None:
            caller = caller.f_back
        if caller is None or _own(caller) != file:
            self.entered.setdefault(place)

    @property
    def figures(self) -> dict[str, int]:
        """Return calls, bodies, files, returns, loads and proofs."""
        files = [file for file, _ in self.entered]
        read = {"loads": self.loads.total(), "proofs": self.proofs}
        bodies = len(self.entered.keys() - one_liners(set(files)))
        return {"calls": len(files), "bodies": bodies, "files": len(set(files)), "returns": returns(files), **read}


def returns(files: Sequence[str]) -> int:
    """Return how often the next file is one that was left before."""
    known, last, count = set[str](), "", 0
    for file in files:
        if file != last:
            count += file in known
            known.add(last)
            last = file
    return count


def one_liners(files: Iterable[str]) -> set[tuple[str, str]]:
    """Return the functions of these files that are one statement beside their docstring, by file and qualified name."""
    found = set()
    for file in files:
        if file.endswith(".py"):
            tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
            found |= {(file, name) for name, body in _functions(tree, "") if len(body) == 1}
    return found


def _functions(node: ast.AST, prefix: str) -> Iterator[tuple[str, list[ast.stmt]]]:
    """Yield each function with the statements of its body; a compound statement counts with all that is in it."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef):
            yield from _functions(child, f"{prefix}{child.name}.")
        elif isinstance(child, ast.FunctionDef):
            body = child.body[1:] if ast.get_docstring(child) is not None else child.body
            yield prefix + child.name, [each for each in ast.walk(ast.Module(body, [])) if isinstance(each, ast.stmt)]
            yield from _functions(child, f"{prefix}{child.name}.<locals>.")


def _own(frame: FrameType) -> str | None:
    """Return the file of a frame if it is counted; what runs on import, and pieces without a name, are not."""
    code = frame.f_code
    if code.co_name.startswith("<"):
        return None
    path = Path(code.co_filename)
    for name in COUNTED:
        if name in path.parts and path.is_relative_to(ROOT):
            return "/".join(path.parts[path.parts.index(name) :])
    return None


@contextlib.contextmanager
def followed() -> Iterator[Trail]:
    """Note what is called inside, on this thread."""
    trail = Trail()
    sys.setprofile(trail.note)
    try:
        yield trail
    finally:
        sys.setprofile(None)


def follow_one_policy(folder: Path) -> Trail:
    """Submit the policy in a home below `folder`, with the local stack's services, and return the trail."""
    from expunge.tasks.core.settings import Settings

    stack = Settings.load()
    os.environ.update({"EXPUNGE_HOME": str(folder / "home"), "EXPUNGE_BUCKET": f"straight-{uuid.uuid4().hex}"})
    os.environ["EXPUNGE_FLOOR"] = str(ROOT / "tests" / "floor.yaml")  # that of few pictures
    os.environ.update({name: value for name, value in stack.variables().items() if not name.startswith("EXPUNGE")})
    settings = Settings.load()
    settings.export()
    from expunge.engine import emoji
    from expunge.engine.files.digests import folder_digest
    from expunge.flows.submission import submit
    from expunge.policies import read
    from expunge.tasks.storage import s3

    s3.client(settings).create_bucket(Bucket=settings.bucket)
    path = folder / "straight.yaml"
    base = {"uri": "builtin:emoji", "sha256": folder_digest(emoji.MODEL)}
    path.write_text(json.dumps({**POLICY, "base": base}), encoding="utf-8")
    with followed() as trail:
        submit(path, read(path), settings)
    return trail


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="append the figures to measured/straight.tsv")
    parser.add_argument("--trail", action="store_true", help="print each function in order")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        trail = follow_one_policy(Path(folder))
    for file, function in trail.entered if options.trail else ():
        print(f"{file}\t{function}")
    for (file, function), count in trail.loads.most_common() if options.trail else ():
        print(f"{file}\t{function}\t{count}")
    print(json.dumps(trail.figures))
    if options.write:
        commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True)
        row = (commit.stdout.strip(), *map(str, trail.figures.values()))
        TABLE.write_text(TABLE.read_text(encoding="utf-8") + "\t".join(row) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
