"""Who has a bundle and a public key, and nothing else, can tell who published it and what its verdict rests on."""

from __future__ import annotations

import json
import uuid
from dataclasses import replace
from pathlib import Path

import pytest

from expunge.engine.files.bundle import VOUCHER, assemble
from expunge.engine.files.digests import file_digest, folder_digest
from expunge.engine.stats.decide import decide
from expunge.engine.stats.evidence import table as evidence
from expunge.engine.stats.limits.acceptance import Acceptance
from expunge.engine.stats.verdict import Outcome, Verdict
from expunge.tasks.audit.bundle import look
from expunge.tasks.core.errors import IntegrityError
from expunge.tasks.core.settings import Settings
from expunge.tasks.ledger.receipt import Receipt
from expunge.tasks.ledger.recorder import note
from expunge.tasks.ledger.signatures import signing
from expunge.tasks.ledger.signatures.keys import public_key
from expunge.tasks.storage import s3
from expunge.tasks.storage.bundle_signature import deliver
from expunge.tasks.storage.bundle_store import fetch_bundle, publish_bundle
from tests.engine.stats.rows import rows
from tests.tasks.ledger.signatures.keys import write_key
from tests.tasks.records import LINE, Work
from tests.tasks.storage.bundles import make_bundle

LIMITS = Acceptance(max_target_rate=0.2, max_retain_drop=0.2, min_control_rate=0.7, confidence=0.95)


def receipt_for(home: Path, bundle: str, step: str = "published", line: str = LINE, **inputs: str) -> Receipt:
    return note(Work(home, line), step, {"policy": "ab" * 32, **inputs}, {"bundle": bundle})


def test_what_is_fetched_is_vouched_for_by_the_key_of_who_published_it(
    stack: Settings, tmp_path: Path, operator: Path
) -> None:
    settings, line = replace(stack, home=tmp_path / "home"), f"line-{uuid.uuid4().hex[:12]}"
    digest = publish_bundle(make_bundle(tmp_path / "made", uuid.uuid4().bytes), line, stack)
    with pytest.raises(IntegrityError, match="so nobody vouches for it"):
        fetch_bundle(line, tmp_path / "early", stack, [operator])
    fetch_bundle(line, tmp_path / "early", stack)
    receipt = receipt_for(settings.home, digest, line=line)
    deliver(receipt, settings)
    assert fetch_bundle(line, tmp_path / "fetched", stack, [operator]).digest == digest
    assert fetch_bundle(line, tmp_path / "early", stack, [operator]).digest == digest, "what vouches is added"
    signed = (tmp_path / "fetched" / VOUCHER).read_bytes()
    assert signing.opened(signed, [public_key(operator)]) == receipt
    deliver(receipt_for(settings.home, digest, line=line, state="cd" * 32), settings)
    fetch_bundle(digest, tmp_path / "again", stack, [operator])
    assert (tmp_path / "again" / VOUCHER).read_bytes() == signed, "the first one stays"
    _, stranger = write_key(tmp_path, "stranger")
    with pytest.raises(IntegrityError, match=f"bundle {digest} is signed by none of the keys: ask who published it"):
        fetch_bundle(line, tmp_path / "none", stack, [stranger])
    with pytest.raises(IntegrityError, match="is signed by none of the keys"):
        fetch_bundle(line, tmp_path / "fetched", stack, [stranger])
    assert not [path for path in tmp_path.iterdir() if path.name.startswith("none")]


def test_attack_a_line_is_pointed_at_what_was_signed_for_another(
    stack: Settings, tmp_path: Path, operator: Path
) -> None:
    line, other = (f"line-{uuid.uuid4().hex[:12]}" for _ in range(2))
    digest = publish_bundle(make_bundle(tmp_path / "made", uuid.uuid4().bytes), line, stack)
    publish_bundle(tmp_path / "made", other, stack)
    deliver(receipt_for(tmp_path / "home", digest, line=line), replace(stack, home=tmp_path / "home"))
    with pytest.raises(IntegrityError, match=f"{other} names bundle {digest}, which was published on {line}"):
        fetch_bundle(other, tmp_path / "out", stack, [operator])
    assert not (tmp_path / "out").exists()
    fetch_bundle(digest, tmp_path / "out", stack, [operator])


def test_a_receipt_of_before_there_were_signatures_vouches_for_nothing(tmp_path: Path, stack: Settings) -> None:
    home = tmp_path / "home"
    receipt = receipt_for(home, digest := uuid.uuid4().hex * 2)
    for path in (home / "signatures").rglob("*.json"):
        path.unlink()
    deliver(receipt, replace(stack, home=home))
    assert not s3.is_there(s3.client(stack), stack.bucket, f"bundles/{digest}/{VOUCHER}")


def bundle_of(folder: Path, verdict: Verdict, table: object) -> tuple[Path, Path]:
    """A bundle with this verdict on this evidence, and the home that signed for it."""
    (model := folder / "model").mkdir()
    (model / "weights").write_bytes(b"weights")
    evidence.write(table, folder / "evidence.parquet")  # type: ignore[arg-type]
    extras: dict[str, Path | bytes] = {"verdict.json": verdict.to_json().encode()}
    digest = assemble(model, {**extras, "evidence.parquet": folder / "evidence.parquet"}, bundle := folder / "bundle")
    receipt = receipt_for(folder / "home", digest, verdict=file_digest(bundle / "verdict.json"))
    (bundle / VOUCHER).write_bytes(signing.envelope(folder / "home", receipt) or b"")
    return bundle, folder / "home"


