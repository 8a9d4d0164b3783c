"""The names of the probes that are attacks."""

from __future__ import annotations

from pathlib import Path

from expunge.engine.discover import offering

ATTACKS = tuple(offering(Path(__file__).parents[2] / "probes" / "attacks", "ATTACK"))
"""The names of the attacks' files, in order. They are read from the folder, because the statistics import no attack."""
