"""What MLflow hears of a work: its run with all that it left, and a version in the registry if it is what is served."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from PIL import Image
from prefect import Task

from expunge.engine.emoji import MODEL
from expunge.engine.files.digests import folder_digest
from expunge.engine.judges.quality.compare import Collapse, Farthest, Quality, Shift, WorstKept
from expunge.engine.stats.evidence import table as evidence
from expunge.policies import parse
from expunge.tasks import record
from expunge.tasks.core.paths import EVIDENCE, GATE, QUALITY, REPORT, SHEETS, TRIALS, VERDICT
from expunge.tasks.core.settings import Settings
from expunge.tasks.core.work_order import Ref
from expunge.tasks.evidence.gx.checkpoint import DATA_DOCS
from expunge.tasks.evidence.quality import UNMEASURED
from expunge.tasks.ledger.case import Case, open_case
from expunge.tasks.ledger.policy_store import keep_policy
from expunge.tasks.ledger.receipt import Receipt, Step
from expunge.tasks.ledger.recorder import note
from expunge.tasks.publish import Release
from expunge.tasks.record import is_of_a_person, record_task
from expunge.tasks.storage.bundle_store import bundle_uri
from expunge.tasks.tracking.registry import is_registered
from expunge.tasks.tracking.runs import STATE_TAG, SUCCESSOR_TAG
from tests.engine.stats.test_verdict import FOX, PANDA, verdict
from tests.flows.conftest import policy_file
from tests.tasks.handed_in import handed_in
from tests.tasks.records import Work

NONE = Shift(0.9, 0.9)
MEASURED = Quality(
    *("0" * 64, 1, 2, NONE, 0.0, 0.0, None, 0.1),
    Farthest("a castle", 0, 0.2),
    NONE,
    Collapse("a castle", NONE),
    WorstKept("castle", "general", "object", Shift(1.0, 0.5), "a castle", 0, {}),
)
BUNDLE = "ab" * 32


@pytest.fixture
def case(stack: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Case:
    """A work that was verified and left all that a work may leave."""
    return worked(stack, tmp_path, monkeypatch, "trademark")


def worked(stack: Settings, folder: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> Case:
    for name, value in replace(stack, home=folder / "home").variables().items():
        monkeypatch.setenv(name, value)
    path = policy_file(folder, folder_digest(MODEL), f"asked-{uuid4().hex[:8]}")
    path.write_text(path.read_text().replace('"trademark"', f'"{kind}"'))
    order = replace(handed_in(path, folder / "home"), line=f"line-{uuid4().hex[:12]}")
    order.save()
    for part in (SHEETS, f"{GATE}/{DATA_DOCS}"):
        (order.folder / part).mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(order.folder / SHEETS / "targets.png")
    (order.folder / GATE / DATA_DOCS / "index.html").write_text("<p>docs</p>")
    (order.folder / REPORT).write_text("<p>report</p>")
    (order.folder / TRIALS).write_text("[]")
    (order.folder / QUALITY).write_text(MEASURED.to_json())
    (order.folder / VERDICT).write_text(verdict(PANDA, FOX).to_json())
    evidence.write(evidence.table([*PANDA, *FOX]), order.folder / EVIDENCE)
    note(order, Step.READ, {"policy": order.policy, "base": order.base}, {"state": order.state})
    return open_case(order, Settings.load())


def published(case: Case, bundle: str = BUNDLE) -> Receipt:
    return case.note(Step.PUBLISHED, {"policy": case.order.policy}, {"bundle": bundle})


def published_beside(
    case: Case, folder: Path, key: str, kind: str = "trademark", replaces: tuple[str, ...] = ()
) -> str:
    """Another request that is published on the line; returns its id."""
    request = f"other-{uuid4().hex[:8]}"
    path = policy_file(folder, folder_digest(MODEL), request, "umbrella")
    path.write_text(json.dumps({**json.loads(path.read_text()), "kind": kind, "replaces": replaces}))
    policy = parse(path.read_bytes(), request)
    keep_policy(case.order.home, policy.digest, path.read_bytes())
    of = Work(case.order.home, case.order.line, key, request)
    note(of, Step.PUBLISHED, {"policy": policy.digest}, {"bundle": "ef" * 32}, ledger=case.ledger)
    return request


def entered(case: Case, receipt: Receipt, *, released: bool = True) -> Run:
    release = Release(BUNDLE, bundle_uri(BUNDLE, case.settings), receipt.digest) if released else None
    reached, table = (Ref.of(case.order.folder / name) for name in (VERDICT, EVIDENCE))
    run = record_task.fn(open_case(case.order, case.settings), reached, table, receipt.digest, release)
    return MlflowClient(case.settings.mlflow_tracking_uri).get_run(run)


def files(case: Case, run: Run) -> set[str]:
    client = MlflowClient(case.settings.mlflow_tracking_uri)
    return {one.path for one in client.list_artifacts(run.info.run_id)}


def served(case: Case) -> bool:
    return is_registered(case.settings, case.order.line, bundle_uri(BUNDLE, case.settings))


ALWAYS = {"evidence", "evidence.json", "data_docs", VERDICT, QUALITY, TRIALS}


def test_what_is_published_has_a_run_with_all_that_the_work_left_and_a_version(case: Case) -> None:
    run = entered(case, published(case))
    assert run.data.tags[STATE_TAG] == "published"
    assert run.data.tags["expunge.worst_kept"] == "castle"
    assert run.data.params["bundle"] == BUNDLE
    assert files(case, run) == ALWAYS | {"contact_sheets", REPORT}
    assert served(case)


def test_what_is_refused_has_a_run_and_no_version(case: Case) -> None:
    run = entered(case, case.note(Step.REFUSED, {"policy": case.order.policy}, {}), released=False)
    assert run.data.tags[STATE_TAG] == "rejected"
    assert run.data.params["bundle"] == "none"
    assert not served(case)


def test_a_work_without_files_and_figures_has_a_run_as_well(case: Case) -> None:
    for name in (REPORT, TRIALS, QUALITY):
        (case.order.folder / name).unlink()
    (case.order.folder / GATE / DATA_DOCS).rename(case.order.folder / "elsewhere")
    (case.order.folder / QUALITY).write_text(f'{{"{UNMEASURED}": "the judge is of another kind"}}')
    run = entered(case, published(case))
    assert "expunge.worst_kept" not in run.data.tags
    assert files(case, run) == ALWAYS - {"data_docs", TRIALS} | {"contact_sheets"}


@pytest.mark.parametrize("kind", ["ncii", "privacy_erasure"])
def test_pictures_and_report_of_a_person_stay_in_the_home(
    stack: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    case = worked(stack, tmp_path, monkeypatch, kind)
    assert files(case, entered(case, published(case))) == ALWAYS


def test_what_is_no_longer_served_gets_no_version(case: Case, tmp_path: Path) -> None:
    first = published(case)
    published_beside(case, tmp_path, "1" * 64)
    run = entered(case, first)
    assert run.data.tags[STATE_TAG] == "published"
    assert not served(case)


def test_a_request_that_was_replaced_meanwhile_says_by_whom(case: Case, tmp_path: Path) -> None:
    first = published(case)
    by = published_beside(case, tmp_path, "1" * 64, replaces=(case.order.request_id,))
    run = entered(case, first)
    assert (run.data.tags[STATE_TAG], run.data.tags[SUCCESSOR_TAG]) == ("replaced", by)


def test_weights_that_a_check_found_wanting_lose_their_version(case: Case) -> None:
    first = published(case)
    entered(case, first)
    assert served(case)
    found = {"outcome": "FAIL", "reasons": ["bicycle is seen"], "doubts": []}
    case.ledger.append(
        Step.CHECKED,
        request_id="check",
        who="x",
        inputs={"bundle": BUNDLE},
        outputs={"evidence": "e" * 64},
        verdict=found,
    )
    entered(case, first)
    assert not served(case)


@pytest.mark.parametrize("key", ["0" * 64, "f" * 64])
@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
def test_a_work_is_of_a_person_by_what_was_in_force_at_its_end(
    case: Case, tmp_path: Path, key: str, before: bool
) -> None:
    if before:
        published_beside(case, tmp_path, key, "ncii")
    published(case)
    if not before:
        published_beside(case, tmp_path, key, "ncii")
    assert is_of_a_person(open_case(case.order, case.settings)) == before


def test_requests_are_named_as_far_as_mlflow_shows_them_whole() -> None:
    assert record._replacing(()) == {}
    assert record._replacing(["a", "b"]) == {"replaces": "a, b"}
    assert record._replacing(["a" * 500]) == {"replaces": "a" * 500}
    assert record._replacing(["a" * 499, "b"]) == {"replaces": "2 requests"}


def test_the_record_in_mlflow_is_a_task_of_the_run() -> None:
    assert isinstance(record_task, Task)
