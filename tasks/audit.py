"""Whether the record is whole: chain and signatures of the receipts, what they name, and what publications rest on.

It reads files, works verdicts out anew and asks no server. Of a chain that was cut off at its end nothing in it tells,
so the digest of a receipt that was noted elsewhere (MLflow has that of a publication) is looked for in it. Of one that
was written anew from the start, with all that it names, its signatures tell to whoever has the public key from
elsewhere. Looked at is what the last run of each work left; report, pages and pictures are in no receipt, and of a
bundle that a later one of the same work replaced S3 has the files. While a takedown runs its files are in between.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.bundle import MODEL, verify_bundle
from engine.digests import file_digest, folder_digest
from engine.errors import EngineError
from policies import DesiredState
from tasks.bundle import DELTAS, EVIDENCE, VERDICT
from tasks.errors import IntegrityError, NothingOnRecord, UsageError
from tasks.grounds import is_of_a_base, named, twofold, unfounded
from tasks.history import is_line
from tasks.journal import journal
from tasks.kept import kept_policy
from tasks.manifest import DIGEST
from tasks.proof import CHECKED, Proof, weights_by_bundle
from tasks.quality import FILE as QUALITY
from tasks.receipts import Receipt
from tasks.rederived import STRAY, can_be_rederived, contradiction
from tasks.signing import checked, doubts, own_keys, public_key
from tasks.trials import FILE as TRIALS


def _state(path: Path) -> str:
    return DesiredState.model_validate_json(path.read_bytes()).digest


def _outcome(path: Path) -> str:
    return json.loads(path.read_bytes())["outcome"]


EXAMINED = (
    (EVIDENCE, "evidence", file_digest),
    (VERDICT, "verdict", file_digest),
    (QUALITY, "quality", file_digest),
)


def _reasons(path: Path) -> str:
    return json.dumps([reason["message"] for reason in json.loads(path.read_bytes())["reasons"]])


LEFT: dict[str, tuple[tuple[str, str, Callable[[Path], str]], ...]] = {
    "read": (("state.json", "state", _state),),
    "planned": ((DELTAS, "plan", file_digest), (TRIALS, "trials", file_digest)),
    "verified": EXAMINED,
    CHECKED: (("state.json", "state", _state), *EXAMINED),
    "bundled": (
        ("bundle", "bundle", verify_bundle),
        (f"bundle/{MODEL}", "candidate", folder_digest),
        (f"bundle/{EVIDENCE}", "evidence", file_digest),
        (f"bundle/{VERDICT}", "verdict", file_digest),
    ),
}
"""What a step left in the folder of its work: path, name of its digest in the receipt, and how that is taken."""

SOMETIMES = {"trials", "quality"}
"""What not every receipt names: trials are of `editor: auto`, and quality came later than the first receipts."""


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
    """What was found: every line, and every `problem` in words, the line it belongs to in front."""

    lines: tuple[Line, ...]
    problems: tuple[str, ...]


def audit(home: Path, noted: Collection[str] = (), keys: Collection[Path] = ()) -> Audit:
    """Read the whole record of a home; `noted` are digests of receipts that must be in it, `keys` files of the public
    keys of which one must vouch for each receipt. Without any the home's own are taken, which prove that nothing was
    damaged, not who wrote it.

    NothingOnRecord where there is none: what is not there is not whole. UsageError if one of `noted` is no digest, or
    one of `keys` no key.
    """
    if wrong := [digest for digest in noted if not DIGEST.fullmatch(digest)]:
        raise UsageError(f"{wrong[0]!r} is no digest of a receipt, which has 64 hex digits: note all of it")
    folder = home / "receipts"
    entries = sorted(folder.iterdir()) if folder.is_dir() else []
    chains = {path.name: journal(home, path.name).read() for path in entries if is_line(path)}
    if not any(chain or problems for chain, problems in chains.values()):
        raise NothingOnRecord(f"{home} has no receipt: set EXPUNGE_HOME to the home whose record is meant")
    receipts = [receipt for chain, _ in chains.values() for receipt in chain]
    trusted = [public_key(path) for path in keys] or own_keys(home)
    signatures = {name: checked(home, chain, trusted) for name, (chain, _) in chains.items()}
    problems = (
        *(f"{path} is no line's folder" for path in entries if not is_line(path)),
        *(f"{name}: {problem}" for name, known in chains.items() for problem in _against(home, *known)),
        *(
            f"{name}: {named(receipt)} {problem}"
            for name, (chain, _) in chains.items()
            for receipt, problem in doubts(chain, signatures[name], strict=_is_strict(chain, noted, keys))
        ),
        *_lost_policies(home, receipts),
        *_cut_off(receipts, noted),
    )
    return Audit(tuple(_line(name, chain, signatures[name]) for name, (chain, _) in chains.items()), problems)


def _is_strict(chain: Sequence[Receipt], noted: Collection[str], keys: Collection[Path]) -> bool:
    """Whether the line's end must be signed: if a key is given, and nobody noted this end, signed or not."""
    return bool(keys and chain) and chain[-1].digest not in noted


