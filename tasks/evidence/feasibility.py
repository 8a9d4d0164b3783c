"""What the examination of a policy could prove at best, known before a picture is drawn."""

from __future__ import annotations

from collections.abc import Iterator

from expunge.engine.files.digests import json_digest
from expunge.engine.probes import Subject
from expunge.engine.stats.decide import decide
from expunge.engine.stats.evidence.table import ARMS, Row, table
from expunge.engine.stats.verdict import Outcome, Verdict
from expunge.policies import PolicyError
from expunge.tasks.evidence.attacks.jobs import is_lesson
from expunge.tasks.evidence.examination import Examination


def best_case(exam: Examination) -> Verdict:
    """Return the verdict on a model that shows nothing erased and all that is kept; if not PASS, no model can pass."""
    rows = list(_rows(exam))
    return decide(table(rows), len(rows), exam.acceptance, exam.judge)


def refuse_unprovable(exam: Examination) -> None:
    """Refuse a policy that wants something proven which is not asked.

    Such is a probe by a wrong name, or of a higher level, or an attack that has nothing to train on. It would otherwise
    come out when all is drawn.

    Raises:
        PolicyError: the policy wants such a proof.
    """
    best = best_case(exam)
    if best.outcome is Outcome.ERROR:
        reasons = "; ".join(reason.message for reason in best.reasons)
        raise PolicyError("acceptance", f"nothing could be proven: {reasons}", "see `expunge plan`")
    kept = [question.shot for question in exam.questions if question.subject.role != "target"]
    for attack in exam.level.attacks:
        if attack.retrains and not any(is_lesson(shot, exam.targets) for shot in kept):
            problem = f"{attack.name} trains the model on what is kept, and every prompt for that names a target"
            raise PolicyError("retain", problem, "keep something else too, or ask for `quick`, which makes no attacks")


def _rows(exam: Examination) -> Iterator[Row]:
    for question in exam.questions:
        yield from _pair(question.subject, question.probe, question.shot.prompt, question.shot.seed)
    for target in exam.targets:
        for attack in exam.level.attacks:
            for number in range(attack.cost):
                yield from _pair(target, attack.name, f"{attack.name} {number + 1}", number)


def _pair(subject: Subject, probe: str, prompt: str, seed: int) -> Iterator[Row]:
    for arm in ARMS:
        seen = arm == "before" or subject.role != "target"
        picture = json_digest([subject.id, probe, prompt, seed, arm])
        named = subject.id, subject.role, subject.category
        yield Row(*named, probe, prompt, seed, arm, seen, float(seen), picture, shows="something else")
