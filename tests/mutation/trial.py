"""Run tests on a module whose text is another, in a process that has loaded all libraries already; no file changes."""

from __future__ import annotations

import importlib
import importlib.machinery
import importlib.util
import json
import os
import signal
import sys
import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path
from types import CodeType
from typing import Any

import pytest

OWN = ("expunge", "tests", "conftest", "benchmarks")
QUIET = ("-x", "-q", "-p", "no:cacheprovider", "-p", "no:randomly", "-m", "not slow")


class _Other(importlib.machinery.SourceFileLoader):
    """Load a module from its file's place and another text."""

    source = ""

    def get_code(self, fullname: str) -> CodeType:
        return compile(self.source, self.path, "exec")


class _Finder:
    """Find this one module so."""

    def __init__(self, name: str, path: Path, source: str) -> None:
        self.name, self.path, self.source = name, path, source

    def find_spec(self, name: str, *_: object) -> Any:
        if name != self.name:
            return None
        loader = _Other(name, str(self.path))
        loader.source = self.source
        return importlib.util.spec_from_file_location(name, self.path, loader=loader)


def passes(tests: Sequence[str], module: str = "", source: str = "", seconds: float = 3600) -> tuple[bool, float]:
    """Whether these test files pass, with this text as that of the module `engine/x.py`, and how long they took.

    What does not end in time does not pass.
    """
    begun = time.monotonic()
    child = os.fork()
    if child == 0:
        _test(tests, module, source)
    while time.monotonic() - begun < seconds:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return status == 0, time.monotonic() - begun
        time.sleep(0.02)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False, time.monotonic() - begun


def _test(tests: Sequence[str], module: str, source: str, *, said: Path = Path(os.devnull)) -> None:
    os.setsid()
    with open(said, "w") as out:
        os.dup2(out.fileno(), 1)
        os.dup2(out.fileno(), 2)
    if module:
        name = "expunge." + module.removesuffix(".py").replace("/", ".")
        sys.meta_path.insert(0, _Finder(name, Path("expunge", module).absolute(), source))
    os._exit(pytest.main([*QUIET, *tests]))


def preload(tests: Collection[str], folder: Path) -> None:
    """Import the libraries that these tests import, and nothing of ours."""
    child = os.fork()
    if child == 0:
        pytest.main(["--collect-only", "-q", "-p", "no:cacheprovider", *tests])
        (folder / "loaded.json").write_text(json.dumps(list(sys.modules)))
        os._exit(0)
    os.waitpid(child, 0)
    for name in json.loads((folder / "loaded.json").read_text()):
        if name.partition(".")[0] not in OWN and not name.startswith(("_pytest", "pytest", "__")):
            with suppress(Exception):
                importlib.import_module(name)
