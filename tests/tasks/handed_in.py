"""Policies on the built-in model as the flow's first task takes them in."""

from __future__ import annotations

import json
from pathlib import Path

from expunge.engine.emoji import MODEL
from expunge.policies import Policy, read
from expunge.tasks.core.settings import Settings
from expunge.tasks.core.work_order import Order
from expunge.tasks.intake import intake, read_task
from expunge.tasks.ledger.floor_store import floor_in_force
from expunge.tasks.ledger.queries import line_of
from expunge.tasks.ledger.recorder import journal


def handed_in(path: Path, home: Path) -> Order:
    """What the flow's first task makes of a policy file."""
    policy, settings = read(path), Settings(home, "", "", "")
    return read_task.fn(policy, path.read_bytes(), journal(home, line_of(policy, home)), settings).order


def order_of(policy: Policy, home: Path) -> Order:
    """The order of a policy, without a receipt."""
    settings = Settings(home, "", "", "")
    return intake(policy, journal(home, line_of(policy, home)), settings, floor_in_force()).order


def on_a_folder(path: Path) -> Path:
    """The policy file with its base as a folder: of that one only EXPUNGE_JUDGE says who judges it."""
    policy = json.loads(path.read_text())
    policy["base"]["uri"] = f"file:{MODEL}"
    path.write_text(json.dumps(policy))
    return path
