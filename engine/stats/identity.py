"""Reasons against a candidate that come from its weights and files, whatever its pictures show."""

from __future__ import annotations

from collections.abc import Iterator

from expunge.engine.files.comparison import Comparison
from expunge.engine.stats.verdict import Reason

UNDECLARED = "the edit did not declare this change: submit the policy again, so that the model is written anew"
PUT_BACK = "put the base's own file in its place, and verify the folder again"


def identity_reasons(found: Comparison) -> Iterator[Reason]:
    """Yield a reason for each difference, for a denoiser that nobody edited, and for a comparison that failed."""
    if found.failure:
        text = f"the candidate could not be compared with its base: {found.failure}"
        yield Reason("not-compared", "", text)
    for name in found.unchanged:
        text = f"{name} is the base's own, weight for weight, so nothing was erased: hand in the edited model"
        yield Reason("nothing-erased", name, text)
    code, cure = ("undeclared-change", UNDECLARED) if found.declared else ("unlike-base", PUT_BACK)
    for each in found.differences:
        yield Reason(code, each.component, f"{each}: {cure}")
