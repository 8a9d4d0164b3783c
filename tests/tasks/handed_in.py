"""Policies on the built-in model as the flow's first task takes them in."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from expunge.engine.emoji import MODEL
from expunge.tasks.core.work_order import Order
from expunge.tasks.intake import read_policy


def handed_in(path: Path, home: Path) -> Order:
    """What the flow's first task makes of a policy file."""
    return read_policy.fn(str(path), hashlib.sha256(path.read_bytes()).hexdigest(), str(home))


def on_a_folder(path: Path) -> Path:
    """The policy file with its base as a folder: of that one only EXPUNGE_JUDGE says who judges it."""
    policy = json.loads(path.read_text())
    policy["base"]["uri"] = f"file:{MODEL}"
    path.write_text(json.dumps(policy))
    return path
