"""A home with something on record, and what somebody may do to it who knows the format."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from expunge.canonical_json import canonical_json
from expunge.engine.files.atomic import write_whole
from expunge.engine.files.bundle import assemble
from expunge.engine.files.digests import file_digest, folder_digest
from expunge.policies import DesiredState, desired_state, parse
from expunge.tasks.audit.record import audit
from expunge.tasks.ledger.floor_store import keep_floor
from expunge.tasks.ledger.ledger import Ledger
from expunge.tasks.ledger.line.lock import alone_on
from expunge.tasks.ledger.policy_store import keep_policy
from expunge.tasks.ledger.receipt import Receipt
from expunge.tasks.ledger.recorder import journal
from expunge.tasks.ledger.state.database import FILE
from tests.flows.conftest import policy_file

LINE, WORK = "emoji-0", "ab" * 32
FILES = {
    "plan": "deltas.safetensors",
    "trials": "tuning.json",
    "evidence": "evidence.parquet",
    "verdict": "verdict.json",
    "quality": "quality.json",
}


@dataclass(frozen=True)
class Work:
    """What receipts are of."""

    home: Path
    line: str = LINE
    key: str = WORK
    request_id: str = "audited"


@dataclass(frozen=True)
class Record:
    """A home with the record of one publication."""

    home: Path

    @property
    def chain(self) -> list[Receipt]:
        return Ledger(self.home / "receipts", LINE).receipts()  # signed or not

    @property
    def work(self) -> Path:
        return self.home / "work" / WORK

    def problems(self, *noted: str) -> tuple[str, ...]:
        return audit(self.home, noted).problems

    def publish_base(self, model: Path, state: DesiredState, policy: str, work: str = WORK, version: str = "") -> None:
        """Append what the publication of `model` without a verdict leaves, with its files."""
        folder = self.home / "work" / work
        write_whole(folder / "state.json", canonical_json(state.model_dump(mode="json")))
        bundle = assemble(model, {"README.md": b"as it was"}, folder / "bundle")
        floor = keep_floor(self.home).digest
        for step, inputs, outputs in (
            ("read", {"policy": policy}, {"state": state.digest}),
            ("bundled", {"candidate": folder_digest(model)}, {"bundle": bundle}),
            ("published", {"policy": policy, "state": state.digest, "floor": floor}, {"bundle": bundle}),
        ):
            told: dict[str, Any] = {
                "inputs": inputs,
                "outputs": outputs,
                "settings": {"work": work},
                "versions": {"expunge": version},
            }
            journal(self.home, LINE).append(step, request_id="away", who="x", **told)

    def rewrite(self, forge: Callable[[dict], None], without: str = "") -> None:
        """Write the chain anew as somebody would who knows the format: every receipt follows the one before it."""
        told = [json.loads(receipt.content) for receipt in self.chain if receipt.step != without]
        for folder in ("receipts", "signatures"):
            shutil.rmtree(self.home / folder, ignore_errors=True)
        (self.home / FILE).unlink(missing_ok=True)  # which knows the last receipt, signed
        for receipt in told:
            forge(receipt)
            parts = {name: receipt[name] for name in ("request_id", "who", "inputs", "outputs", "settings", "verdict")}
            journal(self.home, LINE).append(receipt["step"], **parts)


def published(folder: Path) -> Record:
    """A record as a flow leaves it, of a policy file `audited.yaml` in the folder."""
    home, work = folder / "home", folder / "home" / "work" / WORK
    data = policy_file(folder, "cd" * 32, "audited").read_bytes()
    policy = parse(data, "audited")
    keep_policy(home, policy.digest, data)
    state = desired_state([policy])
    (model := work / "candidate").mkdir(parents=True)
    (model / "weights").write_bytes(b"weights")
    (work / "state.json").write_bytes(canonical_json(state.model_dump(mode="json")))
    for name, file in FILES.items():
        (work / file).write_bytes(canonical_json({"outcome": "PASS", "of": name}))
    made = {name: file_digest(work / file) for name, file in FILES.items()}
    made |= {"policy": policy.digest, "state": state.digest, "candidate": folder_digest(model)}
    made |= {"bundle": assemble(model, {file: work / file for file in FILES.values()}, work / "bundle")}
    steps = {
        "read": (("policy",), ("state",), None),
        "planned": (("state",), ("plan", "trials"), None),
        "erased": (("plan",), ("candidate",), None),
        "verified": (("candidate",), ("evidence", "verdict", "quality"), {"outcome": "PASS", "reasons": []}),
        "gated": (("evidence", "verdict"), (), {"outcome": "open", "failed": []}),
        "bundled": (("candidate", "verdict", "evidence"), ("bundle",), None),
        "published": (("policy", "state", "verdict"), ("bundle",), None),
    }
    with alone_on(LINE, home):
        for step, (inputs, outputs, verdict) in steps.items():
            named = ({name: made[name] for name in names} for names in (inputs, outputs))
            told = dict(zip(("inputs", "outputs"), named, strict=True))
            journal(home, LINE).append(
                step, request_id="audited", who="x", settings={"work": WORK}, verdict=verdict, **told
            )
    return Record(home)
