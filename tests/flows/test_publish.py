"""A publication on which people decide, by the commands, with the real Prefect, MLflow and S3."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from expunge.flows.casework.counter import counter
from expunge.tasks.audit.mlflow_diff import differences as shown_otherwise
from expunge.tasks.audit.record import audit
from expunge.tasks.core.settings import Settings
from expunge.tasks.gate import gate_task
from expunge.tasks.ledger.queries import read, states
from expunge.tasks.ledger.state.database import Database
from expunge.tasks.ledger.state.leases import held_here, lease_name
from expunge.tasks.storage import s3
from expunge.tasks.storage.pointer import approved
from expunge.tasks.storage.record_replica import differences
from tests.flows.conftest import FEW, Finished, policy_file, run_cli, withdrawal
from tests.flows.lines import reset
from tests.flows.test_run_pages import shown
from tests.tasks.ledger.signatures.keys import write_key
from tests.tasks.ledger.test_counters import letter
from tests.tasks.ledger.test_decisions import floor_for

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def waits(kept: Path, base_digest: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """People's keys, a floor by which Bea decides, and a second policy; the first is published by another floor."""
    folder = tmp_path_factory.mktemp("people")
    for person in ("ada", "bea"):
        write_key(folder, person)
    floor_for(folder, "asks", {"trademark": ["bea"]})
    policy_file(folder, base_digest, "second", "umbrella", **FEW | {"seeds": 3})  # enough for a second attempt
    return folder


def submit(waits: Path, request: str = "second") -> Finished:
    return run_cli("submit", str(waits / f"{request}.yaml"), "--json", EXPUNGE_FLOOR=str(waits / "asks.yaml"))


def decide(waits: Path, *words: str, floor: str = "asks", by: str = "bea") -> Finished:
    key = ["--key", str(waits / f"{by}.pem")] if words[0] in ("approve", "refuse") else []
    return run_cli(*words, *key, EXPUNGE_FLOOR=str(waits / f"{floor}.yaml"))


def is_whole(line: Settings) -> bool:
    chains, _ = read(line.home)
    return [*audit(line.home).problems, *differences(line), *shown_otherwise(line.home, chains, line)] == []


def test_a_takedown_waits_and_a_person_publishes_it(line: Settings, name: str, waits: Path) -> None:
    before = approved(name, line)
    done = submit(waits)
    assert (done.code, done.data["state"], done.data["approvers"]) == (7, "awaiting_approval", ["bea"]), done.err
    assert "expunge approve second --key FILE" in done.data["how"]
    assert Path(done.data["report"]).is_file()
    assert (approved(name, line), held_here(Database.of(line.home), lease_name(name))) == (before, None)
    assert submit(waits).code == 7, "asked once, it waits on"
    assert [row["state"] for row in states(line.home)][-1] == "awaiting_approval"
    assert is_whole(line)

    early = decide(waits, "publish", "second")
    assert (early.code, "nobody has approved it" in early.err) == (7, True), early.err
    assert decide(waits, "approve", "second", "--later").code == 0
    _attack_the_bundle_on_disk_is_changed_after_the_approval(line, name, waits, done.data["work"])
    _attack_the_bundle_in_s3_is_changed_after_the_approval(line, name, waits, done.data)
    _attack_the_record_names_another_verdict_than_the_file(line, waits, done.data["work"])
    assert approved(name, line) == before

    published = decide(waits, "publish", "second", "--json")
    assert (published.code, published.data["verdict"]) == (0, "PASS"), published.err
    assert approved(name, line) == done.data["bundle"]
    assert [row["state"] for row in states(line.home)][-1] == "published"
    assert is_whole(line)
    page = shown(line, name, "publish")
    assert page.keys() == {"verdict", "pictures", "progress"}
    assert str(page["verdict"].data).startswith("# PASS: second")
    again = decide(waits, "publish", "second")
    assert (again.code, "waits for a decision" in again.err) == (2, True)
    assert submit(waits).data["repeated"]


