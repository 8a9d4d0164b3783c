"""The audit of the record: chain and signatures of the receipts, what they name, and what publications rest on.

It reads files, works verdicts out anew and asks no server. A chain cannot show that its end was cut off, so digests
of receipts that were noted elsewhere (MLflow has that of each publication) are looked for in it. Nor can it show that
all of it was written anew: that is told by the signatures, to whoever has the public key from elsewhere. What is looked
at are the files that the last run of each work left. Reports and pictures are in no receipt, the files of an earlier
bundle are in S3 alone, and while a takedown runs its files are not whole.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from expunge.engine.files.bundle import DIGEST
from expunge.tasks.audit.approvals import countered, floors_in, foreign_floor, unapproved
from expunge.tasks.audit.provenance import twofold, unfounded
from expunge.tasks.audit.replay import REDERIVE, can_be_rederived, contradiction
from expunge.tasks.audit.work_files import changed, has_verdict
from expunge.tasks.core.errors import IntegrityError, NothingOnRecord, UsageError
from expunge.tasks.core.paths import receipts_folder, work_folder
from expunge.tasks.core.settings import Settings
from expunge.tasks.ledger.decisions.envelope import kept_decision
from expunge.tasks.ledger.decisions.expiry import untimely
from expunge.tasks.ledger.floor_store import kept_floor
from expunge.tasks.ledger.line.proof import Proof, weights_by_bundle
from expunge.tasks.ledger.notices import kept_notice
from expunge.tasks.ledger.policy_store import kept_policy
from expunge.tasks.ledger.queries import is_line, lines
from expunge.tasks.ledger.receipt import Receipt, Step, named, of_step
from expunge.tasks.ledger.recorder import journal
from expunge.tasks.ledger.signatures.keys import public_key
from expunge.tasks.ledger.signatures.signing import checked, own_keys
from expunge.tasks.ledger.signatures.timestamps import ROOT, stamp_problems, unchecked_stamps
from expunge.tasks.ledger.signatures.trust import trusted_keys
from expunge.tasks.storage.record_replica import differences
from expunge.tasks.storage.served import served_otherwise


@dataclass(frozen=True)
class Line:
    """One line of the record; `head` is the digest of its last receipt, to be noted elsewhere.

    `concluded` counts states and verdicts, `rederived` those that were worked out anew from policies and evidence,
    which needs the version that came to them.
    """

    line: str
    receipts: int
    signed: int
    concluded: int
    rederived: int
    published: int
    head: str


@dataclass(frozen=True)
class Audit:
    """The findings of an audit: every line, and every `problem` in words, the line it belongs to in front.

    `remarks` are what an auditor should know and is no proof of anything; `unchecked` is what could not be looked at.
    """

    lines: tuple[Line, ...]
    problems: tuple[str, ...]
    remarks: tuple[str, ...] = ()
    unchecked: tuple[str, ...] = ()


def audit(
    home: Path,
    noted: Collection[str] = (),
    keys: Collection[Path] = (),
    stored: bool = False,
    floors: Collection[str] = (),
) -> Audit:
    """Read the whole record of a home.

    Args:
        home: the home.
        noted: digests of receipts that must be in the record.
        keys: files of the public keys of which one must vouch for each receipt. Without any those are taken that the
            home trusts, or of a copy without its key those that lie beside the record. They prove that nothing was
            damaged, not who wrote it.
        stored: whether the copy in S3 and what is served there are compared as well, by `stored_otherwise`.
        floors: digests of all floors that are accepted, each with its approvers. Without any, whoever ran the software
            named both.
    Raises:
        NothingOnRecord: there is no record. What is not there is not whole.
        UsageError: one of `noted` is no digest, or one of `keys` no key.
    """
    if wrong := [digest for digest in noted if not DIGEST.fullmatch(digest)]:
        raise UsageError(f"{wrong[0]!r} is no digest of a receipt, which has 64 hex digits: note all of it")
    folder = receipts_folder(home)
    entries = sorted(folder.iterdir()) if folder.is_dir() else []
    trusted = [public_key(path) for path in keys] or trusted_keys(home) or own_keys(home)
    chains = {name: journal(home, name, trusted, noted).read() for name in lines(home)}
    if not any(chain or problems for chain, problems in chains.values()):
        raise NothingOnRecord(f"{home} has no receipt: set EXPUNGE_HOME to the home whose record is meant")
    receipts = [receipt for chain, _ in chains.values() for receipt in chain]
    problems = (
        *(f"{path} is no line's folder" for path in entries if not is_line(path)),
        *(f"{name}: {problem}" for name, known in chains.items() for problem in _against(home, *known)),
        *(
            f"{name}: {named(receipt)} {problem}"
            for name, (chain, _) in chains.items()
            for receipt, problem in stamp_problems(home, chain)
        ),
        *_twins(receipts),
        *_lost(home, receipts),
        *_cut_off(receipts, noted),
        *(f"{one.line}: {problem}" for one in receipts for problem in foreign_floor(one, floors)),
    )
    remarks = (f"{name}: {remark}" for name, (chain, _) in chains.items() for remark in _set_back(chain))
    found = tuple(_line(name, chain, checked(home, chain, trusted)) for name, (chain, _) in chains.items())
    unchecked = [*_unchecked(found, noted, keys, stored)]
    if not floors and (named_there := floors_in(receipts)):
        unchecked.append(f"whose floor and approvers these are: {', '.join(named_there)} (--floor)")
    if timeless := unchecked_stamps(receipts):
        unchecked.append(f"when {timeless} of {len(receipts)} receipts were written ({ROOT})")
    return Audit(found, problems, tuple(remarks), tuple(unchecked))


def _unchecked(found: Sequence[Line], noted: Collection[str], keys: Collection[Path], stored: bool) -> Iterator[str]:
    """Say what this audit could not tell, with what would let it."""
    if not keys:
        yield "who signed it (--key)"
    if not stored:
        if ends := [line.line for line in found if line.head not in noted]:
            yield f"whether the end of {', '.join(ends)} was cut off (--noted or --stored)"
        yield "what S3 serves (--stored)"
    if differing := sum(line.concluded - line.rederived for line in found):
        yield f"{differing} states and verdicts of another version, which only that one comes to again"


def stored_otherwise(home: Path, keys: Collection[Path], settings: Settings) -> Iterator[str]:
    """Say what S3 has otherwise than the home: the copy of the record, pointers, and the bundles that lines serve."""
    yield from differences(settings)
    trusted = [public_key(path) for path in keys] or trusted_keys(home) or own_keys(home)
    for line in lines(home):
        if published := of_step(journal(home, line, trusted).read()[0], Step.PUBLISHED):
            yield from (f"S3, {line}: {problem}" for problem in served_otherwise(published[-1], settings, trusted))


def _line(name: str, chain: Sequence[Receipt], signatures: Sequence[str]) -> Line:
    verdicts = [receipt for receipt in _latest(chain).values() if has_verdict(receipt)]
    concluded = of_step(chain, Step.READ) + verdicts
    return Line(
        line=name,
        receipts=len(chain),
        signed=signatures.count(""),
        concluded=len(concluded),
        rederived=sum(map(can_be_rederived, concluded)),
        published=len(of_step(chain, Step.PUBLISHED)),
        head=chain[-1].digest if chain else "",
    )


def _latest(chain: Sequence[Receipt]) -> dict[tuple[str, str], Receipt]:
    """Return the last receipt of each work and step."""
    return {(receipt.work, receipt.step): receipt for receipt in chain}


def _against(home: Path, chain: Sequence[Receipt], problems: Sequence[str]) -> Iterator[str]:
    yield from problems
    for (work, _), receipt in _latest(chain).items():
        for problem in changed(work_folder(home, work), receipt):
            yield f"{named(receipt)}: {problem}"
        if has_verdict(receipt) and can_be_rederived(receipt) and (problem := contradiction(work_folder(home, work))):
            yield f"{named(receipt)}: {problem}"
    yield from twofold(chain)
    for place, receipt in enumerate(chain):
        again = REDERIVE.get(receipt.step)
        if again and can_be_rederived(receipt) and (problem := again(home, receipt, chain[:place])):
            yield f"{named(receipt)}: {problem}"
        if receipt.step == Step.CHECKED:
            yield from (f"{named(receipt)}: {problem}" for problem in _astray(receipt, chain[:place]))
        if receipt.step == Step.PUBLISHED:
            yield from unfounded(home, receipt, chain[:place])
            yield from unapproved(home, receipt, chain[:place])
            yield from countered(home, receipt, chain[:place])
            if problem := untimely(home, receipt, chain[:place]):
                yield f"{named(receipt)}: {problem}"


def _astray(check: Receipt, before: Sequence[Receipt]) -> Iterator[str]:
    """Say how a check is not of what was served then, or asked nothing anew."""
    proof = Proof.of(before)
    if proof is None:
        yield "nothing was published before it"
        return
    if check.inputs.get("bundle") != proof.bundle:
        yield f"it is of bundle {check.inputs.get('bundle')}, published last is {proof.bundle}"
    if not has_verdict(check):
        return
    model, table = weights_by_bundle(before).get(proof.bundle), check.outputs.get("evidence")
    if check.inputs.get("candidate") != model:
        yield f"it questioned the model {check.inputs.get('candidate')}, published last is {model}"
    if table in {receipt.outputs.get("evidence") for receipt in before}:
        yield f"its evidence {table} is that of an earlier receipt: nothing was asked anew"


def _set_back(chain: Sequence[Receipt]) -> Iterator[str]:
    """Receipts of an earlier time than the one before: their order is sure, and what deadlines were read by is not."""
    for before, receipt in pairwise(chain):
        if receipt.at < before.at:
            yield f"{named(receipt)} is of {receipt.at}, the one before it of {before.at}: a clock was set back between"


def _twins(receipts: Sequence[Receipt]) -> Iterator[str]:
    """Bases that have two lines: on either some of what is in force is missing."""
    lines: dict[str, set[str]] = {}
    for receipt in of_step(receipts, Step.READ):
        if base := receipt.inputs.get("base"):
            lines.setdefault(base, set()).add(receipt.line)
    for base, found in lines.items():
        if len(found) > 1:
            yield f"{' and '.join(sorted(found))} are lines of one base, {base}"


def _lost(home: Path, receipts: Sequence[Receipt]) -> Iterator[str]:
    """Policies, floors, notices and decisions that receipts name and the home has no more."""
    stores = {"policy": kept_policy, "floor": kept_floor, "notice": kept_notice}
    for name, kept in (stores | {"approval": kept_decision, "refusal": kept_decision}).items():
        for digest in dict.fromkeys(receipt.inputs[name] for receipt in receipts if name in receipt.inputs):
            try:
                kept(home, digest)
            except IntegrityError as error:
                yield str(error)


def _cut_off(receipts: Sequence[Receipt], noted: Collection[str]) -> Iterator[str]:
    known = {receipt.digest for receipt in receipts}
    for digest in noted:
        if digest not in known:
            yield f"receipt {digest}, noted elsewhere, is not on record: it was cut off, or the record written anew"
