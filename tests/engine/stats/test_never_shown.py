"""A target that the unedited model never shows is found by the pictures of that model alone."""

from __future__ import annotations

import pytest

from expunge.engine.stats.evidence.table import Row, never_shown, table
from tests.engine.stats.rows import picture


def row(concept: str, arm: str, seen: bool, probe: str = "name", role: str = "target", seed: int = 0) -> Row:
    return Row(concept, role, "object", probe, f"a {concept}", seed, arm, seen, 0.25, picture(seed, arm))


@pytest.mark.parametrize(
    ("rows", "found"),
    [
        ([row("panda", "before", False), row("panda", "after", False)], ["panda"]),
        ([row("panda", "before", True), row("panda", "after", False)], []),
        ([row("panda", "before", False), row("panda", "after", True)], ["panda"]),
        ([row("panda", "after", False)], []),
        ([row("panda", "denoiser", False)], []),
        ([row("panda", "before", False, probe="inversion")], []),
        ([row("panda", "before", False), row("panda", "before", True, probe="inversion", seed=1)], ["panda"]),
        ([row("fox", "before", False, role="look_alike")], []),
        ([row("panda", "before", False), row("lion", "before", False)], ["lion", "panda"]),
    ],
    ids=["never", "shown", "after-only", "not-asked", "third-arm", "attacked", "shown-by-attack", "kept", "sorted"],
)
def test_only_plain_prompts_on_the_unedited_model_count(rows: list[Row], found: list[str]) -> None:
    assert never_shown(table(rows)) == found
