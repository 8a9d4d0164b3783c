"""Trust: a receipt counts if a trusted key signed it, whoever reads it and wherever it lies.

A home trusts the public half of the key that signs here, and the keys that `$EXPUNGE_TRUSTED_KEYS` names: files of
public keys in PEM, with a colon between two. It does not trust `keys/`, for whoever can write a receipt into the home
can put his own public key beside it.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from securesystemslib.signer import SSlibKey

from expunge.engine.files.atomic import SCRATCH
from expunge.tasks.ledger.receipt import FILE_NAME, Receipt, named
from expunge.tasks.ledger.signatures import signing
from expunge.tasks.ledger.signatures.keys import public_key
from expunge.tasks.ledger.signatures.timestamps import stamp

TRUSTED = "EXPUNGE_TRUSTED_KEYS"
CURE = (
    f"set EXPUNGE_SIGNING_KEY to the key that signs here, name the public halves of former ones by {TRUSTED}, and see "
    "`expunge audit`"
)


def trusted_keys(home: Path) -> list[SSlibKey]:
    """Return the keys whose signatures count in this home. UsageError if one of the files named holds no key."""
    named_keys = [Path(name) for name in os.environ.get(TRUSTED, "").split(os.pathsep) if name]
    return [*map(public_key, named_keys), *signing.signing_key(home)]


class Signatures:
    """The signatures of one line, which its ledger asks for.

    `keys`: those that count, by default `trusted_keys`. `noted`: digests that somebody noted elsewhere, so that a line
    which ends in one needs no signature there.
    """

    def __init__(
        self, home: Path, line: str, keys: Sequence[SSlibKey] | None = None, noted: Collection[str] = ()
    ) -> None:
        self._home, self._folder, self._noted = home, home / "signatures" / line, noted
        self._by_home, self._keys = keys is None, keys

    def sign(self, receipt: Receipt) -> bytes:
        stamp(self._home, receipt)  # first: what is signed counts as written, and is put back if it is missing
        envelope = signing.signed(self._home, receipt)
        if self._by_home:
            self._keys = None  # the first signature makes the home's own key
        return envelope

    def keep(self, receipt: Receipt, envelope: bytes) -> None:
        signing.keep(self._home, receipt, envelope)

    def problems(self, chain: Sequence[Receipt]) -> list[str]:
        if not chain:
            return []
        found = signing.checked(self._home, chain, self._trusted())
        doubted = signing.doubts(chain, found, strict=chain[-1].digest not in self._noted)
        problems = [f"{named(receipt)} {problem}" for receipt, problem in doubted]
        return [*problems, CURE] if problems and self._by_home else problems

    def orphans(self, chain: Sequence[Receipt]) -> list[str]:
        return [
            f"{path} is the signature of a receipt that is not there: it was removed, or a run was killed while it "
            "wrote it, and then the next submission or check puts it back"
            for path in self._unknown(chain)
        ]

    def following(self, chain: Sequence[Receipt]) -> Receipt | None:
        head, keys = chain[-1].digest if chain else "", self._trusted()
        for path in self._unknown(chain):
            try:
                receipt = signing.opened(path.read_bytes(), keys)
            except (OSError, ValueError):
                continue
            if (receipt.sequence, receipt.previous, receipt.file_name) == (len(chain) + 1, head, path.name):
                return receipt
        return None

    def _trusted(self) -> Sequence[SSlibKey]:
        if self._keys is None:
            self._keys = trusted_keys(self._home)
        return self._keys

    def _unknown(self, chain: Sequence[Receipt]) -> Iterator[Path]:
        known = {receipt.file_name for receipt in chain}
        for path in sorted(self._folder.iterdir()) if self._folder.is_dir() else []:
            if path.name not in known and not _is_scratch(path):
                yield path


def _is_scratch(path: Path) -> bool:
    """Return whether a kill left it while the file was being written."""
    written = SCRATCH.fullmatch(path.name)
    return written is not None and FILE_NAME.fullmatch(written["name"]) is not None
