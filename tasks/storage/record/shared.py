"""The record in S3 as receipts are appended to it: a slot for each number of a line, and what receipts name."""

from __future__ import annotations

import os
from pathlib import Path
from uuid import uuid4

from expunge.canonical_json import sha256
from expunge.engine.files.atomic import sync_folder, write_whole
from expunge.engine.files.bundle import MANIFEST
from expunge.engine.files.digests import file_digest
from expunge.tasks.core.errors import IntegrityError
from expunge.tasks.core.paths import BUNDLE, work_folder
from expunge.tasks.core.settings import Settings
from expunge.tasks.ledger.receipt import LINE, Receipt, Step, named
from expunge.tasks.ledger.recorder import journal
from expunge.tasks.ledger.state.leases import LeaseLost, lease_name
from expunge.tasks.storage import s3
from expunge.tasks.storage.bundle_store import fetch_bundle, keep_bundle
from expunge.tasks.storage.manifest import prefix
from expunge.tasks.storage.record.named import Named, is_named, of_record, of_work
from expunge.tasks.storage.record.place import HEADS, RECORDS, found_in_s3, known_here, own_place


class RecordInS3:
    """The record of a home under `place` in the settings' bucket. Every method raises ServiceUnreachable."""

    def __init__(self, settings: Settings, place: str) -> None:
        self._settings, self.place = settings, place
        self._client, self._kept = s3.client(settings), set[str]()

    @classmethod
    def own(cls, settings: Settings) -> RecordInS3:
        """Return the record that these settings write; it has a number from then on."""
        return cls(settings, own_place(settings))

    @classmethod
    def found(cls, settings: Settings) -> RecordInS3 | None:
        """Return the record that there is, None if there is none yet."""
        number = known_here(settings.home) or found_in_s3(settings)
        return cls(settings, f"{RECORDS}{number}/") if number else None

    def fetch(self) -> None:
        """Store in the home the receipts that it lacks, of all lines, and what they name. LedgerError as a ledger."""
        for line in self.lines():
            self.fetch_line(line)

    def lines(self) -> list[str]:
        """Return the lines that have a receipt here."""
        found = s3.folders_under(self._client, self._settings.bucket, f"{self.place}{HEADS}")
        return [line for line in found if LINE.fullmatch(line)]

    def fetch_line(self, line: str) -> None:
        """Store in the home the receipts of one line that it lacks, and what they name. LedgerError as a ledger."""
        journal(self._settings.home, line, record=self).fetch()

    def claim(self, receipt: Receipt, envelope: bytes) -> None:
        """Write a receipt into the slot of its number. Raises LeaseLost where another receipt has it."""
        try:
            self._put(self.slot_name(receipt.line, receipt.sequence), envelope, sha256(envelope))
        except IntegrityError:
            raise LeaseLost(lease_name(receipt.line), named(receipt)) from None

    def slot(self, line: str, sequence: int) -> bytes | None:
        """Return the signed receipt in a slot, None as long as it is free."""
        return s3.find(self._client, self._settings.bucket, self.place + self.slot_name(line, sequence))

    def keep_named(self, receipt: Receipt) -> None:
        """Store what a receipt names and the home has. IntegrityError where S3 has something else by that name."""
        for one in (*of_record(self._settings.home, receipt), *of_work(self._settings.home, receipt)):
            if one.key not in self._kept and one.path.is_file():
                self.keep(one)
                self._kept.add(one.key)
        if receipt.step == Step.BUNDLED:
            self.keep_bundle(receipt)

    def fetch_named(self, receipt: Receipt) -> None:
        """Fetch policy, floor, notice and time stamp of a receipt where the home lacks them. IntegrityError as above.

        What is nowhere stays missing, and the audit says so.
        """
        for one in of_record(self._settings.home, receipt):
            self._fetch(one)

    def fetch_work(self, receipt: Receipt) -> None:
        """Fetch what a step left in the folder of its work where the home lacks it. IntegrityError as above."""
        for one in of_work(self._settings.home, receipt):
            self._fetch(one)

    def fetch_bundle(self, receipt: Receipt) -> None:
        """Fetch the bundle that a step made where the home lacks it. IntegrityError where a file of it has changed."""
        folder, digest = self._bundle_of(receipt), receipt.outputs["bundle"]
        if not folder.exists() and s3.is_there(self._client, self._settings.bucket, f"{prefix(digest)}/{MANIFEST}"):
            fetch_bundle(digest, folder, self._settings)

    def _bundle_of(self, receipt: Receipt) -> Path:
        return work_folder(self._settings.home, receipt.work) / BUNDLE

    def keep_bundle(self, receipt: Receipt) -> None:
        """Store the bundle that a step made where it will be published; nothing points there yet.

        Nothing is done where the home has another bundle of that work by now, or none.
        """
        if self.has_bundle(receipt):
            keep_bundle(self._bundle_of(receipt), self._settings)

    def has_bundle(self, receipt: Receipt) -> bool:
        """Return whether the home has the bundle that a step made, by its manifest."""
        manifest = self._bundle_of(receipt) / MANIFEST
        return manifest.is_file() and file_digest(manifest) == receipt.outputs["bundle"]

    def keep(self, one: Named) -> None:
        """Store what is named, from the home. IntegrityError where the home or S3 has something else by that name."""
        if one.says is None:
            return self._put(one.key, one.path, one.digest)
        found = s3.find(self._client, self._settings.bucket, self.place + one.key)
        if found is None:
            content = one.path.read_bytes()
            return self._put(one.key, content, sha256(content))
        if not is_named(found, one):
            raise self._hostile(one)

    def _fetch(self, one: Named) -> None:
        key, bucket = self.place + one.key, self._settings.bucket
        if one.path.exists() or not s3.is_there(self._client, bucket, key):
            return
        one.path.parent.mkdir(parents=True, exist_ok=True)
        if one.says:
            content = s3.read(self._client, bucket, key)
            if not is_named(content, one):
                raise self._hostile(one)
            return write_whole(one.path, content)
        scratch = one.path.with_name(f"{one.path.name}.{uuid4().hex}.part")
        try:
            if s3.download(self._client, bucket, key, scratch) != one.digest:
                raise self._hostile(one)
            sync_folder(scratch)
            os.replace(scratch, one.path)
        finally:
            scratch.unlink(missing_ok=True)

    def _put(self, name: str, content: Path | bytes, digest: str) -> None:
        place, until = self.place + name, self._settings.locked_until
        s3.put_once(self._client, self._settings.bucket, place, content, digest, until)

    @staticmethod
    def slot_name(line: str, sequence: int) -> str:
        """Return where in the record's place the receipt of this number lies."""
        return f"{HEADS}{line}/{sequence:06d}"

    def _hostile(self, one: Named) -> IntegrityError:
        return IntegrityError(
            f"s3://{self._settings.bucket}/{self.place}{one.key} is not what its name says: restore an earlier "
            "version of it"
        )
