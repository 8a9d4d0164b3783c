"""What can go wrong in the engine. Every message names the thing at fault and what to do about it."""

from __future__ import annotations


def is_out_of_memory(error: Exception) -> bool:
    """Whether there was no memory. Torch's error is known by its name, so that nobody loads torch to tell; where a
    processor's memory is too small it has none of its own."""
    return isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError" or "CPUAllocator" in str(error)


class EngineError(ValueError):
    """Base of all errors that the engine raises on purpose."""


class ModelFormatError(EngineError):
    """A model folder is not plain, complete safetensors in diffusers layout."""


class DigestMismatch(EngineError):
    """Content differs from the digest it was recorded under."""

    def __init__(self, what: str, expected: str, found: str, cure: str) -> None:
        super().__init__(what, expected, found, cure)  # all of them, so that it can come out of a worker process
        self.what, self.expected, self.found, self.cure = what, expected, found, cure

    def __str__(self) -> str:
        return f"{self.what}: expected digest {self.expected}, found {self.found}; {self.cure}"


class UnknownArchitecture(EngineError):
    """No family declares how text enters this model."""


class ConceptError(EngineError):
    """A concept cannot be worded or encoded as asked."""


class SettingError(EngineError):
    """An editor or one of its settings does not exist or has a value it cannot have."""


class MissingExtra(EngineError):
    """An optional library that was asked for is not installed."""


class QualityError(EngineError):
    """The pictures cannot carry the number that was asked of them."""


class EditError(EngineError):
    """The mathematics of an edit failed; `layer` says where."""

    def __init__(self, layer: str, problem: str) -> None:
        super().__init__(layer, problem)
        self.layer, self.problem = layer, problem

    def __str__(self) -> str:
        return f"{self.layer}: {self.problem}"
