"""Put questions and decisions on record, and say which approval a publication rests on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from securesystemslib.signer import CryptoSigner

from expunge.errors import ExpungeError
from expunge.policies import Policy
from expunge.tasks.core.errors import NothingOnRecord, UsageError
from expunge.tasks.ledger.case import Case
from expunge.tasks.ledger.decisions.envelope import Decision, keep_decision, registered_keys, sign_decision
from expunge.tasks.ledger.decisions.kinds import kinds_of
from expunge.tasks.ledger.decisions.question import (
    Deciders,
    deciders_in,
    deciders_on_record,
    last_answer,
    open_question,
)
from expunge.tasks.ledger.decisions.validity import own_request, refusal_of
from expunge.tasks.ledger.floor_store import floor_in_force, keep_floor, kept_floor
from expunge.tasks.ledger.ledger import Ledger
from expunge.tasks.ledger.line.lock import alone_on
from expunge.tasks.ledger.policy_store import kept_policy
from expunge.tasks.ledger.queries import NOTICES, read
from expunge.tasks.ledger.receipt import Receipt, Step
from expunge.tasks.ledger.recorder import journal, note
from expunge.tasks.ledger.signatures.keys import private_key


class NotApproved(ExpungeError):
    """The publication waits for a person, or a decision does not count; nothing was published."""

    exit_code = 7


@dataclass(frozen=True)
class Subject:
    """The work that a decision is on."""

    home: Path
    line: str
    key: str
    request_id: str


def ask(case: Case, bundle: str, verdict: str | None) -> Receipt | None:
    """Return the receipt by which a proven bundle waits for people to decide; None where nobody has to.

    A question that is open already is not asked again.
    """
    order, deciders = case.order, deciders_for(case)
    if deciders is None:
        return None
    inputs = {"policy": order.policy, "state": order.state, "floor": deciders.floor, "bundle": bundle}
    inputs |= {"verdict": verdict} if verdict else {}
    asked = open_question(case.chain, order.request_id)
    if asked and (asked.work, asked.inputs) == (order.key, inputs):
        return asked
    times = sum(receipt.step == Step.AWAITING for receipt in case.receipts)
    waiting = {"outcome": "awaiting_approval", "times": times + 1, "reasons": []}
    people = {"approvers": sorted(deciders.approvers), "hours": deciders.hours}
    return case.note(Step.AWAITING, inputs, {}, waiting | people)


def deciders_for(case: Case) -> Deciders | None:
    """Return who decides on the publication of a case, by the floor in force, or by an earlier one that asked."""
    floor = keep_floor(case.order.home)
    home, notices = case.order.home, notices_of(case.order.home)
    kinds = kinds_of(home, case.chain, case.policy, notices)
    return deciders_in(floor, kinds) or deciders_on_record(home, case.chain, case.policy, notices)


def approval_of(case: Case, bundle: str) -> dict[str, str]:
    """Return what the receipt of a publication names of the approval that it rests on; nothing where nobody decides.

    Raises:
        NotApproved: there is no approval that counts.
    """
    deciders = deciders_for(case)
    if deciders is None:
        return {}
    home, request_id = case.order.home, case.order.request_id
    asked = open_question(case.chain, request_id)
    if asked is None or (asked.work, asked.inputs["bundle"]) != (case.order.key, bundle):
        raise NotApproved(f"{request_id} waits for no decision on bundle {bundle}: submit the policy again")
    answer = last_answer(case.chain, asked)
    people = _still_registered(home, case.chain, asked, case.policy)
    if problem := refusal_of(home, with_notices(home, case.chain), asked, answer, people, datetime.now(UTC)):
        raise NotApproved(f"{request_id} is not published: {problem}. {how_to_decide(request_id, people)}")
    assert answer is not None, "without an answer there is a problem"
    return {"approval": answer.inputs["approval"]}


def approve(home: Path, request_id: str, key: Path, line: str = "", person: str = "") -> Receipt:
    """Put a person's approval on record, and return its receipt.

    Args:
        home: the home.
        request_id: the request that waits.
        key: the file of the person's private key (PEM).
        line: the model line, where several have a request of this id.
        person: who says to have this key; "" lets the key alone say it.

    Raises:
        NothingOnRecord: it does not wait.
        NotApproved: whoever has this key may not decide on it.
    """
    private, name = private_key(key), line_of_question(home, request_id, line)
    with alone_on(name, home):
        ledger = journal(home, name)
        asked, people = _open(home, ledger, request_id)
        by = _person(private, people, person)
        if problem := own_request(home, with_notices(home, ledger.chain), asked, by, people):
            raise NotApproved(problem)
        expires = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=people.hours)
        digest = _signed(home, asked, private, outcome="approved", by=by, expires=expires)
        inputs = {name: asked.inputs[name] for name in ("policy", "bundle")} | {"approval": digest}
        said = {"outcome": "approved", "by": by, "expires": expires.isoformat(), "reasons": []}
        return note(_subject(home, asked), Step.APPROVED, inputs, {}, said, ledger)


def refuse(home: Path, request_id: str, reason: str, key: Path, line: str = "", person: str = "") -> Receipt:
    """Put a person's refusal on record, which ends the request, and return its receipt.

    Raises:
        UsageError: the reason says nothing, or is too long.
        NothingOnRecord: it does not wait.
        NotApproved: whoever has this key may not decide on it.
    """
    words = " ".join(reason.split())
    if not 0 < len(words) <= 2000 or not words.isprintable():
        raise UsageError("--reason has to say why, in 1 to 2000 characters: the sender of the notice is told")
    private, name = private_key(key), line_of_question(home, request_id, line)
    with alone_on(name, home):
        ledger = journal(home, name)
        asked, people = _open(home, ledger, request_id)
        by = _person(private, people, person)
        at = datetime.now(UTC).replace(microsecond=0)
        digest = _signed(home, asked, private, outcome="refused", by=by, expires=at, reason=words)
        inputs = {name: asked.inputs[name] for name in ("policy", "bundle")} | {"refusal": digest}
        return note(
            _subject(home, asked),
            Step.REFUSED,
            inputs,
            {},
            {"outcome": "refused", "by": by, "reason": words, "reasons": [words]},
            ledger,
        )


def how_to_decide(request_id: str, people: Deciders) -> str:
    """Say who may decide, and by which commands."""
    names = " or ".join(sorted(people.approvers))
    return (
        f"{names} may decide: `expunge approve {request_id} --key FILE`, or `expunge refuse {request_id} --key FILE "
        "--reason TEXT`, where FILE is the private key of theirs that the floor names"
    )


def notices_of(home: Path) -> list[Receipt]:
    """Return the receipts of all notices. LedgerError where their chain does not hold."""
    return journal(home, NOTICES).receipts()


def with_notices(home: Path, chain: Sequence[Receipt]) -> list[Receipt]:
    """Return these receipts after those of all notices."""
    return [*notices_of(home), *chain]


def people_of(home: Path, chain: Sequence[Receipt], asked: Receipt) -> Deciders:
    """Return who may answer a question now: those whom the floor names that asked, and today's where it asks too."""
    return _still_registered(home, chain, asked, kept_policy(home, asked.inputs["policy"]))


