"""Where state and services are, as the environment says it: keys go together, and a home is a folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from expunge.tasks.core.environment import Environment
from expunge.tasks.core.errors import UsageError
from expunge.tasks.core.settings import GROUPS, S3_VARIABLES, Settings, actor, home_folder, stack_file, workers

ELSEWHERE = {
    "AWS_ENDPOINT_URL_S3": "https://s3.example.com",
    "AWS_ACCESS_KEY_ID": "their-key",
    "AWS_SECRET_ACCESS_KEY": "their-secret",
    "AWS_SESSION_TOKEN": "their-token",
}
LOCAL = {
    "PREFECT_API_URL": "http://127.0.0.1:1/api",
    "MLFLOW_TRACKING_URI": "http://127.0.0.1:2",
    "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:3",
    "AWS_ACCESS_KEY_ID": "our-key",
    "AWS_SECRET_ACCESS_KEY": "our-secret",
    "PREFECT_API_AUTH_STRING": "expunge:our-word",
    "MLFLOW_TRACKING_USERNAME": "expunge",
    "MLFLOW_TRACKING_PASSWORD": "our-password",
}
VARIABLES = [name for group in GROUPS for name in group]
EXPORTED = """
import os, subprocess, sys
from expunge.tasks.core.settings import GROUPS, Settings