def _line(name: str, chain: Sequence[Receipt], signatures: Sequence[str]) -> Line:
    verdicts = [receipt for receipt in _latest(chain).values() if has_verdict(receipt)]
    concluded = [receipt for receipt in chain if receipt.step == "read"] + verdicts
    return Line(
        line=name,
        receipts=len(chain),
        signed=signatures.count(""),
        concluded=len(concluded),
        rederived=sum(map(can_be_rederived, concluded)),
        published=sum(receipt.step == "published" for receipt in chain),
        head=chain[-1].digest if chain else "",
    )


def _latest(chain: Sequence[Receipt]) -> dict[tuple[str, str], Receipt]:
    """The last receipt of each work and step."""
    return {(str(receipt.settings.get("work")), receipt.step): receipt for receipt in chain}


def _against(home: Path, chain: Sequence[Receipt], problems: Sequence[str]) -> Iterator[str]:
    yield from problems
    for (work, _), receipt in _latest(chain).items():
        for problem in _changed(home / "work" / work, receipt):
            yield f"{named(receipt)}: {problem}"
        if has_verdict(receipt) and can_be_rederived(receipt) and (problem := contradiction(home / "work" / work)):
            yield f"{named(receipt)}: {problem}"
    yield from twofold(chain)
    for place, receipt in enumerate(chain):
        again = STRAY.get(receipt.step)
        if again and can_be_rederived(receipt) and (problem := again(home, receipt, chain[:place])):
            yield f"{named(receipt)}: {problem}"
        if receipt.step == CHECKED:
            yield from (f"{named(receipt)}: {problem}" for problem in _astray(receipt, chain[:place]))
        if receipt.step == "published":
            yield from unfounded(home, receipt, chain[:place])


def _astray(check: Receipt, before: Sequence[Receipt]) -> Iterator[str]:
    """How a check is not of what was served then, or asked nothing anew."""
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


def has_verdict(receipt: Receipt) -> bool:
    """Whether it is of a verdict that rests on evidence: of a check whose bundle was not as published there is none."""
    nothing_to_judge = not receipt.outputs and (receipt.verdict or {}).get("outcome") == "ERROR"
    return receipt.step == "verified" or (receipt.step == CHECKED and not nothing_to_judge)


def _changed(work: Path, receipt: Receipt) -> Iterator[str]:
    """What lies no longer in the folder of the work where the receipt's step left it, or is another by now."""
    told = {**receipt.inputs, **receipt.outputs}
    if receipt.step == CHECKED and not has_verdict(receipt):
        return  # what was served was not what was published, so nothing was asked
    left_out = SOMETIMES | ({"verdict", "evidence"} if is_of_a_base(receipt) else set())
    for path, name, digest_of in LEFT.get(receipt.step, ()):
        if name not in told and name in left_out:
            continue
        if problem := _other(work / path, told.get(name, "nothing"), digest_of):
            yield f"{work / path} {problem}"
    verdict = receipt.verdict or {}
    said = [(str(verdict.get("outcome")), _outcome)] if has_verdict(receipt) else []
    if receipt.step == CHECKED:
        said.append((json.dumps(verdict.get("reasons")), _reasons))
    for wanted, found_in in said:
        if problem := _other(work / VERDICT, wanted, found_in):
            yield f"{work / VERDICT} {problem}"


def _other(path: Path, wanted: str, found_in: Callable[[Path], str]) -> str:
    """What is wrong with a file or folder in which this should be found, "" if nothing is."""
    try:
        return "" if (found := found_in(path)) == wanted else f"has changed: it is {found}, on record is {wanted}"
    except FileNotFoundError:
        return "is missing"
    except (EngineError, OSError, ValueError, LookupError, TypeError, RecursionError) as error:
        return f"cannot be read: {error}"


def _lost_policies(home: Path, receipts: Sequence[Receipt]) -> Iterator[str]:
    for digest in dict.fromkeys(receipt.inputs["policy"] for receipt in receipts if "policy" in receipt.inputs):
        try:
            kept_policy(home, digest)
        except IntegrityError as error:
            yield str(error)


def _cut_off(receipts: Sequence[Receipt], noted: Collection[str]) -> Iterator[str]:
    known = {receipt.digest for receipt in receipts}
    for digest in noted:
        if digest not in known:
            yield f"receipt {digest}, noted elsewhere, is not on record: it was cut off, or the record written anew"
