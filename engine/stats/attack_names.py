"""The probes that are attacks, by name."""

from __future__ import annotations

from pathlib import Path

from expunge.engine.discover import offering

ATTACKS = tuple(offering(Path(__file__).parents[1] / "probes" / "attacks", "ATTACK"))
"""Each has the name of its file, for the statistics import no attack."""