before = Settings.load()
before.export()
assert Settings.load() == before, "what was exported leads to the same services"
names = ", ".join(repr(name) for group in GROUPS for name in group)
subprocess.run([sys.executable, "-c", f"import json, os; print(json.dumps([os.environ.get(n) for n in ({names})]))"])
"""


def seen_by_a_child(home: Path, **variables: str) -> dict[str, str]:
    """Addresses and keys in a process that is started after `Settings.export`, beside a local stack in `home`."""
    stack_file(home).parent.mkdir(exist_ok=True)
    stack_file(home).write_text(json.dumps(LOCAL))
    own = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    done = subprocess.run(
        [sys.executable, "-c", EXPORTED],
        env={**own, "PYTHONPATH": str(Path(__file__).parents[3]), "EXPUNGE_HOME": str(home), **variables},
        capture_output=True,
        text=True,
        check=True,
    )
    return {name: value for name, value in zip(VARIABLES, json.loads(done.stdout), strict=True) if value}


def test_temporary_keys_reach_whoever_is_started_with_their_token(tmp_path: Path) -> None:
    assert of_s3(seen_by_a_child(tmp_path, **ELSEWHERE)) == ELSEWHERE


def of_s3(variables: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in variables.items() if name in S3_VARIABLES}


@pytest.mark.parametrize("address", ["PREFECT_API_URL", "MLFLOW_TRACKING_URI", "AWS_ENDPOINT_URL_S3"])
def test_another_server_is_never_sent_the_password_of_the_local_one(tmp_path: Path, address: str) -> None:
    """Its address may come from anywhere, an old shell or a file of settings; whoever listens there would learn it."""
    group = next(group for group in GROUPS if address in group)
    seen = seen_by_a_child(tmp_path, **{address: "https://elsewhere.example"})
    assert {name: value for name, value in seen.items() if name in group} in (
        {address: "https://elsewhere.example"},
        {address: "https://elsewhere.example", "AWS_DEFAULT_REGION": "us-east-1"},
    )
    assert seen.items() >= {name: value for name, value in LOCAL.items() if name not in group}.items()


@pytest.mark.parametrize(
    ("name", "theirs"), [("PREFECT_API_KEY", "their-key"), ("MLFLOW_TRACKING_TOKEN", "their-token")]
)
def test_the_local_server_is_never_sent_the_password_of_another(tmp_path: Path, name: str, theirs: str) -> None:
    seen = seen_by_a_child(tmp_path, **{name: theirs, "MLFLOW_TRACKING_PASSWORD": theirs})
    assert theirs not in seen.values()
    assert seen.items() >= LOCAL.items()


def test_the_address_of_the_local_server_alone_is_enough(tmp_path: Path) -> None:
    addresses = ("PREFECT_API_URL", "MLFLOW_TRACKING_URI", "AWS_ENDPOINT_URL_S3")
    assert seen_by_a_child(tmp_path, **{name: LOCAL[name] for name in addresses}).items() >= LOCAL.items()


def test_a_token_for_another_service_never_meets_our_keys(tmp_path: Path) -> None:
    theirs = {name: value for name, value in ELSEWHERE.items() if name != "AWS_ENDPOINT_URL_S3"}
    ours = {name: LOCAL[name] for name in S3_VARIABLES if name in LOCAL}
    assert of_s3(seen_by_a_child(tmp_path, **theirs)) == {**ours, "AWS_DEFAULT_REGION": "us-east-1"}


def test_a_token_comes_back_as_it_was_given_and_stays_out_of_logs(tmp_path: Path) -> None:
    settings = Settings.of(tmp_path, {**LOCAL, **ELSEWHERE})
    assert settings.session_token == "their-token"
    assert Settings.of(tmp_path, settings.variables()) == settings
    assert not {"their-token", "our-password", "expunge:our-word"} & set(repr(settings).split("'"))


def test_who_acts_is_the_variable_or_the_login_and_a_container_without_one_is_told_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("EXPUNGE_ACTOR", "compliance@example.com")
    assert actor() == "compliance@example.com"
    monkeypatch.setenv("EXPUNGE_ACTOR", "x" * 201)
    with pytest.raises(UsageError, match=r"EXPUNGE_ACTOR is 'x*': set it to who acts, at most 200"):
        actor()
    monkeypatch.setenv("EXPUNGE_ACTOR", "")
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("os.getuid", lambda: 1_234_567)  # as in a container that runs as a number without a name
    with pytest.raises(UsageError, match="set it to who acts"):
        actor()
    monkeypatch.setenv("LOGNAME", "ann")
    assert actor() == "ann"


@pytest.mark.parametrize("below", ["", "home"])
def test_a_home_that_is_a_file_is_refused_with_its_cure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, below: str
) -> None:
    (file := tmp_path / "file").touch()
    monkeypatch.setenv("EXPUNGE_HOME", str(file / below))
    with pytest.raises(UsageError, match=rf"EXPUNGE_HOME is .*{file} is no folder: set EXPUNGE_HOME"):
        home_folder()
    monkeypatch.setenv("EXPUNGE_HOME", str(tmp_path / "new" / "home"))
    assert home_folder() == tmp_path / "new" / "home"


@pytest.mark.parametrize(
    ("name", "value", "cure"),
    [
        ("EXPUNGE_RETENTION_DAYS", "1.5", "give for how many days S3 is to lock the record, up to 36500"),
        ("EXPUNGE_RETENTION_DAYS", "36501", "give for how many days S3 is to lock the record, up to 36500"),
        ("EXPUNGE_RETENTION_DAYS", "\u0661\u00b2", "give for how many days S3 is to lock the record, up to 36500"),
    ],
)
def test_a_number_that_is_none_is_refused_with_its_variable_and_cure(
    tmp_path: Path, name: str, value: str, cure: str
) -> None:
    with pytest.raises(UsageError) as refused:
        Settings.of(tmp_path, {**LOCAL, name: value})
    assert str(refused.value) == f"{name} is {value!r}: {cure}"


def test_the_number_of_workers_is_asked_for_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXPUNGE_WORKERS", "0")
    with pytest.raises(UsageError, match="EXPUNGE_WORKERS is '0': give how many processes may draw side by side"):
        workers()
    monkeypatch.setenv("EXPUNGE_HOME", str(tmp_path))
    assert home_folder() == tmp_path
    assert Settings.of(tmp_path, {**LOCAL, "EXPUNGE_WORKERS": "0", "EXPUNGE_BUCKET": ""}).bucket == "expunge"
    monkeypatch.setenv("EXPUNGE_WORKERS", "")
    assert workers() == 1


def test_what_is_read_of_the_environment_shows_no_key() -> None:
    assert "our-secret" not in repr(Environment.read(LOCAL))