TABLE = evidence.table([*rows("bicycle", "target", 96, 0, 96), *rows("car", "look_alike", 96, 96, 96)])
PASSED = decide(TABLE, len(TABLE), LIMITS)


def test_a_bundle_that_passed_is_whole_by_itself(tmp_path: Path, operator: Path) -> None:
    bundle, _ = bundle_of(tmp_path, PASSED, TABLE)
    found = look(bundle, [operator])
    assert (found.problems, found.rederived, found.receipt.outputs["bundle"]) == ((), True, found.bundle)
    assert (found.verdict, found.model) == (PASSED, folder_digest(bundle / "model"))


def test_of_another_version_the_verdict_is_taken_as_told(
    tmp_path: Path, operator: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle, _ = bundle_of(tmp_path, PASSED, TABLE)
    monkeypatch.setattr("expunge.engine.__version__", "9.9.9")
    monkeypatch.setattr(evidence, "read", None)
    found = look(bundle, [operator])
    assert (found.problems, found.rederived) == ((), False)


def test_a_base_has_no_verdict_and_what_has_one_is_no_base(tmp_path: Path, operator: Path) -> None:
    (tmp_path / "as it was").mkdir()
    (tmp_path / "as it was" / "weights").write_bytes(b"weights")
    base = tmp_path / "base"
    digest = assemble(tmp_path / "as it was", {"README.md": b"a base"}, base)
    (base / VOUCHER).write_bytes(signing.envelope(tmp_path / "home", receipt_for(tmp_path / "home", digest)) or b"")
    found = look(base, [operator])
    assert (found.verdict, found.rederived, found.problems) == (None, False, ())
    assert found.model == folder_digest(tmp_path / "as it was")
    bundle, home = bundle_of(tmp_path, PASSED, TABLE)
    signed = receipt_for(home, look(bundle, [operator]).bundle, state="cd" * 32)
    (bundle / VOUCHER).write_bytes(signing.envelope(home, signed) or b"")
    assert look(bundle, [operator]).problems[0] == "it has verdict.json, and was published as a base"


@pytest.mark.parametrize("seen", [0, 90])
def test_attack_whoever_can_sign_publishes_a_verdict_that_its_evidence_does_not_bear(
    tmp_path: Path, operator: Path, seen: int
) -> None:
    shown = evidence.table([*rows("bicycle", "target", 96, seen, 96), *rows("car", "look_alike", 96, 96, 96)])
    bundle, _ = bundle_of(tmp_path, replace(PASSED, evidence=evidence.digest(shown)), shown)
    problems = look(bundle, [operator]).problems
    assert any("does not follow from its evidence" in problem for problem in problems) is (seen > 0)


def test_a_verdict_that_is_no_pass_is_told(tmp_path: Path, operator: Path) -> None:
    few = TABLE.head(100)
    bundle, _ = bundle_of(tmp_path, failed := decide(few, len(few), LIMITS), few)
    assert failed.outcome is not Outcome.PASS
    assert look(bundle, [operator]).problems == (f"verdict.json says {failed.outcome.value}",)


def test_attack_the_signed_receipt_of_another_bundle_or_of_another_step_is_put_beside_it(
    tmp_path: Path, operator: Path
) -> None:
    bundle, home = bundle_of(tmp_path, PASSED, TABLE)
    for other in (receipt_for(home, "cd" * 32), receipt_for(home, look(bundle, [operator]).bundle, "bundled")):
        (bundle / VOUCHER).write_bytes(signing.envelope(home, other) or b"")
        with pytest.raises(IntegrityError, match="is signed, and of something else than its publication"):
            look(bundle, [operator])


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"payload": "aa", "payloadType": "x", "signatures": []}'])
def test_attack_what_vouches_is_no_envelope_or_is_not_signed(tmp_path: Path, operator: Path, content: bytes) -> None:
    bundle, _ = bundle_of(tmp_path, PASSED, TABLE)
    (bundle / VOUCHER).write_bytes(content)
    with pytest.raises(IntegrityError, match=r"published\.json of bundle"):
        look(bundle, [operator])


def test_attack_a_file_and_the_manifest_are_changed_together(tmp_path: Path, operator: Path) -> None:
    bundle, _ = bundle_of(tmp_path, PASSED, TABLE)
    (bundle / "model" / "weights").write_bytes(b"others")
    manifest = json.loads((bundle / "manifest.json").read_text())
    manifest["files"]["model/weights"]["sha256"] = file_digest(bundle / "model" / "weights")
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(IntegrityError, match="of something else than its publication"):
        look(bundle, [operator])


def test_attack_a_bundle_lists_what_vouches_for_it(tmp_path: Path, operator: Path) -> None:
    bundle, _ = bundle_of(tmp_path, PASSED, TABLE)
    manifest = json.loads((bundle / "manifest.json").read_text())
    manifest["files"][VOUCHER] = {"sha256": file_digest(bundle / VOUCHER), "bytes": 1}
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(IntegrityError, match=r"bad entry .published\.json."):
        look(bundle, [operator])
