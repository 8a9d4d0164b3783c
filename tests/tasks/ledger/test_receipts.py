import json
import multiprocessing
import os
import signal
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pydantic import ValidationError

from expunge.canonical_json import canonical_json, sha256
from expunge.tasks.core.errors import LedgerError
from expunge.tasks.ledger.ledger import Ledger
from expunge.tasks.ledger.receipt import Receipt
from expunge.tasks.ledger.signatures.trust import Signatures

A, B = sha256(b"a"), sha256(b"b")


def append(ledger: Ledger, step: str = "verify", **changes: object) -> Receipt:
    fields = {"request_id": "REQ-1", "who": "operator", "inputs": {"evidence": A}, "outputs": {"verdict": B}}
    return ledger.append(step, **{**fields, **changes})


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """Four receipts, the third with a failed verdict."""
    ledger = Ledger(tmp_path, "emoji")
    append(ledger, "plan")
    append(ledger, "edit", settings={"strength": 0.5})
    append(ledger, "gate", verdict={"outcome": "FAIL"})
    append(ledger, "record")
    assert problems(ledger) == []
    return ledger


def problems(ledger: Ledger) -> list[str]:
    return ledger.read()[1]


def files(ledger: Ledger) -> list[Path]:
    return sorted(ledger.folder.glob("*.json"))


def forge(path: Path, rename: bool = True, **changes: object) -> Path:
    """Rewrite a receipt as an attacker who knows the format would, with a digest that fits its new content."""
    content = canonical_json(json.loads(path.read_bytes()) | changes)
    number = changes.get("sequence", int(path.name[:6]))
    path.unlink()
    forged = path.with_name(f"{number:06d}-{sha256(content)}.json") if rename else path
    forged.write_bytes(content)
    return forged


def test_a_receipt_is_canonical_json_under_its_own_digest(ledger):
    receipt, path = ledger.receipts()[2], files(ledger)[2]
    assert path.name == f"000003-{sha256(path.read_bytes())}.json"
    assert path.read_bytes() == canonical_json(json.loads(path.read_bytes())) == receipt.content
    assert (receipt.previous, receipt.verdict) == (ledger.receipts()[1].digest, {"outcome": "FAIL"})
    assert receipt.at.endswith("Z")


def test_a_receipt_may_be_read_by_all_and_written_by_nobody(ledger):
    assert {stat.S_IMODE(path.stat().st_mode) for path in files(ledger)} == {0o444}


def test_what_nobody_vouches_for_is_not_written(tmp_path):
    class NoKey(Signatures):
        def sign(self, receipt: Receipt) -> bytes:
            raise PermissionError("no key")

    ledger = Ledger(tmp_path, "emoji", NoKey(tmp_path, "emoji"))
    with pytest.raises(PermissionError):
        append(ledger)
    assert files(ledger) == []


def test_attack_altered_field(ledger):
    forge(files(ledger)[1], rename=False, who="nobody")
    assert "altered" in problems(ledger)[0]


def test_attack_altered_field_with_a_new_digest(ledger):
    forge(files(ledger)[1], who="nobody")
    assert any("does not follow the receipt before it" in problem for problem in problems(ledger))


@pytest.mark.parametrize("previous", ["0" * 64, "f" * 64])
@pytest.mark.parametrize("place", [0, 3])
def test_attack_receipt_linked_to_another_record(ledger, place, previous):
    """The digest that it names sorts before every other, or after."""
    forged = forge(files(ledger)[place], previous=previous)
    assert f"{forged.name}: does not follow the receipt before it" in problems(ledger)


def test_attack_flipped_verdict(ledger):
    forge(files(ledger)[2], verdict={"outcome": "PASS"})
    assert any("does not follow" in problem for problem in problems(ledger))


def test_attack_flipped_verdict_at_the_end_leaves_a_sound_chain(tmp_path):
    """The limit of a chain alone, stated in the module: signatures and digests that were noted elsewhere find it."""
    ledger = Ledger(tmp_path, "emoji")
    append(ledger, "plan")
    head = append(ledger, "gate", verdict={"outcome": "FAIL"}).digest
    forge(files(ledger)[1], verdict={"outcome": "PASS"})
    assert problems(ledger) == []
    assert ledger.receipts()[-1].digest != head


def test_attack_deleted_middle(ledger):
    files(ledger)[1].unlink()
    assert problems(ledger) == ["000002 to 000002: deleted or unreadable"]


def test_attack_deleted_first(ledger):
    files(ledger)[0].unlink()
    assert problems(ledger) == ["000001 to 000001: deleted or unreadable"]


def test_attack_deleted_middle_and_renumbered(ledger):
    files(ledger)[1].unlink()
    for path in files(ledger)[1:]:
        forge(path, sequence=int(path.name[:6]) - 1)
    assert any("does not follow" in problem for problem in problems(ledger))


def test_attack_reordered(ledger):
    second, third = files(ledger)[1:3]
    second.rename(second.with_name("000003" + second.name[6:]))
    third.rename(third.with_name("000002" + third.name[6:]))
    assert sum("reordered" in problem for problem in problems(ledger)) == 2


def test_attack_truncated_file(ledger):
    path = files(ledger)[3]
    os.chmod(path, 0o644)
    os.truncate(path, 40)
    assert "altered" in problems(ledger)[0]


