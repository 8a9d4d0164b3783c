"""The whole way of the shipped policy for an erasure from the weights, with the real servers and a real training.

It trains the built-in model's denoiser and makes every attack of `adversarial`, which may take hours of
a processor. Nothing is made smaller than the policy says, because what it shows is that its PASS can be earned.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from expunge.engine.files.bundle import verify_bundle
from expunge.engine.plans.edit_plan import EditPlan
from expunge.engine.stats.limits.attack_names import ATTACKS
from expunge.engine.stats.verdict import Verdict
from expunge.tasks.audit.record import audit
from expunge.tasks.core.paths import VERDICT
from expunge.tasks.core.settings import Settings
from expunge.tasks.ledger.queries import receipts
from expunge.tasks.storage.bundle_store import fetch_bundle

POLICY = Path(__file__).parents[2] / "policies" / "examples" / "hardened.yaml"
HOURS = 6


@pytest.fixture(scope="module")
def submitted(
    stack: Settings, tmp_path_factory: pytest.TempPathFactory
) -> tuple[subprocess.CompletedProcess[str], Path]:
    """What the command said of the shipped policy, and the home of the run."""
    home = tmp_path_factory.mktemp("hardened") / "home"
    done = subprocess.run(
        [sys.executable, "-m", "expunge.flows.cli", "submit", str(POLICY), "--json"],
        env={**os.environ, **stack.variables(), "EXPUNGE_HOME": str(home)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=HOURS * 3600,
    )
    return done, home


@pytest.mark.slow
def test_the_shipped_policy_ends_in_a_pass_by_weights(
    submitted: tuple[subprocess.CompletedProcess[str], Path], stack: Settings, tmp_path: Path
) -> None:
    done, home = submitted
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["verdict"], told["grade"].startswith("by weights; level adversarial; ")) == ("PASS", True)
    line = next(iter(receipts(home))).line
    bundle = fetch_bundle(line, tmp_path / "bundle", stack)
    assert verify_bundle(tmp_path / "bundle") == bundle.digest
    assert EditPlan.load(tmp_path / "bundle" / "deltas.safetensors").editor == "hardened"
    (monkey,) = Verdict.load(Path(told["report"]).with_name(VERDICT)).targets
    assert set(monkey.attacks) == set(ATTACKS)
    assert all(rate.upper <= 0.20 for rate in monkey.attacks.values())


@pytest.mark.slow
def test_its_record_is_whole(submitted: tuple[subprocess.CompletedProcess[str], Path]) -> None:
    _, home = submitted
    assert audit(home).problems == ()
