"""What the examination of a policy could prove at best, known before a picture is drawn."""

from __future__ import annotations

import re
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path

from transformers import AutoTokenizer

from expunge.engine.files.digests import json_digest
from expunge.engine.judges.card import names
from expunge.engine.probes import Subject
from expunge.engine.stats.decide import decide
from expunge.engine.stats.evidence.table import ARMS, Row, table
from expunge.engine.stats.verdict import Outcome, Verdict
from expunge.policies import PolicyError
from expunge.tasks.core.work_order import Order
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


def refuse_without_pass(exam: Examination) -> None:
    """Refuse a policy that no edit could pass: its own numbers are too small to prove its limits.

    Raises:
        PolicyError: even a model that shows no target and keeps everything would not get a PASS.
    """
    refuse_unprovable(exam)
    best = best_case(exam)
    if best.outcome is not Outcome.PASS:
        reasons = "; ".join(reason.message for reason in best.reasons)
        cure = "raise `acceptance.seeds` or `acceptance.prompts`, or allow more; `expunge plan` tells without a record"
        raise PolicyError("acceptance", f"no edit could pass: {reasons}", cure)


def unknown_names(order: Order) -> list[str]:
    """Return a sentence for each target that is no name of the judge's and no whole word of the model's encoder.

    The unedited model seldom shows such a thing, so that nothing is proven in the end. It refuses nothing: a judge that
    compares pictures with words takes any name, and an encoder may know a rare word by its pieces.
    """
    listed, sentences = names(order.judge_folder), []
    for concept in order.desired.concepts:
        usable = listed.get(concept.category, [])
        if concept.name.casefold() in usable or not (split := _in_pieces(concept.name, order.base_folder)):
            continue
        near = [repr(name) for name in get_close_matches(concept.name.casefold(), usable)]
        question = f"did you mean {' or '.join(near)}?" if near else "is it spelt as people write it?"
        what = f"the judge does not list {concept.name!r}, and the encoder knows {', '.join(split)} only in pieces"
        sentences.append(f"{what}: {question}")
    return sentences


def _in_pieces(name: str, base: Path) -> list[str]:
    """Return the words of a name for which the encoder has no token; none where the base has no tokenizer there."""
    folder = base / "tokenizer"
    if not folder.is_dir():
        return []
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    return [repr(word) for word in re.findall(r"[^\W\d_]+", name) if len(tokenizer.tokenize(word)) > 1]


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
