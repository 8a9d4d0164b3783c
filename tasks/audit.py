"""Whether the record is whole: the chain of receipts, what they name, and what every publication rests on.

It reads files and asks no server. Of a chain that was cut off at its end, or written anew from the start, nothing in it
tells; so the digest of a receipt that was noted elsewhere (MLflow has it, so has whoever was told) is looked for in it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.bundle import verify_bundle
from engine.digests import file_digest
from engine.errors import EngineError
from policies import DesiredState
from tasks.errors import IntegrityError, NothingOnRecord
from tasks.journal import journal
from tasks.kept import kept_policy
from tasks.receipts import Receipt

FILES = {
    "planned": {"plan": "deltas.safetensors", "trials": "tuning.json"},
    "verified": {"evidence": "evidence.parquet", "verdict": "verdict.json", "quality": "quality.json"},
}
"""Where the outputs of a step lie in the folder of its work, if they are files that it names by their sha256."""

GROUNDS = {
    "bundled": ("bundle", "verdict"),
    "gated": ("verdict", "evidence"),
    "verified": ("verdict", "evidence", "candidate"),
    "erased": ("candidate",),
    "planned": ("plan", "state"),
    "read": ("state", "policy"),
}
"""What a publication rests on, step by step backwards, each tied by these digests to what came after it."""

OUTCOMES = {"verified": "PASS", "gated": "open"}


@dataclass(frozen=True)
class Line:
    """One line of the record; `head` is the digest of its last receipt, to be noted elsewhere."""

    line: str
    receipts: int
    published: int
    head: str


@dataclass(frozen=True)
class Audit:
    """What was found: every line, and every `problem` in words, the line it belongs to in front."""

    lines: tuple[Line, ...]
    problems: tuple[str, ...]


def audit(home: Path, noted: Collection[str] = ()) -> Audit:
    """Read the whole record of a home; `noted` are digests of receipts that must be in it.

    NothingOnRecord where there is none: what is not there is not whole.
    """
    folder = home / "receipts"
    names = sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    chains = {name: journal(home, name).read() for name in names}
    if not any(chain or problems for chain, problems in chains.values()):
        raise NothingOnRecord(f"{home} has no receipt: set EXPUNGE_HOME to the home whose record is meant")
    lines = tuple(_line(name, chain) for name, (chain, _) in chains.items())
    found = [f"{name}: {problem}" for name, known in chains.items() for problem in _against(home, *known)]
    return Audit(lines, (*found, *_cut_off([receipt for chain, _ in chains.values() for receipt in chain], noted)))


def _line(name: str, chain: Sequence[Receipt]) -> Line:
    published = sum(receipt.step == "published" for receipt in chain)
    return Line(name, len(chain), published, chain[-1].digest if chain else "")


def _against(home: Path, chain: Sequence[Receipt], problems: Sequence[str]) -> Iterator[str]:
    yield from problems
    last = {(receipt.settings.get("work"), receipt.step): receipt for receipt in chain}
    for receipt in last.values():
        yield from _changed(home, receipt)
    for place, receipt in enumerate(chain):
        if receipt.step == "published":
            yield from _unfounded(receipt, chain[:place])


def _changed(home: Path, receipt: Receipt) -> Iterator[str]:
    """What lies no longer where the receipt's step left it, or is another by now."""
    folder, found = home / "work" / str(receipt.settings.get("work")), receipt.outputs
    looked_at = [(file, name, file_digest) for name, file in FILES.get(receipt.step, {}).items()]
    if receipt.step == "read":
        looked_at = [("state.json", "state", _state_digest)]
        try:
            kept_policy(home, receipt.inputs.get("policy", ""))
        except IntegrityError as error:
            yield f"{_named(receipt)}: {error}"
    elif receipt.step == "bundled":
        looked_at = [("bundle", "bundle", verify_bundle)]
    for file, name, digest in looked_at:
        if name in found and (problem := _other(folder / file, found[name], digest)):
            yield f"{_named(receipt)}: {folder / file} {problem}"


def _other(path: Path, digest: str, digest_of: Callable[[Path], str]) -> str:
    """What is wrong with a file or folder that should have this digest, "" if nothing is."""
    try:
        return "" if (found := digest_of(path)) == digest else f"has changed: its digest is {found}, it was {digest}"
    except FileNotFoundError:
        return "is missing"
    except (EngineError, OSError, ValueError) as error:
        return f"cannot be read: {error}"


def _state_digest(path: Path) -> str:
    return DesiredState.model_validate_json(path.read_bytes()).digest


def _unfounded(published: Receipt, before: Sequence[Receipt]) -> Iterator[str]:
    """What is missing under a publication, or speaks against it."""
    known, own = {**published.inputs, **published.outputs}, [r for r in before if r.settings == published.settings]
    for step, names in GROUNDS.items():
        tied = [r for r in own if r.step == step and _says(r, {name: known.get(name) for name in names})]
        if not tied:
            yield f"{_named(published)}: no receipt before it is of the step {step!r} that it rests on"
            return
        if step in OUTCOMES and (outcome := (tied[-1].verdict or {}).get("outcome")) != OUTCOMES[step]:
            yield f"{_named(published)}: it rests on {_named(tied[-1])}, which says {outcome}"
        known = {**tied[-1].inputs, **tied[-1].outputs, **known}


def _says(receipt: Receipt, digests: dict[str, str | None]) -> bool:
    told = {**receipt.inputs, **receipt.outputs}
    return all(told.get(name) == digest is not None for name, digest in digests.items())


def _cut_off(receipts: Sequence[Receipt], noted: Collection[str]) -> Iterator[str]:
    known = {receipt.digest for receipt in receipts}
    for digest in noted:
        if digest not in known:
            yield f"receipt {digest}, noted elsewhere, is not on record: it was cut off, or the record written anew"


def _named(receipt: Receipt) -> str:
    return f"receipt {receipt.sequence} ({receipt.step} {receipt.request_id})"
