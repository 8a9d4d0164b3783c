"""The facts of a letter, read from the signed record: notices, receipts, policies and verdicts.

Where a request protects a person, no name and no text of the notice is among them, so that no template can print one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from expunge.policies import Policy
from expunge.policies.kinds import KINDS, PRIVATE_KINDS
from expunge.policies.model.deadlines import TERMS
from expunge.tasks.core.errors import LedgerError, NothingOnRecord, UsageError
from expunge.tasks.ledger.decisions.counters import answered_counters, open_counters, window_of
from expunge.tasks.ledger.notices import kept_notice, what_is_missing
from expunge.tasks.ledger.policy_store import kept_policy
from expunge.tasks.ledger.queries import NOTICES, read, states_in
from expunge.tasks.ledger.receipt import Receipt, Step, of_step
from expunge.tasks.views.letters.outcome import outcome_of, put_back
from expunge.tasks.views.letters.proof import Proof, proof_of
from expunge.tasks.views.request_facts import base_name

OWN_ID = re.compile(r"notice-\d{8}-[0-9a-f]{12}")
"""The ids that this software gives: they name nobody."""
PUBLISHED = ("published", "repeated")


@dataclass(frozen=True)
class Facts:
    """All that a template can print of one request.

    `state` is that of the request, as `expunge status` has it, with four more: a person `refused` it, its proof is
    `unproven` by now, it is `withdrawn`, or no policy has come of a notice that is `received` or `defective`.
    """

    reference: str
    kind: str
    kind_words: str
    state: str
    private: bool
    explicit: bool
    received: str
    due: str
    term: str
    missing: tuple[tuple[str, str], ...] = ()
    work: str = ""
    material: str = ""
    targets: tuple[str, ...] = ()
    model: str = ""
    decided: str = ""
    approved: bool = False
    reason: str = ""
    proof: Proof | None = None
    puid: str = ""
    counter: Mapping[str, str] | None = None
    outcome: Mapping[str, Any] | None = None
    amends: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    ends: str = ""

    @property
    def grounds(self) -> Proof | str | None:
        """Return what the decision rests on: a proof, or a person's reason."""
        return self.proof or self.reason


@dataclass(frozen=True)
class OnRecord:
    """The parts of the record that a letter is about; `receipt` is the last one of the request on its line.

    `counter` is the open counter-notice, and `answered` one with the court action that answered it.
    """

    home: Path
    request_id: str
    notice: Receipt | None = None
    counter: Receipt | None = None
    answered: tuple[Receipt, Receipt] | None = None
    row: Mapping[str, Any] | None = None
    policy: Policy | None = None
    chain: Sequence[Receipt] = ()
    receipt: Receipt | None = None

    @property
    def names_a_person(self) -> bool:
        """Return whether the names of its targets are those of a person who must not be named."""
        kinds = {str(self.notice.settings["kind"]) if self.notice else "", self.policy.kind if self.policy else ""}
        return not PRIVATE_KINDS.isdisjoint(kinds) or "identity" in self.categories

    @property
    def private(self) -> bool:
        """Return whether no name of its targets is shown, and no text of its notice."""
        return self.names_a_person or "explicit" in self.categories

    @property
    def reference(self) -> str:
        """Return how a letter names the request; by a digest where the id that somebody chose could name a person."""
        if not self.private or OWN_ID.fullmatch(self.request_id):
            return self.request_id
        first = next((one for one in self.chain if one.request_id == self.request_id), self.receipt)
        return f"receipt-{first.digest[:12]}" if first else self.request_id

    @property
    def categories(self) -> set[str]:
        return {concept.category for concept in self.policy.concepts} if self.policy else set()

    @property
    def publication(self) -> Receipt | None:
        """Return the receipt by which what the request asks for was published, by itself or by the one it repeats."""
        if self.receipt is None or self.row is None or self.receipt.step not in (Step.PUBLISHED, Step.REPEATED):
            return None
        digest = self.receipt.inputs.get("publication", self.receipt.digest)
        return next((one for one in of_step(self.chain, Step.PUBLISHED) if one.digest == digest), None)


def on_record(home: Path, request_id: str, line: str = "") -> OnRecord:
    """Return what the record has of a request, or of a notice that no policy has come of yet.

    Raises:
        LedgerError: the receipts of a line do not hold, so the state of nothing is sure.
        NothingOnRecord: there is no such request.
        UsageError: several lines have it, and `line` names none.
        IntegrityError: its policy is not as it was received.
    """
    chains, problems = read(home)
    if problems:
        raise LedgerError(f"no letter is written from a record that does not hold: {'; '.join(problems)}")
    notices = chains.get(NOTICES, [])
    own = [one for one in of_step(notices, Step.RECEIVED) if one.request_id == request_id]
    rows = [row for row in states_in(home, chains) if row["request_id"] == request_id and line in ("", row["line"])]
    if not own and not rows:
        raise NothingOnRecord(f"no request {request_id!r} is on record: see `expunge status`")
    if len(places := {row["line"] for row in rows}) > 1:
        raise UsageError(f"{request_id} is on {' and on '.join(sorted(places))}: name one by --line")
    counter, answered = open_counters(notices).get(request_id), answered_counters(notices).get(request_id)
    found = OnRecord(home, request_id, own[-1] if own else None, counter, answered)
    if not rows:
        return found
    row = rows[-1]
    chain = chains[row["line"]]
    receipt = next(one for one in chain if one.digest == row["receipt"])
    policy = kept_policy(home, row["policy"])
    return replace(found, row=row, policy=policy, chain=chain, receipt=receipt)


