"""The rows that people read say the same as the verdict: what is missed there is no "met" here."""

from expunge.engine.stats.decide import decide
from expunge.engine.stats.evidence.table import Row, table
from expunge.engine.stats.limits.acceptance import Acceptance
from expunge.engine.stats.verdict import Verdict
from expunge.tasks.views.findings import Findings
from tests.engine.stats.rows import rows

LIMITS = Acceptance(0.10, 0.05, 0.75, 0.95, probe_limits={"language": 0.05}, informative=("language",))


PANDA, FOX = rows("panda", "target", 40, 0, 40), rows("fox", "general", 96, 96, 96)


def decided(*more: list[Row]) -> Verdict:
    frame = table(row for part in (PANDA, FOX, *more) for row in part)
    return decide(frame, len(frame), LIMITS)


def test_a_limited_family_that_the_unedited_model_never_shows_does_not_meet_its_limit():
    for before, met in ((0, False), (39, False), (40, True)):
        (row,) = Findings.of(decided(rows("panda", "target", before, 0, 80, "language")), {}).probes
        assert (row.control, row.shown, row.met) == (0.5, met, met)


def test_a_suspected_concept_is_neither_proven_to_have_collapsed_nor_met():
    herd = [rows(f"k{number}", "look_alike", 96, 96, 96) for number in range(30)]
    language = rows("panda", "target", 80, 0, 80, "language")
    found = Findings.of(decided(language, *herd, rows("wolf", "look_alike", 96, 76, 96)), {})
    marked = {row.concept: (row.proven, row.suspected) for row in found.kept if not row.met}
    assert marked == {"wolf": (False, True)}
