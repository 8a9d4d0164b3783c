"""The proof behind a publication, in sentences about the targets of one request and of no other.

A line serves what several requests erase together, and its verdict names all of their targets. A letter tells nobody
what others have asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from expunge.engine.stats.verdict import Verdict
from expunge.policies import DesiredState, Policy, reading_key
from expunge.policies.model.schema import Concept, Retained
from expunge.tasks.core.errors import IntegrityError
from expunge.tasks.core.paths import STATE, VERDICT, readable, work_folder
from expunge.tasks.core.work_order import Ref
from expunge.tasks.ledger.receipt import Receipt
from expunge.tasks.views.findings import Findings
from expunge.tasks.views.sentences import headline, percent

Entry = TypeVar("Entry", Concept, Retained)


@dataclass(frozen=True)
class Proof:
    """The sentences of a PASS: what was seen, what that assures, and how sure it is."""

    headline: str
    assurance: str
    confidence: str
    tested: int


def proof_of(home: Path, publication: Receipt, policy: Policy, private: bool) -> Proof | None:
    """Return what is proven of a policy's targets; None where the publication names no verdict, or one of no PASS.

    Args:
        home: the home.
        publication: the receipt of the publication, which names verdict and desired state by digest.
        policy: the policy whose targets count.
        private: whether the targets are named by number instead of by name.

    Raises:
        IntegrityError: a file of the work is not what the receipt names, or says nothing of these targets.
    """
    if "verdict" not in publication.inputs:
        return None
    path, verdict = verdict_named(home, publication)
    if verdict.outcome != "PASS":
        return None
    own = own_entries(published_state(home, publication).concepts, policy.concepts)
    names = {one.id: f"Target {number}" if private else one.name for number, one in enumerate(own, start=1)}
    found = _only(Findings.of(verdict, names), names)
    if {row.concept for row in found.targets} != names.keys() or not names:
        raise IntegrityError(f"{path} says nothing of the targets of {policy.request_id}: see `expunge audit`")
    return Proof(
        headline(verdict, found), verdict.assurance, percent(verdict.acceptance.confidence), found.targets[0].rate.n
    )


def verdict_named(home: Path, receipt: Receipt) -> tuple[Path, Verdict]:
    """Return the verdict that a receipt was made on, and its file. IntegrityError if the file is another."""
    path = Ref(str(work_folder(home, receipt.work) / VERDICT), receipt.inputs["verdict"], 0).path
    with readable(path):
        return path, Verdict.load(path)


def published_state(home: Path, publication: Receipt) -> DesiredState:
    """Return the desired state that was published. IntegrityError if its file is not what the receipt names."""
    path = work_folder(home, publication.work) / STATE
    with readable(path):
        state = DesiredState.model_validate_json(path.read_bytes())
    if state.digest != publication.inputs["state"]:
        raise IntegrityError(f"{path} is not the desired state that was published: restore it from a backup")
    return state


def own_entries(found: Iterable[Entry], asked: Iterable[Entry]) -> list[Entry]:
    """Return those entries of a desired state that a policy asked for, by whatever id another policy gave them."""
    own = {name for one in asked for name in _names(one)}
    return [one for one in found if _names(one) & own]


def _names(entry: Concept | Retained) -> set[str]:
    aliases = entry.aliases if isinstance(entry, Concept) else ()
    return {reading_key(name) for name in (entry.name, *aliases)}


def _only(findings: Findings, own: Mapping[str, str]) -> Findings:
    """Return the findings without the targets of other requests."""
    gone = {
        part: tuple(row for row in getattr(findings, part) if row.concept in own)
        for part in ("targets", "probes", "attacks")
    }
    return replace(findings, **gone)