def facts_of(found: OnRecord) -> Facts:
    """Return the facts of a letter about what was found on record. IntegrityError if a file is not what it was."""
    policy, notice, receipt = found.policy, found.notice, found.receipt
    known = kept_notice(found.home, notice.inputs["notice"]) if notice else None
    kind = policy.kind if policy else str(notice and notice.settings["kind"])
    received = str(notice.settings["received_at"]) if notice else policy.received_at.isoformat() if policy else ""
    dues = [str(due) for due in (found.row and found.row["due"], notice and notice.settings["due_at"]) if due]
    state, publication = _state(found), found.publication
    shown = known.found if known and not found.private else {}
    decision, amendments = _decision(found, state), (found.row or {}).get("amends", [])
    return Facts(
        reference=found.reference,
        kind=kind,
        kind_words=KINDS[kind].words,
        state=state,
        private=found.private,
        explicit="explicit" in found.categories,
        received=day(received),
        due=day(min(dues, key=datetime.fromisoformat)) if dues else "",
        term=TERMS.get(kind, ""),
        missing=tuple((ask, source) for _, source, ask in what_is_missing(known)) if known else (),
        work=shown.get("work", shown.get("mark", "")),
        material=shown.get("material", ""),
        targets=() if found.private or not policy else tuple(concept.name for concept in policy.concepts),
        model=base_name(policy) if policy else "",
        decided=day(decision.at) if decision else "",
        approved=publication is not None and "approval" in publication.inputs,
        reason=str((receipt.verdict or {}).get("reason", "")) if receipt and state == "refused" else "",
        proof=_proof(found),
        puid=f"expunge-{decision.digest}" if decision else "",
        counter=_counter(found),
        outcome=_outcome(found),
        amends=("an earlier request",)
        if found.private and amendments
        else tuple(one["request_id"] for one in amendments),
        ends=day(policy.expires_at.isoformat()) if policy and policy.expires_at else "",
        changed=() if found.private else tuple(change for one in amendments for change in one["changes"] or ()),
    )


def _proof(found: OnRecord) -> Proof | None:
    """Return what is proven of the targets; None before a publication, and where the request only withdraws."""
    publication, policy = found.publication, found.policy
    if publication is None or policy is None or not policy.concepts:
        return None
    return proof_of(found.home, publication, policy, found.private)


def _decision(found: OnRecord, state: str) -> Receipt | None:
    """Return the receipt of the decision: the refusal, or the first publication, however often that was repeated."""
    if state == "published":
        own = found.receipt.inputs["policy"] if found.receipt else ""
        return next(one for one in of_step(found.chain, Step.PUBLISHED) if one.inputs["policy"] == own)
    return found.receipt if state in ("repeated", "refused") else None


def day(moment: str) -> str:
    """Return the day and minute of an ISO moment with its zone, as people read it."""
    at = datetime.fromisoformat(moment)
    return f"{at:%Y-%m-%d %H:%M} {at:%Z}"


def _state(found: OnRecord) -> str:
    row, receipt, policy = found.row, found.receipt, found.policy
    if row is None or receipt is None or policy is None:
        return str(found.notice and found.notice.outcome)
    state = str(row["state"])
    if state == "rejected" and "refusal" in receipt.inputs:
        return "refused"
    if state in (*PUBLISHED, "restored") and not policy.concepts:
        return "withdrawn"
    return "unproven" if state in PUBLISHED and row["proof_late"] else state


def _counter(found: OnRecord) -> dict[str, str] | None:
    """Return what an open counter-notice says, where there is one."""
    if (counter := found.counter) is None:
        return None
    said = {} if found.private else kept_notice(found.home, counter.inputs["notice"]).found
    window = {name: day(moment) for name, moment in window_of(counter).items()}
    received = {"received": day(str(counter.settings["received_at"])), "reference": counter.request_id}
    countered = (found.row or {}).get("countered") or {}
    published = "yes" if countered.get("published") else ""
    file, material = counter.inputs["file"], said.get("material", "")
    return {**window, **received, "published": published, "file": file, "material": material}


def _outcome(found: OnRecord) -> dict[str, Any] | None:
    """Return what became of the counter-notice, where there is one and that is on record."""
    counter, court = found.answered or (found.counter, None)
    if counter is None:
        return None
    policy, countered = found.policy, (found.row or {}).get("countered") or {}
    back = put_back(found.home, found.chain, found.request_id, policy, counter.at) if policy else {}
    if (outcome := outcome_of(counter, court, back, bool(countered.get("published")) or _is_served(found))) is None:
        return None
    said = kept_notice(found.home, court.inputs["notice"]).found if court and not found.private else {}
    moments = {name: day(outcome[name]) for name in ("at", "opens", "closes") if name in outcome}
    own = {"reference": counter.request_id, "received": day(str(counter.settings["received_at"]))}
    return {**outcome, **moments, **own, "court": said.get("court", ""), "case_number": said.get("case_number", "")}


def _is_served(found: OnRecord) -> bool:
    """Return whether what the request asks for is, or may be, in a model that is published."""
    return bool(found.row) and found.row["state"] not in ("countered", "rejected", "received", "defective")
