"""Every expected failure has an exit code of its own kind; only the unexpected is 1."""

from __future__ import annotations

import errno
import pickle
import re
from pathlib import Path

import pytest
import torch

from expunge.engine import errors as engine_errors
from expunge.engine.errors import ConceptError, DigestMismatch, EditError, EngineError, ModelFormatError
from expunge.errors import ExpungeError
from expunge.policies import PolicyError
from expunge.tasks.core import errors as task_errors
from expunge.tasks.core.errors import (
    EXIT_CODE_OF,
    IntegrityError,
    LimitExceeded,
    NoRoom,
    NothingOnRecord,
    ServiceUnreachable,
    VerdictNotPassed,
    exit_code_of,
)
from expunge.tasks.ledger.decisions.counters import Countered
from expunge.tasks.ledger.decisions.record import NotApproved

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (RuntimeError("a bug"), 1),
        (MemoryError(), 8),
        (torch.OutOfMemoryError("CUDA out of memory"), 8),
        (NothingOnRecord(""), 2),
        (PolicyError("seed", "is text", "write a number"), 3),
        (ConceptError("no name"), 3),
        (EditError("unet.attn2.to_k.weight", "not finite"), 4),
        (LimitExceeded(""), 4),
        (VerdictNotPassed("FAIL", ""), 4),
        (VerdictNotPassed("INCONCLUSIVE", ""), 5),
        (VerdictNotPassed("ERROR", ""), 5),
        (ModelFormatError("a pickle"), 6),
        (DigestMismatch("base", "a", "b", "fetch it again"), 6),
        (IntegrityError(""), 6),
        (ServiceUnreachable(""), 8),
        (NoRoom(""), 8),
        (PermissionError(errno.EACCES, "Permission denied", "receipts/1.json"), 8),
        (OSError(errno.EROFS, "Read-only file system", "receipts/1.json"), 8),
        (OSError(errno.ENOSPC, "No space left on device", "receipts/1.json"), 8),
        (FileNotFoundError(errno.ENOENT, "No such file or directory", "a bug"), 1),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else str(value),
)
def test_what_the_command_line_returns(error: Exception, code: int) -> None:
    assert exit_code_of(error) == code
    back = pickle.loads(pickle.dumps(error))  # as it comes out of a worker process
    assert (type(back), str(back), exit_code_of(back)) == (type(error), str(error), code)


def test_no_error_of_the_engine_is_taken_for_a_bug() -> None:
    kinds = [kind for kind in vars(engine_errors).values() if isinstance(kind, type) and issubclass(kind, EngineError)]
    assert len(kinds) >= 7
    for kind in kinds:
        assert kind is EngineError or exit_code_of(kind.__new__(kind)) != 1, kind


def test_every_exit_code_that_is_documented_is_one_that_something_raises() -> None:
    page = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    documented = {int(code) for code in re.findall(r"^\| (\d) \|", page, re.MULTILINE)}
    program = "".join(path.read_text() for folder in ("tasks", "flows") for path in (ROOT / folder).rglob("*.py"))
    raised = set(re.findall(r"raise (\w+)\(", program))
    errors = [*vars(task_errors).values(), NotApproved, Countered]
    kinds = [kind for kind in errors if isinstance(kind, type) and kind.__name__ in raised]
    codes = {kind.exit_code for kind in kinds if issubclass(kind, ExpungeError)}
    engine = {
        kind.exit_code
        for kind in vars(engine_errors).values()
        if isinstance(kind, type) and issubclass(kind, EngineError)
    }
    assert documented == {0, 1, *codes, *engine, PolicyError.exit_code, *EXIT_CODE_OF.values()}
