"""MLflow: the index that people read. It holds digests of the evidence, never the only copy of it."""

import math
import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from boto3.exceptions import Boto3Error
from botocore.exceptions import BotoCoreError, ClientError
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, Run, RunInfo, RunTag
from mlflow.exceptions import MlflowException
from requests import RequestException

from expunge.tasks.core.connection import describe_error, without_password
from expunge.tasks.core.errors import ServiceUnreachable
from expunge.tasks.core.settings import Settings
from expunge.tasks.ledger.receipt import Step
from expunge.tasks.tracking.connection import MLFLOW, ask_mlflow
from expunge.tasks.tracking.run_files import log_files

EXPERIMENT = "takedowns"
KEY_TAG, RECEIPT_TAG = "expunge.key", "expunge.receipt"
STATE_TAG, VERDICT_TAG, GRADE_TAG = "expunge.state", "expunge.verdict", "expunge.grade"
SUCCESSOR_TAG = "expunge.replaced_by"
NOTE = "mlflow.note.content"
"""What MLflow shows as the description of a run."""
NAME = re.compile(r"[/\w.\- :]{1,250}")
KEY = re.compile(r"[\w.\-]{1,128}")
SUSPECT = "suspect"
OF_CHECKS = (str(Step.CHECKED), SUSPECT)
"""The states of runs that record a check and no publication."""
PAGE = 500
AS_RUNS = "workflowType=machine_learning"  # or MLflow's pages look for traces of a chat
LONGEST_VALUE = 500  # MLflow cuts longer parameters (6,000) and tags (8,000) without a word
LONGEST_DESCRIPTION = 8000
REST = "\n\nThe rest is in the report and, of what is published, in the bundle's README.md."


@dataclass(frozen=True)
class RunRecord:
    """The contents of one request's run.

    key: what makes the request the same request again; a second record with it and the same last receipt re-uses the
    run, another outcome (a machine that could prove what the first could not) has a run of its own.
    identity: parameters (policy, base, bundle and desired-state digest, engine version, editor, seed).
    metrics: by `<concept>/<measure>`, finite. tags: state and verdict. evidence: a parquet table, one row a picture,
    if any was judged. contact_sheets: pictures, in the order in which people look at them. description: Markdown.
    further: files shown beside the report.
    Raises ValueError naming the field that MLflow would refuse, change or cut.
    """

    key: str
    request_id: str
    receipt_digest: str
    identity: Mapping[str, str]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]
    evidence: Path | None = None
    data_docs: Path | None = None
    contact_sheets: tuple[Path, ...] = field(default=())
    report: Path | None = None
    further: tuple[Path, ...] = field(default=())
    description: str = ""

    @property
    def name(self) -> str:
        """Return what the list of runs shows: the request and what it came to."""
        verdict, checked = self.tags.get(VERDICT_TAG, ""), self.tags.get(STATE_TAG) in OF_CHECKS
        parts = ["checked again" if checked else "", "the base" if verdict == "none" else verdict]
        return ": ".join([self.request_id, " ".join(filter(None, parts))]).removesuffix(": ")

    def __post_init__(self) -> None:
        if not KEY.fullmatch(self.key):
            raise ValueError(f"key {self.key!r}: use 1 to 128 letters, digits, dots and dashes")
        for name, value in {**self.identity, **self.tags, "request_id": self.request_id}.items():
            if len(value) > LONGEST_VALUE:
                raise ValueError(f"{name}: {len(value)} characters, at most {LONGEST_VALUE}: give its digest instead")
        for name in (*self.identity, *self.tags, *self.metrics):
            if not NAME.fullmatch(name):
                raise ValueError(f"{name!r}: use letters, digits, spaces and / . - : _ in names")
        for name, value in self.metrics.items():
            if not math.isfinite(value):
                raise ValueError(f"metric {name} is {value}: only finite numbers are recorded")


def record(settings: Settings, what: RunRecord) -> str:
    """Write the run of a request, or find it; returns MLflow's run id.

    A run counts once it is FINISHED; what a crash left behind is deleted and written anew. Raises ServiceUnreachable
    when MLflow does not answer.
    """
    with reaching(settings) as client:
        experiment = _experiment(client)
        finished = _finished_run(client, experiment, what)
        return finished or _new_run(client, experiment, what)


def check_experiment(settings: Settings) -> None:
    """ServiceUnreachable unless there is the experiment in which takedowns are recorded, or it can be made."""
    with reaching(settings) as client:
        _experiment(client)


def supersede(settings: Settings, line: str, requests: Collection[str], by: str) -> None:
    """Say on the runs by which these requests were published on a line that the request `by` took their place."""
    with reaching(settings) as client:
        for request in requests:
            query = f"params.request_id = '{request}' and params.line = '{line}' and tags.`{STATE_TAG}` = 'published'"
            for run in _found(client, query):
                if not _is_ours(run, settings):
                    continue
                client.set_tag(run.info.run_id, SUCCESSOR_TAG, by)
                client.set_tag(run.info.run_id, STATE_TAG, "replaced")


@dataclass(frozen=True)
class Indexed:
    """A finished run by its id, the digest of the receipt that it names, and the verdict and state that it shows."""

    id: str
    receipt: str
    shown: tuple[str, str]


def recorded_publications(settings: Settings, line: str) -> dict[str, str]:
    """Return the ids of the finished runs by which a line's publications are recorded, by the digest of the receipt."""
    no_checks = [f"tags.`{STATE_TAG}` != '{state}'" for state in OF_CHECKS]
    return {run.receipt: run.id for run in runs_of(settings, line, *no_checks)}


