"""Errors of the engine. Every message names the thing at fault and what to do about it."""

from __future__ import annotations

import re

from expunge.errors import ExpungeError

CAUSES = 20
_NO_MEMORY = re.compile("CPUAllocator|[Cc]annot allocate memory|failed to map segment|bad_alloc|can't start new thread")


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error, or one of its causes, is a lack of memory. At most `CAUSES` errors are read.

    Torch's own error is recognised by its class name, so that nobody has to load torch to ask. A lack of the
    processor's memory, also while a library is loaded, is recognised by the system's message.
    """
    cause: BaseException | None = error
    for _ in range(CAUSES):
        if cause is None:
            return False
        if (
            isinstance(cause, MemoryError)
            or type(cause).__name__ == "OutOfMemoryError"
            or _NO_MEMORY.search(str(cause))
        ):
            return True
        cause = cause.__cause__ or cause.__context__
    return False


class EngineError(ExpungeError, ValueError):
    """Base class of all errors that the engine raises on purpose."""


class ModelFormatError(EngineError):
    """A model folder is not plain, complete safetensors in diffusers layout."""

    exit_code = 6


class DigestMismatch(EngineError):
    """Content differs from the digest it was recorded under."""

    exit_code = 6

    def __init__(self, what: str, expected: str, found: str, cure: str) -> None:
        super().__init__(what, expected, found, cure)  # all four, so that the error can be pickled out of a worker
        self.what, self.expected, self.found, self.cure = what, expected, found, cure

    def __str__(self) -> str:
        return f"{self.what}: expected digest {self.expected}, found {self.found}; {self.cure}"


class UnknownArchitecture(EngineError):
    """No family declares how text enters this model."""

    exit_code = 3


class ConceptError(EngineError):
    """A concept cannot be worded or encoded as asked."""

    exit_code = 3


class SettingError(EngineError):
    """An editor or one of its settings does not exist or has a value it cannot have."""

    exit_code = 3


class MissingExtra(EngineError):
    """An optional library that was asked for is not installed."""

    exit_code = 2


class QualityError(EngineError):
    """The pictures cannot carry the number that was asked of them."""

    exit_code = 5


class EditError(EngineError):
    """The mathematics of an edit failed; `layer` says where."""

    exit_code = 4  # an edit that cannot be computed is refused like one that reaches too far

    def __init__(self, layer: str, problem: str) -> None:
        super().__init__(layer, problem)
        self.layer, self.problem = layer, problem

    def __str__(self) -> str:
        return f"{self.layer}: {self.problem}"
