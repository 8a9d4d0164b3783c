"""A small policy on the built-in model, and the command line as a person uses it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings
from typer.testing import CliRunner

from expunge.engine.emoji import MODEL
from expunge.engine.files.digests import folder_digest
from expunge.flows.cli import app
from expunge.flows.submission import submit
from expunge.policies import read
from expunge.tasks.core.settings import Settings
from expunge.tasks.ledger.queries import lines_to_check
from expunge.tasks.storage import s3
from tests.flows.lines import draw_anew, is_sound, is_untouched, keep, reset


@dataclass(frozen=True)
class Finished:
    """What a command came to."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> dict:
        return json.loads(self.out)


def run_process(*words: str, **variables: str) -> Finished:
    """`expunge WORDS...` in a process of its own, as a shell runs it."""
    done = subprocess.run(
        [sys.executable, "-m", "expunge.flows.cli", *words],
        env={**os.environ, **variables},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=570,
    )
    return Finished(done.returncode, done.stdout, done.stderr)


def run_cli(*words: str, **variables: str) -> Finished:
    """The same command in this process, which has read all libraries already; its environment is left as it was."""
    with patch.dict(os.environ, variables), temporary_settings(prefect_at(os.environ)):
        done = CliRunner().invoke(app, list(words))
    return Finished(done.exit_code, done.stdout, done.stderr)


def prefect_at(variables: Mapping[str, str]) -> dict[Any, str | None]:
    """Prefect's settings by these variables, for a process in which it was imported before."""
    return {setting: variables.get(setting.name) or None for setting in (PREFECT_API_URL, PREFECT_API_AUTH_STRING)}


@pytest.fixture(scope="session")
def base_digest() -> str:
    return folder_digest(MODEL)


NO_SERVICES = {
    "PREFECT_API_URL": "http://127.0.0.1:9/api",
    "MLFLOW_TRACKING_URI": "http://127.0.0.1:9",
    "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9",
    "AWS_ACCESS_KEY_ID": "none",
    "AWS_SECRET_ACCESS_KEY": "none",
}
FEW = {"seeds": 2, "steps": 6, "max_target_rate": 0.4, "max_retain_drop": 0.5, "min_control_rate": 0.5}
WritePolicy = Callable[..., Path]


def policy_file(folder: Path, base_digest: str, request_id: str, erase: str = "bicycle", **acceptance: Any) -> Path:
    """A policy that erases one object and keeps two twins and two others."""
    kept = {"car": "look_alike", "bus": "look_alike", "guitar": "general", "castle": "general"}
    policy = {
        "schema_version": "1",
        "request_id": request_id,
        "kind": "trademark",
        "received_at": "2026-02-03T16:05:00Z",
        "base": {"uri": "builtin:emoji", "sha256": base_digest},
        "concepts": [{"id": erase.replace(" ", "-"), "name": erase, "category": "object"}],
        "retain": [{"id": name, "name": name, "kind": kind, "category": "object"} for name, kind in kept.items()],
        "limits": {"max_weight_delta": 8.0},
        "acceptance": {
            "max_target_rate": 0.20,
            "max_retain_drop": 0.15,
            "min_control_rate": 0.7,
            "seeds": 8,
            "prompts": 5,
            **acceptance,
        },
    }
    path = folder / f"{request_id}.yaml"
    path.write_text(json.dumps(policy), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def line(stack: Settings, tmp_path_factory: pytest.TempPathFactory, base_digest: str) -> Iterator[Settings]:
    """A home and bucket of its own in which one policy, `checked.yaml` beside it, is published, with few pictures and
    limits that they can prove; commands and tasks find it by the environment."""
    folder = tmp_path_factory.mktemp("line")
    settings = replace(stack, home=folder / "home", bucket=f"home-{uuid.uuid4().hex}")
    s3.client(stack).create_bucket(Bucket=settings.bucket)
    with patch.dict(os.environ, settings.variables()), temporary_settings(prefect_at(stack.variables())):
        assert submitted(settings, policy_file(folder, base_digest, "checked", **FEW))["verdict"] == "PASS"
        yield settings


@pytest.fixture(scope="module")
def kept(line: Settings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the line's home after the publication."""
    keep(line, folder := tmp_path_factory.mktemp("kept"))
    return folder


@pytest.fixture(scope="module")
def name(line: Settings) -> str:
    """That of the line."""
    (name,) = lines_to_check(line.home)
    return name


@pytest.fixture
def sound(line: Settings, name: str, kept: Path) -> Settings:
    """The line with the one policy in force and approved, whatever other tests left; it may have been checked since."""
    if not is_sound(line, name, "checked"):
        reset(line, name, kept)
    return line


@pytest.fixture
def untouched(line: Settings, name: str, kept: Path) -> Settings:
    """The line right after the publication."""
    if not is_untouched(line, name, kept):
        reset(line, name, kept)
    draw_anew(line, kept)
    return line


def submitted(home: Settings, path: Path) -> dict[str, Any]:
    return submit(path, read(path), home)


def withdrawal(path: Path, request_id: str, *gone: str) -> Path:
    """A policy file beside another, on the same base, that erases nothing and takes back what these asked for."""
    same = {name: json.loads(path.read_text())[name] for name in ("schema_version", "kind", "received_at", "base")}
    file = path.with_name(f"{request_id}.yaml")
    file.write_text(json.dumps({**same, "request_id": request_id, "concepts": [], "replaces": gone}))
    return file


def edited_by(path: Path, editor: str, settings: dict[str, Any]) -> Path:
    """The policy file with this editor in place of its own."""
    path.write_text(json.dumps({**json.loads(path.read_text()), "editor": {"name": editor, "settings": settings}}))
    return path


@pytest.fixture
def write_policy(tmp_path: Path, base_digest: str) -> WritePolicy:
    """Write a policy file by request id; see `policy_file`."""
    return partial(policy_file, tmp_path, base_digest)


@pytest.fixture
def on_stack(stack: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands find the shared stack by the environment."""
    for name, value in stack.variables().items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def home(stack: Settings, on_stack: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home of its own on the shared stack, with a bucket of its own: a line belongs to one home."""
    bucket = f"home-{uuid.uuid4().hex}"
    s3.client(stack).create_bucket(Bucket=bucket)
    monkeypatch.setenv("EXPUNGE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("EXPUNGE_BUCKET", bucket)
    return tmp_path / "home"
