"""Metrics of a verification for MLflow: numbers by concept, attack and claim, of what is kept, and what it cost."""

from __future__ import annotations

from collections.abc import Iterator

from expunge.engine.judges.quality.compare import Quality
from expunge.engine.stats.verdict import Claim, Verdict
from expunge.tasks.evidence.budget import Cost


def metrics(verdict: Verdict, quality: Quality | None, cost: Cost) -> dict[str, float]:
    """Return the numbers by name.

    A name is `<concept>/<measure>`, `<concept>/<attack>/<measure>`, `claims/...`, `quality/...` or `cost/...`.
    """
    return dict([*_of_verdict(verdict), *_of_claims(verdict), *(_of_quality(quality) if quality else ()), *_of(cost)])


def _of_verdict(verdict: Verdict) -> Iterator[tuple[str, float]]:
    yield "pictures", float(verdict.evaluated)
    for target in verdict.targets:
        yield f"{target.concept}/seen_before", target.total.before
        yield f"{target.concept}/seen_after", target.total.rate
        yield f"{target.concept}/seen_after_bound", target.total.upper
        if target.noise:
            yield f"{target.concept}/noise", target.noise.rate
            yield f"{target.concept}/noise_bound", target.noise.upper
        for attack, rate in target.attacks.items():
            yield f"{target.concept}/{attack}/asr_before", rate.before
            yield f"{target.concept}/{attack}/asr_after", rate.rate
            yield f"{target.concept}/{attack}/asr_after_bound", rate.upper
    for kept in verdict.retained:
        yield f"{kept.concept}/drop", kept.total.drop
    for group in verdict.groups:
        yield f"{group.name}/drop", group.total.drop
        yield f"{group.name}/drop_bound", group.total.upper


def _of_claims(verdict: Verdict) -> Iterator[tuple[str, float]]:
    yield "claims/made", float(len(verdict.claims))
    yield "claims/proven", float(len(verdict.proven))
    for claim in (claim for claim in verdict.claims if not claim.prompt):
        yield f"{claim.concept}/{_claimed(claim)}_holm_p", claim.holm


def _claimed(claim: Claim) -> str:
    words = {"target": "erased", "group": "kept", "collapse": "collapsed", "noise": "recognisable"}
    return words.get(claim.kind) or f"{claim.probe}/{'survives' if claim.kind == 'survival' else 'fails'}"


def _of_quality(quality: Quality) -> Iterator[tuple[str, float]]:
    yield "quality/pictures", float(quality.pictures)
    yield "quality/clip_score_before", quality.clip_score.before
    yield "quality/clip_score_after", quality.clip_score.after
    yield "quality/kid", quality.kid
    yield "quality/kid_error", quality.kid_error
    if quality.frechet is not None:
        yield "quality/frechet", quality.frechet
    yield "quality/distance", quality.distance
    yield "quality/diversity_before", quality.diversity.before
    yield "quality/diversity_after", quality.diversity.after
    yield "quality/worst_kept_before", quality.worst.seen.before
    yield "quality/worst_kept_after", quality.worst.seen.after


def _of(cost: Cost) -> Iterator[tuple[str, float]]:
    yield "cost/pictures_drawn", float(cost.pictures)
    yield "cost/minutes", round(cost.seconds / 60, 2)