def runs_of(settings: Settings, line: str, *only: str) -> list[Indexed]:
    """Return the finished runs of a line in this bucket, as far as they meet the conditions of `only`."""
    query = " and ".join([f"params.line = '{line}'", "attributes.status = 'FINISHED'", *only])
    with reaching(settings) as client:
        return [_indexed(run) for run in _found(client, query) if _is_ours(run, settings)]


def _found(client: MlflowClient, query: str) -> list[Run]:
    """Return all runs that meet a query, page by page."""
    experiment, found, token = _experiment(client), list[Run](), None
    while True:
        found += (page := client.search_runs([experiment], query, max_results=PAGE, page_token=token))
        if not (token := page.token):
            return found


def _is_ours(run: Run, settings: Settings) -> bool:
    """And not of another installation on the same base; before version 0.6.0 runs do not say."""
    return run.data.params.get("bucket", settings.bucket) == settings.bucket


def _indexed(run: Run) -> Indexed:
    receipt, *shown = (run.data.tags.get(name, "") for name in (RECEIPT_TAG, VERDICT_TAG, STATE_TAG))
    return Indexed(run.info.run_id, receipt, (shown[0], shown[1]))


def unfinished_runs(settings: Settings, receipts: Collection[str]) -> list[str]:
    """Return the ids of the runs that MLflow takes for running, of works that ended with one of these receipts."""
    with reaching(settings) as client:
        running = _found(client, "attributes.status = 'RUNNING'")
        return [run.info.run_id for run in running if run.data.tags.get(RECEIPT_TAG) in receipts]


def end_unfinished(settings: Settings, runs: Collection[str]) -> None:
    """Say of these runs that whoever wrote them was killed; the next record of the same work takes their place."""
    with reaching(settings) as client:
        for run in runs:
            client.set_terminated(run, "KILLED")


def recorded_run(settings: Settings, receipt: str) -> str | None:
    """Return the id of the finished run that records the work that ended with this receipt; None if there is none."""
    run = _recorded(settings, receipt)
    return run.run_id if run else None


def page_of(settings: Settings, receipt: str) -> str:
    """Return the address of the run that records the work that ended with this receipt.

    It is the server's own page if there is no such run, or it does not answer.
    """
    server = without_password(settings.mlflow_tracking_uri).rstrip("/")
    try:
        run = _recorded(settings, receipt)
    except ServiceUnreachable:
        return server
    return f"{server}/#/experiments/{run.experiment_id}/runs/{run.run_id}?{AS_RUNS}" if run else server


def _recorded(settings: Settings, receipt: str) -> RunInfo | None:
    with reaching(settings) as client:
        query = f"tags.`{RECEIPT_TAG}` = '{receipt}' and attributes.status = 'FINISHED'"
        found = client.search_runs([_experiment(client)], query, max_results=1)
        return found[0].info if found else None


def _experiment(client: MlflowClient) -> str:
    found = client.get_experiment_by_name(EXPERIMENT)
    if found is not None and found.lifecycle_stage != "active":
        raise ServiceUnreachable(
            f"MLflow's experiment {EXPERIMENT!r} was deleted: `mlflow experiments restore -x {found.experiment_id}`"
        )
    if found is not None:
        return found.experiment_id
    try:
        return client.create_experiment(EXPERIMENT)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
        return _experiment(client)  # made by another process in between


def _finished_run(client: MlflowClient, experiment: str, what: RunRecord) -> str | None:
    runs = client.search_runs([experiment], f"tags.`{KEY_TAG}` = '{what.key}'", order_by=["attributes.start_time ASC"])
    finished = None
    for run in runs:
        if run.info.status != "FINISHED":
            client.delete_run(run.info.run_id)
        elif run.data.tags.get(RECEIPT_TAG) == what.receipt_digest:
            finished = finished or run.info.run_id
    return finished


def _new_run(client: MlflowClient, experiment: str, what: RunRecord) -> str:
    tags = {KEY_TAG: what.key, RECEIPT_TAG: what.receipt_digest, **what.tags}
    run_id = client.create_run(experiment, tags=tags, run_name=what.name).info.run_id
    try:
        _log_values(client, run_id, what)
        files = [what.report, *what.further]
        log_files(client, run_id, what.evidence, what.data_docs, what.contact_sheets, files)
    except BaseException:
        client.set_terminated(run_id, "FAILED")
        raise
    client.set_terminated(run_id, "FINISHED")
    return run_id


def _log_values(client: MlflowClient, run_id: str, what: RunRecord) -> None:
    parameters = {"request_id": what.request_id, "receipt": what.receipt_digest, **what.identity}
    description = what.description or f"Request {what.request_id}, receipt {what.receipt_digest}"
    client.log_batch(
        run_id,
        params=[Param(name, value) for name, value in parameters.items()],
        metrics=[Metric(name, float(value), 0, 0) for name, value in what.metrics.items()],
        tags=[RunTag(NOTE, shortened(description, LONGEST_DESCRIPTION))],
    )


def shortened(text: str, most: int) -> str:
    """Return a text of at most so many characters: cut between two lines, with a word on where the rest is."""
    if len(text) <= most:
        return text
    lines = text[: most - len(REST)].splitlines()[:-1]
    return "\n".join(lines) + REST


@contextmanager
def reaching(settings: Settings) -> Iterator[MlflowClient]:
    """Yield a client of a server that lets us in now.

    Raises:
        ServiceUnreachable: it does not, or refuses something later; the error has its words.
    """
    url = settings.mlflow_tracking_uri
    ask_mlflow(url)
    try:
        yield MlflowClient(tracking_uri=url, registry_uri=url)
    except (MlflowException, RequestException, Boto3Error, BotoCoreError, ClientError) as error:  # S3 may be its store
        raise ServiceUnreachable(
            f"MLflow at {without_password(url)} does not serve ({describe_error(error, url)}): {MLFLOW}"
        ) from None