def _still_registered(home: Path, chain: Sequence[Receipt], asked: Receipt, policy: Policy) -> Deciders:
    kinds = kinds_of(home, chain, policy, notices_of(home))
    then, now = deciders_in(kept_floor(home, asked.inputs["floor"]), kinds), deciders_in(floor_in_force(), kinds)
    if then is None:
        raise NotApproved(f"the floor that asked about {asked.request_id} asks for nothing: see `expunge audit`")
    if now is None:
        return then
    both = {name: key for name, key in then.approvers.items() if key in now.approvers.values()}
    if not both:
        raise NotApproved(
            f"nobody whom {asked.request_id} waits for is named by today's floor: submit it again, which asks anew"
        )
    return Deciders(then.floor, both, min(then.hours, now.hours))


def line_of_question(home: Path, request_id: str, line: str = "") -> str:
    """Return the line on which a request waits for a decision.

    Raises NothingOnRecord if it does not, UsageError if it does on several and `line` names none.
    """
    chains, problems = read(home)
    found = [name for name, chain in chains.items() if line in ("", name) and open_question(chain, request_id)]
    if not found:
        also = f" ({'; '.join(problems)})" if problems else ""
        raise NothingOnRecord(f"no request {request_id!r} waits for a decision{also}: see `expunge status`")
    if len(found) > 1:
        raise UsageError(f"{request_id} waits on {' and on '.join(found)}: name one by --line")
    return found[0]


def _open(home: Path, ledger: Ledger, request_id: str) -> tuple[Receipt, Deciders]:
    """Return the question, which nobody else can answer meanwhile, and who may answer it."""
    chain = ledger.receipts()
    if (asked := open_question(chain, request_id)) is None:
        raise NothingOnRecord(f"{request_id} does not wait for a decision any more: see `expunge status`")
    return asked, people_of(home, chain, asked)


def _person(private: PrivateKeyTypes, people: Deciders, person: str) -> str:
    keyid = CryptoSigner(private).public_key.keyid
    found = [name for name, key in registered_keys(people.approvers).items() if key.keyid == keyid]
    if not found:
        raise NotApproved(f"the key is of nobody who may decide: that may {' or '.join(sorted(people.approvers))}")
    if person and person not in found:
        raise NotApproved(f"the key is that of {found[0]}, and {person} is who decides here: use your own key")
    return person or found[0]


def _signed(home: Path, asked: Receipt, private: PrivateKeyTypes, **said: object) -> str:
    question = {"line": asked.line, "request_id": asked.request_id, "nonce": asked.digest}
    of: Mapping[str, str] = {name: asked.inputs[name] for name in ("policy", "bundle")}
    return keep_decision(home, sign_decision(Decision.model_validate({**question, **of, **said}), private))


def _subject(home: Path, asked: Receipt) -> Subject:
    return Subject(home, asked.line, asked.work, asked.request_id)