def _attack_the_bundle_on_disk_is_changed_after_the_approval(line: Settings, name: str, waits: Path, work: str) -> None:
    file = line.home / "work" / work / "bundle" / "README.md"
    content = file.read_bytes()
    file.write_bytes(content + b"changed")
    done = decide(waits, "publish", "second")
    assert (done.code, "differs from its manifest" in done.err) == (6, True), done.err
    file.write_bytes(content)


def _attack_the_bundle_in_s3_is_changed_after_the_approval(
    line: Settings, name: str, waits: Path, said: dict[str, str]
) -> None:
    client, key = s3.client(line), f"bundles/{said['bundle']}/README.md"
    client.put_object(Bucket=line.bucket, Key=key, Body=b"planted before the upload")
    done = decide(waits, "publish", "second")
    assert (done.code, "was tampered with" in done.err) == (6, True), done.err
    client.delete_object(Bucket=line.bucket, Key=key)


def _attack_the_record_names_another_verdict_than_the_file(line: Settings, waits: Path, work: str) -> None:
    file = line.home / "work" / work / "verdict.json"
    content = file.read_bytes()
    file.write_bytes(content.replace(b"PASS", b"PASS "))
    done = decide(waits, "publish", "second")
    assert (done.code, "is not the verdict that people were asked on" in done.err) == (6, True), done.err
    file.write_bytes(content)


def test_attack_something_else_is_published_between_question_and_publication(
    line: Settings, name: str, kept: Path, waits: Path
) -> None:
    """What people were asked about would undo it: it is refused, asked about anew, and the refusal ends it."""
    reset(line, name, kept)
    assert submit(waits).code == 7
    assert decide(waits, "approve", "second", "--later").code == 0
    gone = withdrawal(line.home.parent / "checked.yaml", "away", "checked")
    assert run_cli("submit", str(gone), "--json").data["restored"]
    late = decide(waits, "publish", "second")
    assert (late.code, "something else was published" in late.err) == (6, True), late.err
    assert submit(waits).code == 7, "the approval was of another question"
    said = decide(waits, "refuse", "second", "--reason", "The mark has lapsed.", "--json")
    assert (said.code, said.data["state"], said.data["by"]) == (0, "rejected", "bea")
    assert decide(waits, "publish", "second").code == 2
    assert states(line.home)[-1]["reasons"] == ["The mark has lapsed."]


def test_attack_the_withdrawal_of_a_published_request_needs_nobody(
    line: Settings, name: str, kept: Path, waits: Path
) -> None:
    """A base is published by people's leave too, also where the withdrawal is of a kind that nobody decides on."""
    reset(line, name, kept)
    gone = withdrawal(line.home.parent / "checked.yaml", "away", "checked")
    text = json.loads(gone.read_text())
    (waits / "away.yaml").write_text(json.dumps(text | {"kind": "voluntary"}))
    waiting = submit(waits, "away")
    assert (waiting.code, waiting.data["verdict"]) == (7, None), waiting.err
    done = decide(waits, "approve", "away", "--json")
    assert (done.code, done.data["restored"]) == (0, True), done.err
    assert is_whole(line)


def test_attack_a_counter_notice_comes_in_during_a_run(
    line: Settings, name: str, kept: Path, base_digest: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The step that is under way is finished, and nothing is published."""
    reset(line, name, kept)
    before, path = (
        approved(name, line),
        policy_file(tmp_path, base_digest, "answered", "panda", **FEW | {"seeds": 3}),
    )
    path.write_text(path.read_text().replace('"trademark"', '"copyright"'))

    def gate_and_counter(*words: object) -> object:
        gated = gate_task(*words)  # type: ignore[arg-type]
        assert counter("answered", letter(tmp_path, "reply"), None, line.home)["state"] == "received"
        return gated

    monkeypatch.setattr("expunge.flows.takedown.gate_task", gate_and_counter)
    done = run_cli("submit", str(path))
    assert (done.code, "a counter-notice against answered is on record" in done.err) == (7, True), done.err
    assert approved(name, line) == before
    assert (states(line.home)[-1]["state"], is_whole(line)) == ("countered", True)