@pytest.mark.parametrize("content", [b"", b"{}", b"<html>", b"\xff\xfe", b'{"line":"emoji","line":"emoji"}'])
def test_attack_rubbish_under_a_fitting_digest(ledger, content):
    (ledger.folder / f"000005-{sha256(content)}.json").write_bytes(content)
    assert "not a receipt" in problems(ledger)[0]


def test_attack_other_spelling_under_a_fitting_digest(ledger):
    content = json.dumps(json.loads(files(ledger)[3].read_bytes()), indent=1).encode()
    files(ledger)[3].unlink()
    (ledger.folder / f"000004-{sha256(content)}.json").write_bytes(content)
    assert "not canonical" in problems(ledger)[0]


def test_attack_inserted_forged_receipt(ledger):
    original = files(ledger)[1].read_bytes()
    forged = forge(files(ledger)[1], who="mallory")
    (ledger.folder / f"000002-{sha256(original)}.json").write_bytes(original)
    assert forged.exists()
    assert any("forked, number 2 exists twice" in problem for problem in problems(ledger))


def test_attack_receipt_of_another_line(ledger, tmp_path):
    other = Ledger(tmp_path, "other")
    append(other)
    files(ledger)[0].unlink()
    path = files(other)[0]
    path.rename(ledger.folder / path.name)
    assert "belongs to the line other" in problems(ledger)[0]


def test_attack_foreign_file_and_link(ledger):
    (ledger.folder / "note.txt").write_text("hello")
    last = files(ledger)[-1]
    (moved := ledger.folder.parent / "elsewhere.json").write_bytes(last.read_bytes())
    last.unlink()
    last.symlink_to(moved)
    assert sorted(problems(ledger)) == [f"{last.name}: foreign file", "note.txt: foreign file"]


def test_a_broken_chain_is_neither_read_nor_continued(ledger):
    files(ledger)[1].unlink()
    opened = Ledger(ledger.folder.parent, ledger.line)
    for use in (ledger.receipts, lambda: append(ledger), lambda: opened.last("plan", {})):
        with pytest.raises(LedgerError, match="000002 to 000002: deleted"):
            use()
    assert len(files(ledger)) == 3


@pytest.mark.parametrize("line", ["", "../up", "a/b", "a\0b", "Emoji", "a b", "a\n", "a" * 64, ".", "#"])
def test_a_line_name_never_becomes_a_path(tmp_path, line):
    with pytest.raises(ValueError, match="lowercase letters"):
        Ledger(tmp_path, line)


def test_a_line_name_may_be_one_character_shorter_than_a_digest(tmp_path):
    assert append(Ledger(tmp_path, "a" * 63)).line == "a" * 63


def test_request_text_stays_inside_the_file(tmp_path):
    ledger = Ledger(tmp_path, "emoji")
    assert append(ledger, request_id="../../etc/passwd; <script>").request_id == "../../etc/passwd; <script>"
    assert [path.parent for path in tmp_path.rglob("*.json")] == [tmp_path / "emoji"]


@pytest.mark.parametrize(
    "changes",
    [
        {"step": "../up"},
        {"inputs": {"evidence": "not a digest"}},
        {"outputs": {"verdict": A + "\n"}},
        {"settings": {"strength": float("nan")}},
        {"versions": {"torch": 2}},
        {"who": ""},
    ],
)
def test_a_bad_field_is_refused_and_nothing_is_written(tmp_path, changes):
    ledger = Ledger(tmp_path, "emoji")
    with pytest.raises((ValidationError, ValueError), match=next(iter(changes))):
        append(ledger, **changes)
    assert files(ledger) == []


def test_the_last_receipt_of_a_step_is_known_by_its_settings(ledger):
    found = ledger.last("edit", {"strength": 0.5})
    assert found is not None
    assert found.sequence == 2
    assert ledger.last("plan", {"strength": 0.5}) is None
    assert ledger.last("edit", {"strength": 0.6}) is None
    again = append(ledger, "edit", settings={"strength": 0.5})
    assert ledger.last("edit", {"strength": 0.5}) == again


def test_attack_two_threads_never_fork_the_chain(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        receipts = list(pool.map(lambda _: append(Ledger(tmp_path, "emoji")), range(24)))
    assert sorted(receipt.sequence for receipt in receipts) == list(range(1, 25))
    assert problems(Ledger(tmp_path, "emoji")) == []


def write_eight(folder: Path) -> None:
    for _ in range(8):
        append(Ledger(folder, "emoji"))


def die_before_the_link(folder: Path) -> None:
    os.link = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
    append(Ledger(folder, "emoji"))


def run(*work: tuple) -> list[int | None]:
    processes = [multiprocessing.get_context("fork").Process(target=target, args=args) for target, *args in work]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    return [process.exitcode for process in processes]


def test_attack_two_processes_never_fork_the_chain(tmp_path):
    assert run((write_eight, tmp_path), (write_eight, tmp_path), (write_eight, tmp_path)) == [0, 0, 0]
    assert len(Ledger(tmp_path, "emoji").receipts()) == 24


def test_kill_between_temporary_file_and_link_leaves_a_chain_to_continue(ledger):
    assert run((die_before_the_link, ledger.folder.parent)) == [-signal.SIGKILL]
    assert len(list(ledger.folder.glob(".part-*"))) == 1
    assert len(ledger.receipts()) == 4
    assert append(ledger).sequence == 5
    assert list(ledger.folder.glob(".part-*")) == []
