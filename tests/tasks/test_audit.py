"""What somebody may do to the record of a takedown, and that `expunge audit` finds it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

import engine
from engine import evidence
from engine.bundle import assemble, verify_bundle
from engine.canonical import canonical_json, sha256
from engine.digests import file_digest, folder_digest
from engine.results import Verdict
from engine.verdict import decide
from policies import DesiredState, desired_state, parse
from tasks.audit import audit
from tasks.durable import write_whole
from tasks.errors import NothingOnRecord, UsageError
from tasks.history import receipts
from tasks.journal import journal, note
from tasks.kept import keep_policy
from tasks.receipts import Receipt
from tasks.translate import acceptance
from tests.engine.test_verdict import concept as rows_of
from tests.engine.test_verdict import evidence as evidence_of
from tests.flows.conftest import policy_file, withdrawal

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
        return journal(self.home, LINE).receipts()

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
        for step, inputs, outputs in (
            ("read", {"policy": policy}, {"state": state.digest}),
            ("bundled", {"candidate": folder_digest(model)}, {"bundle": bundle}),
            ("published", {"policy": policy, "state": state.digest}, {"bundle": bundle}),
        ):
            told = {"inputs": inputs, "outputs": outputs, "settings": {"work": work}, "versions": {"expunge": version}}
            journal(self.home, LINE).append(step, request_id="away", who="x", **told)

    def rewrite(self, forge: Callable[[dict], None], without: str = "") -> None:
        """Write the chain anew as somebody would who knows the format: every receipt follows the one before it."""
        told = [json.loads(receipt.content) for receipt in self.chain if receipt.step != without]
        shutil.rmtree(self.home / "receipts")
        for receipt in told:
            forge(receipt)
            parts = {name: receipt[name] for name in ("request_id", "who", "inputs", "outputs", "settings", "verdict")}
            journal(self.home, LINE).append(receipt["step"], **parts)


@pytest.fixture
def record(tmp_path: Path) -> Record:
    home, work = tmp_path / "home", tmp_path / "home" / "work" / WORK
    data = policy_file(tmp_path, "cd" * 32, "audited").read_bytes()
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
    for step, (inputs, outputs, verdict) in steps.items():
        named = ({name: made[name] for name in names} for names in (inputs, outputs))
        told = dict(zip(("inputs", "outputs"), named, strict=True))
        journal(home, LINE).append(
            step, request_id="audited", who="x", settings={"work": WORK}, verdict=verdict, **told
        )
    return Record(home)


def test_a_record_that_nobody_touched_is_whole_and_says_what_to_note(record: Record) -> None:
    found = audit(record.home)
    assert found.problems == ()
    (line,) = found.lines
    assert (line.line, line.receipts, line.signed, line.published) == (LINE, 7, 7, 1)
    assert line.head == record.chain[-1].digest
    assert record.problems(line.head, record.chain[2].digest) == ()


def test_where_nothing_is_on_record_nothing_is_whole(tmp_path: Path) -> None:
    with pytest.raises(NothingOnRecord, match="has no receipt"):
        audit(tmp_path)
    (tmp_path / "receipts" / LINE).mkdir(parents=True)
    with pytest.raises(NothingOnRecord, match="has no receipt"):
        audit(tmp_path)


def test_attack_a_receipt_is_altered(record: Record) -> None:
    path = next((record.home / "receipts" / LINE).glob("000004-*"))
    path.chmod(0o644)
    path.write_bytes(path.read_bytes().replace(b"PASS", b"FAIL"))
    assert any("altered" in problem for problem in record.problems())


@pytest.mark.parametrize("file", [*FILES.values(), "state.json"])
def test_attack_a_file_is_exchanged_or_removed(record: Record, file: str) -> None:
    (record.work / file).write_bytes(b"{}")
    assert any(file in problem for problem in record.problems())
    (record.work / file).unlink()
    assert any(problem.endswith(f"{file} is missing") for problem in record.problems())


def test_attack_the_state_is_softened(record: Record) -> None:
    told = json.loads((record.work / "state.json").read_bytes())
    told["acceptance"]["max_target_rate"] = 0.6
    (record.work / "state.json").write_bytes(canonical_json(told))
    (problem,) = record.problems()
    assert "state.json has changed" in problem


def test_attack_a_failed_verdict_is_told_as_passed(record: Record) -> None:
    """Every digest fits: the verdict says FAIL from the start, and only the receipt says PASS."""
    (record.work / "verdict.json").write_bytes(b'{"outcome":"FAIL"}')
    failed = file_digest(record.work / "verdict.json")
    known = record.chain[3].outputs["verdict"]
    shutil.copyfile(record.work / "verdict.json", record.work / "bundle" / "verdict.json")
    bundle = remade(record)

    def forge(receipt: dict) -> None:
        for part in ("inputs", "outputs"):
            receipt[part] |= {name: failed for name, digest in receipt[part].items() if digest == known}
            receipt[part] |= {"bundle": bundle} if "bundle" in receipt[part] else {}

    record.rewrite(forge)
    (problem,) = record.problems()
    assert "verdict.json has changed: it is FAIL, on record is PASS" in problem


def test_attack_the_bundle_holds_another_model_than_was_verified(record: Record) -> None:
    (record.work / "bundle" / "model" / "weights").write_bytes(b"the unedited model's")
    bundle = remade(record)

    def forge(receipt: dict) -> None:
        receipt["outputs"] |= {"bundle": bundle} if "bundle" in receipt["outputs"] else {}

    record.rewrite(forge)
    (problem,) = record.problems()
    assert "bundle/model has changed" in problem


def remade(record: Record) -> str:
    """The bundle under a manifest that fits what it holds by now; returns its digest."""
    old, files = record.work / "bundle", record.work / "held"
    shutil.copytree(old, files)
    extras = {path.name: path for path in files.iterdir() if path.is_file() and path.name != "manifest.json"}
    digest = assemble(files / "model", extras, old)
    shutil.rmtree(files)
    return digest


def test_attack_the_weights_in_the_bundle_are_exchanged(record: Record) -> None:
    (record.work / "bundle" / "model" / "weights").write_bytes(b"others")
    assert all("receipt 6 (bundled audited)" in problem for problem in record.problems())
    assert len(record.problems()) == 2  # against the manifest, and against what was verified
    shutil.rmtree(record.work / "bundle")
    assert len(record.problems()) == 4


def test_attack_the_policy_is_softened_or_removed(record: Record) -> None:
    (path,) = (record.home / "policies").iterdir()
    path.write_bytes(path.read_bytes().replace(b"0.2,", b"0.3,"))
    (problem,) = record.problems()
    assert "not the published policy that was received" in problem
    path.unlink()
    assert len(record.problems()) == 1
    path.mkdir()
    assert len(record.problems()) == 1


def test_the_policy_of_a_refused_request_is_looked_for_too(record: Record) -> None:
    journal(record.home, LINE).append(
        "refused",
        request_id="turned-away",
        who="x",
        inputs={"policy": "0" * 64},
        outputs={},
        settings={"work": "0" * 64},
        verdict={"outcome": "refused", "reasons": ["it is about another base"]},
    )
    (problem,) = record.problems()
    assert "0" * 64 in problem


@pytest.mark.parametrize("name", ["emoji-0.bak", ".git", "Emoji"])
def test_what_is_no_line_is_named_and_ends_nothing(record: Record, name: str) -> None:
    (record.home / "receipts" / name).mkdir()
    (problem,) = record.problems()
    assert f"{name} is no line's folder" in problem
    assert len(list(receipts(record.home))) == 7


def test_a_receipt_that_is_no_file_is_named_and_ends_nothing(record: Record) -> None:
    (record.home / "receipts" / LINE / f"000008-{'0' * 64}.json").mkdir()
    (problem,) = record.problems()
    assert "foreign file" in problem


def test_half_a_digest_cannot_be_noted(record: Record) -> None:
    with pytest.raises(UsageError, match="64 hex digits"):
        record.problems(record.chain[-1].digest[:12])


def test_work_that_went_to_and_fro_is_whole(record: Record) -> None:
    """A step that comes again to what it once came to, after it came to something else, is told a third time."""
    work = Work(record.home)
    first, other = record.chain[2], {"candidate": "0" * 64}
    assert note(work, "erased", first.inputs, first.outputs) == first
    note(work, "erased", first.inputs, other)
    again = note(work, "erased", first.inputs, first.outputs)
    assert (again.sequence, again.outputs) == (9, first.outputs)
    assert record.problems() == ()


@pytest.mark.parametrize(
    ("step", "told"), [("verified", {"outcome": "FAIL", "reasons": []}), ("gated", {"outcome": "shut", "failed": []})]
)
def test_attack_something_is_published_that_did_not_pass(record: Record, step: str, told: dict) -> None:
    record.rewrite(lambda receipt: receipt.update(verdict=told) if receipt["step"] == step else None)
    assert any(f"({step} audited), which says {told['outcome']}" in problem for problem in record.problems())


@pytest.mark.parametrize("step", ["read", "planned", "erased", "verified", "gated", "bundled"])
def test_attack_something_is_published_without_a_step(record: Record, step: str) -> None:
    record.rewrite(lambda receipt: None, without=step)
    (problem,) = record.problems()
    assert f"of the step '{step}' that it rests on" in problem


def test_attack_a_receipt_names_no_bundle_so_that_none_is_looked_at(record: Record) -> None:
    record.rewrite(lambda receipt: receipt.update(outputs={}) if receipt["step"] == "bundled" else None, "published")
    (problem,) = record.problems()
    assert "receipt 6 (bundled audited)" in problem
    assert "on record is nothing" in problem


def test_attack_another_verdict_is_slipped_under_a_publication(record: Record) -> None:
    forged = sha256(b"a better one")

    def forge(receipt: dict) -> None:
        if receipt["step"] == "published":
            receipt["inputs"]["verdict"] = forged

    record.rewrite(forge)
    (problem,) = record.problems()
    assert "receipt 7 (published audited)" in problem


@pytest.fixture
def judged(tmp_path: Path) -> Record:
    """A home with a verdict that this version reached on evidence of its own."""
    home, work = tmp_path / "home", tmp_path / "home" / "work" / WORK
    data = policy_file(tmp_path, "cd" * 32, "audited", level="quick", seeds=1000).read_bytes()
    policy = parse(data, "audited")
    keep_policy(home, policy.digest, data)
    state = desired_state([policy])
    write_whole(work / "state.json", canonical_json(state.model_dump(mode="json")))
    kept = (rows_of(item.id, item.kind) for item in state.retain)
    table = evidence_of(rows_of("bicycle", "target", after=0), *kept)
    evidence.write(table, work / "evidence.parquet")
    (work / "quality.json").write_bytes(b"{}")
    verdict = decide(table, len(table), acceptance(state))
    assert verdict.outcome.value == "PASS"
    judge_as(Record(home), verdict)
    return Record(home)


def judge_as(record: Record, verdict: Verdict) -> None:
    """Whoever can sign writes down this verdict."""
    write_whole(record.work / "verdict.json", verdict.to_json().encode())
    outputs = {name: file_digest(record.work / FILES[name]) for name in ("evidence", "verdict", "quality")}
    told = {"outcome": verdict.outcome.value, "reasons": []}
    note(Work(record.home), "verified", {"candidate": "c" * 64}, outputs, told)


def test_a_verdict_is_worked_out_anew_from_its_evidence(judged: Record) -> None:
    assert judged.problems() == ()
    (line,) = audit(judged.home).lines
    assert (line.concluded, line.rederived) == (1, 1)


def test_attack_a_verdict_is_made_up_by_whoever_can_sign(judged: Record) -> None:
    table = evidence.read(judged.work / "evidence.parquet")
    table.loc[(table["role"] == "target") & (table["arm"] == "after"), "seen"] = True
    evidence.write(table, judged.work / "evidence.parquet")
    judge_as(judged, Verdict.load(judged.work / "verdict.json"))
    (problem,) = judged.problems()
    assert "verdict.json says PASS and does not follow from its evidence" in problem
    assert "it is FAIL" in problem


def test_attack_a_verdict_is_reached_by_softer_limits_than_the_policys(judged: Record) -> None:
    table = evidence.read(judged.work / "evidence.parquet")
    state = DesiredState.model_validate_json((judged.work / "state.json").read_bytes())
    judge_as(judged, decide(table, len(table), replace(acceptance(state), max_target_rate=0.9)))
    (problem,) = judged.problems()
    assert "does not follow from its evidence" in problem


def read_as(record: Record, policy: str, state: str) -> None:
    """Whoever can sign writes down that the policy came to this state, and that it is published."""
    work = Work(record.home, key=sha256(policy.encode()))
    note(work, "read", {"policy": policy}, {"state": state})
    write_whole(record.home / "work" / work.key / "state.json", b"{}")
    note(work, "published", {"policy": policy}, {"bundle": "ff" * 32})


def test_a_state_is_worked_out_anew_from_the_policies_in_force(tmp_path: Path) -> None:
    record, policies = Record(tmp_path / "home"), []
    for erase in ("bicycle", "umbrella"):
        data = policy_file(tmp_path, "cd" * 32, f"takes-{erase}", erase).read_bytes()
        policies.append(parse(data, erase))
        keep_policy(record.home, policies[-1].digest, data)
        read_as(record, policies[-1].digest, desired_state(policies).digest)
    assert not any("those in force" in problem for problem in record.problems())


def test_attack_a_later_publication_drops_what_is_in_force(tmp_path: Path) -> None:
    record = Record(tmp_path / "home")
    for erase in ("bicycle", "umbrella"):
        data = policy_file(tmp_path, "cd" * 32, f"takes-{erase}", erase).read_bytes()
        policy = parse(data, erase)
        keep_policy(record.home, policy.digest, data)
        read_as(record, policy.digest, desired_state([policy]).digest)
    (problem,) = (problem for problem in record.problems() if "those in force" in problem)
    assert problem.startswith(f"{LINE}: receipt 3 (read audited): its policy and those in force come to the state ")


def test_the_last_place_of_a_number_is_no_contradiction_and_the_one_before_is(judged: Record) -> None:
    told = json.loads((judged.work / "verdict.json").read_bytes())
    upper = told["targets"][0]["total"]["upper"]
    for further, problems in ((1e-6, 0), (1e-4, 1)):
        told["targets"][0]["total"]["upper"] = upper + further
        judge_as(judged, Verdict.from_json(json.dumps(told)))
        assert len(judged.problems()) == problems


@pytest.mark.parametrize("content", [b"{}", b"[]", b"null", b"[" * 100_000])
def test_attack_a_verdict_that_cannot_be_read_ends_nothing(judged: Record, content: bytes) -> None:
    (judged.work / "verdict.json").write_bytes(content)
    assert any("cannot be worked out from its evidence" in problem for problem in judged.problems())


def test_a_judges_error_of_another_shape_ends_nothing(judged: Record) -> None:
    told = json.loads((judged.work / "verdict.json").read_bytes())
    (judged.work / "verdict.json").write_text(json.dumps({**told, "judge": []}))
    assert any("cannot be worked out from its evidence" in problem for problem in judged.problems())


def test_a_receipt_that_names_no_policy_ends_nothing(judged: Record) -> None:
    note(Work(judged.home), "read", {}, {"state": "ab" * 32})
    assert any("names no policy" in problem for problem in judged.problems())


def test_a_line_of_before_there_were_signatures_is_vouched_for_by_who_noted_its_end(record: Record) -> None:
    shutil.rmtree(record.home / "signatures")
    key, end = next((record.home / "keys").iterdir()), record.chain[-1].digest
    assert len(audit(record.home, keys=[key]).problems) == 1
    assert audit(record.home, [end], [key]).problems == ()


def test_a_verdict_of_another_version_is_not_worked_out_and_that_shows(
    judged: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "__version__", "99.0")
    assert judged.problems() == ()
    assert (audit(judged.home).lines[0].concluded, audit(judged.home).lines[0].rederived) == (1, 0)


def test_attack_a_signature_is_taken_from_under_a_receipt(record: Record) -> None:
    next((record.home / "signatures" / LINE).glob("000004-*")).unlink()
    assert record.problems() == (f"{LINE}: receipt 4 (verified audited) has no signature",)
    assert audit(record.home).lines[0].signed == 6


def test_attack_the_record_is_written_anew_and_only_who_has_the_key_can_tell(record: Record, tmp_path: Path) -> None:
    mine = Path(shutil.copy(next((record.home / "keys").iterdir()), tmp_path / "mine.pem"))
    assert audit(record.home, keys=[mine]).problems == ()
    for folder in ("private", "keys", "signatures"):
        shutil.rmtree(record.home / folder)
    record.rewrite(lambda receipt: receipt.update(who="somebody else"))
    assert record.problems() == ()
    assert audit(record.home, keys=[mine]).problems == tuple(
        f"{LINE}: receipt {number} ({step} audited) is signed by none of the keys"
        for number, step in enumerate((receipt.step for receipt in record.chain), 1)
    )


def test_attack_the_end_is_cut_off_and_only_who_noted_it_can_tell(record: Record) -> None:
    head = record.chain[-1].digest
    record.rewrite(lambda receipt: None, without="published")
    assert record.problems() == ()
    (problem,) = record.problems(head)
    assert head in problem


@pytest.fixture
def restored(tmp_path: Path) -> Record:
    """A home in which the only request was withdrawn, so that the base itself is published."""
    model, made = weights_in(tmp_path / "base", b"weights"), Record(tmp_path / "home")
    asked = policy_file(tmp_path, folder_digest(model), "audited")
    paths = (asked, withdrawal(asked, "away", "audited"))
    policies = [parse(path.read_bytes(), path.name) for path in paths]
    for policy, path in zip(policies, paths, strict=True):
        keep_policy(made.home, policy.digest, path.read_bytes())
    made.publish_base(model, desired_state(policies), policies[1].digest)
    return made


def weights_in(folder: Path, weights: bytes) -> Path:
    """A model, as far as digests go."""
    folder.mkdir()
    (folder / "weights").write_bytes(weights)
    return folder


def test_a_restored_base_needs_no_verdict(restored: Record) -> None:
    assert restored.problems() == ()


def test_attack_another_model_is_published_as_the_base(restored: Record) -> None:
    (restored.work / "bundle" / "model" / "weights").write_bytes(b"others")
    other = assemble(restored.work / "bundle" / "model", {}, restored.work / "new")
    shutil.rmtree(restored.work / "bundle")
    (restored.work / "new").rename(restored.work / "bundle")
    model = folder_digest(restored.work / "bundle" / "model")

    def forge(receipt: dict) -> None:
        if receipt["step"] == "bundled":
            receipt["inputs"]["candidate"] = model
        if "bundle" in receipt["outputs"]:
            receipt["outputs"]["bundle"] = other

    restored.rewrite(forge)
    (problem,) = restored.problems()
    assert f"it rests on no verdict, and it is of the model {model}, the base is" in problem


def test_attack_an_edit_is_published_as_if_it_were_a_restoration(record: Record) -> None:
    def forge(receipt: dict) -> None:
        if receipt["step"] in ("bundled", "published"):
            receipt["inputs"] = {k: v for k, v in receipt["inputs"].items() if k not in ("verdict", "evidence")}

    for left_out in ("", "gated"):
        record.rewrite(forge, without=left_out)
        told = record.problems()
        assert any("it rests on no verdict, and in force is audited" in each for each in told)
        assert any(f"it is of the model {folder_digest(record.work / 'candidate')}" in each for each in told)


def test_attack_a_state_that_erases_nothing_is_made_up_by_another_version(record: Record, tmp_path: Path) -> None:
    """Of another version the state is not worked out anew, so the policies in force have to be asked."""
    away = withdrawal(tmp_path / "audited.yaml", "away", "audited")
    state = desired_state([parse(path.read_bytes(), "") for path in (tmp_path / "audited.yaml", away)])
    model = weights_in(tmp_path / "other", b"unedited")
    record.publish_base(model, state, record.chain[0].inputs["policy"], "cd" * 32, version="0.4.0")
    assert any("it rests on no verdict, and in force is audited" in problem for problem in record.problems())


@pytest.mark.parametrize("left_out", [{"verdict", "evidence"}, set()])
def test_attack_a_second_receipt_of_a_bundle_says_that_it_is_of_another_model(
    record: Record, left_out: set[str]
) -> None:
    """The first has the verdict that the publication rests on, and the second what is in the bundle."""
    (record.work / "bundle" / "model" / "weights").write_bytes(b"unedited")
    extras: dict[str, Path | bytes] = {file: record.work / file for file in FILES.values()}
    assemble(record.work / "bundle" / "model", extras, record.work / "new")
    shutil.rmtree(record.work / "bundle")
    (record.work / "new").rename(record.work / "bundle")
    bundle, model = verify_bundle(record.work / "bundle"), folder_digest(record.work / "bundle" / "model")

    def forge(receipt: dict) -> None:
        if "bundle" in receipt["outputs"]:
            receipt["outputs"]["bundle"] = bundle

    record.rewrite(forge)
    honest = record.chain[5]
    inputs = {name: digest for name, digest in honest.inputs.items() if name not in left_out} | {"candidate": model}
    told = {"inputs": inputs, "outputs": honest.outputs, "settings": honest.settings}
    journal(record.home, LINE).append("bundled", request_id="audited", who="x", **told)
    (problem,) = record.problems()
    assert "its bundle is that of receipt 6, and made of something else" in problem


def test_attack_a_restoration_goes_round_in_a_ring(restored: Record, tmp_path: Path) -> None:
    """None of the two is in force then, so that no policy in force would say which base it has to be."""
    digests = {}
    for name, gone in (("away", "ring"), ("ring", "away")):
        path = withdrawal(tmp_path / "audited.yaml", name, "audited", gone)
        digests[name] = parse(path.read_bytes(), name).digest
        keep_policy(restored.home, digests[name], path.read_bytes())

    def forge(receipt: dict) -> None:
        if "policy" in receipt["inputs"]:
            receipt["inputs"]["policy"] = digests["away"]

    restored.rewrite(forge)
    assert restored.problems() == ()
    model = weights_in(tmp_path / "other", b"others")
    state = DesiredState.model_validate_json((restored.work / "state.json").read_bytes())
    restored.publish_base(model, state, digests["ring"], "cd" * 32)
    ring, other_model = restored.problems()
    assert "it rests on no verdict, and its own policy is not in force" in ring
    assert f"it rests on no verdict, and it is of the model {folder_digest(model)}, the base is" in other_model


def test_attack_the_state_of_a_restoration_is_exchanged(restored: Record, tmp_path: Path) -> None:
    state = desired_state([parse((tmp_path / "audited.yaml").read_bytes(), "audited")])
    (restored.work / "state.json").write_bytes(canonical_json(state.model_dump(mode="json")))
    assert any("state.json has changed" in problem for problem in restored.problems())
    (restored.work / "state.json").unlink()
    assert any("state.json is missing" in problem for problem in restored.problems())
