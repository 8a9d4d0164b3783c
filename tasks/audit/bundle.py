"""A check of a bundle by itself, for whoever has the bundle and the public key and nothing else.

It reads the bundle's files and who vouches for it, and whether its verdict passes and follows from its evidence.
Limits, what was planned and the judge's error are as the verdict has them, for the policies are in the home; so these
are shown, to be held against the policy. So is the model of a base that was restored, of which there is no verdict. To
whoever has the base, too, it is shown that the model is the base with the edit that lies beside it, and nothing else.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from expunge.engine.files.digests import folder_digest
from expunge.engine.plans.diff import compare
from expunge.engine.stats.evidence import table as evidence
from expunge.engine.stats.identity import identity_reasons
from expunge.engine.stats.verdict import Outcome, Verdict
from expunge.tasks.audit.replay import can_be_rederived, unlike
from expunge.tasks.core.errors import IntegrityError
from expunge.tasks.core.paths import DELTAS, EVIDENCE, VERDICT
from expunge.tasks.evidence.identity import compared
from expunge.tasks.ledger.receipt import Receipt, is_of_a_base
from expunge.tasks.ledger.signatures.keys import public_key
from expunge.tasks.storage.bundle_signature import receipt_of
from expunge.tasks.storage.manifest import Bundle, check_bundle, model_digest


@dataclass(frozen=True)
class Found:
    """The content of a bundle, and what is wrong with it.

    `model` is the digest of the model's folder. `verdict` is None of a base as it was. `rederived` says whether the
    verdict was worked out anew, which takes the version that came to it. `base` is the digest of the base that the
    model was held against, None of none.
    """

    bundle: str
    model: str
    receipt: Receipt
    verdict: Verdict | None
    rederived: bool
    base: str | None
    problems: tuple[str, ...]


def look(folder: Path, keys: Collection[Path], base: Path | None = None) -> Found:
    """Return what is in the bundle, its model held against that in the folder `base`, where one is given.

    Raises:
        IntegrityError: the bundle differs from its manifest, none of the keys vouches for it, or its verdict cannot be
            read. Then nothing that it says is worth a look.
        ModelFormatError: the base is no whole model.
    """
    bundle = check_bundle(folder)
    receipt = receipt_of(folder, bundle.digest, [public_key(path) for path in keys])
    if is_of_a_base(receipt):
        verdict, again = None, False
        problems = [f"it has {name}, and was published as a base" for name in PROVEN if name in bundle.files]
    else:
        verdict, again = _verdict(bundle), can_be_rederived(receipt)
        problems = list(_against(bundle, receipt, verdict, again))
    if base:
        problems += _unlike_base(bundle, base, edited=verdict is not None)
    whole = base and folder_digest(base)
    return Found(bundle.digest, model_digest(bundle.files), receipt, verdict, again, whole, tuple(problems))


PROVEN = (VERDICT, EVIDENCE, DELTAS)
"""What an edit is published with."""


def _verdict(bundle: Bundle) -> Verdict:
    try:
        return Verdict.load(bundle.folder / VERDICT)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise IntegrityError(f"{bundle.folder / VERDICT} cannot be read: {error}") from error


def _unlike_base(bundle: Bundle, base: Path, edited: bool) -> Iterator[str]:
    """Say how the model is not the base, or not the base with the edit in the bundle."""
    if not edited:
        yield from map(str, compare(bundle.model, base, {}).differences)
        return
    if DELTAS not in bundle.files:
        raise IntegrityError(f"{bundle.folder} has no {DELTAS}, so there is no edit to add to the base")
    yield from (reason.message for reason in identity_reasons(compared(bundle.model, base, bundle.folder / DELTAS)))


def _against(bundle: Bundle, receipt: Receipt, verdict: Verdict, again: bool) -> Iterator[str]:
    if bundle.files.get(VERDICT) != receipt.inputs.get("verdict"):
        yield f"{VERDICT} is not the one that the receipt names"
    if verdict.outcome is not Outcome.PASS:
        yield f"{VERDICT} says {verdict.outcome.value}"
    if not again:
        return  # another version's evidence may be of another shape
    try:
        against = unlike(verdict, evidence.read(bundle.folder / EVIDENCE), verdict.acceptance)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        against = f"cannot be worked out from its evidence: {error}"
    if against:
        yield f"{VERDICT} {against}"
