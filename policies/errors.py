"""Errors in a policy: what is wrong, where it is written, and what to do about it."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

from expunge.errors import ExpungeError


class PolicyError(ExpungeError, ValueError):
    """One problem: `field` is a dotted path such as `concepts[1].name` ("" for the whole file), `line` is 1-based.

    Every argument goes to `args`, so the error survives pickling and copying.
    """

    exit_code = 3

    def __init__(self, field: str, message: str, cure: str, line: int | None = None, source: str = "") -> None:
        super().__init__(field, message, cure, line, source)
        self.field = field
        self.message = message
        self.cure = cure
        self.line = line
        self.source = source

    def __str__(self) -> str:
        place = ":".join(part for part in (shown_path(self.source), str(self.line or "")) if part)
        head = ": ".join(part for part in (place, self.field, self.message) if part)
        return f"{head}; {self.cure}" if self.cure else head

    def at(self, field: str, line: int | None, source: str) -> PolicyError:
        """Return the same problem with its place filled in."""
        return PolicyError(field, self.message, self.cure, line, source)


class PolicyErrors(ExpungeError, ValueError):
    """All problems that one pass found, in the order of their lines, those without a line last; never empty."""

    exit_code = 3

    def __init__(self, errors: Iterable[PolicyError]) -> None:
        self.errors: tuple[PolicyError, ...] = tuple(sorted(errors, key=lambda error: error.line or sys.maxsize))
        if not self.errors:
            raise ValueError("PolicyErrors needs at least one PolicyError")
        super().__init__(self.errors)

    def __str__(self) -> str:
        return "\n".join(str(error) for error in self.errors)


class PolicyConflict(PolicyError):
    """Two policies in force cannot both be obeyed; `request_ids` names them in sorted order."""

    def __init__(self, field: str, message: str, cure: str, request_ids: Sequence[str]) -> None:
        super().__init__(field, message, cure)
        self.request_ids = tuple(sorted(request_ids))
        self.args = (field, message, cure, self.request_ids)

    def __str__(self) -> str:
        return f"{' and '.join(self.request_ids)}: {super().__str__()}"


def shown(text: str, width: int = 60) -> str:
    """`text` in quotes, cut to `width` characters, with every unprintable character escaped: safe for a terminal."""
    return repr(text if len(text) <= width else text[: width - 3] + "...")


def shown_path(source: str) -> str:
    """Return a file name as it is, or escaped where it would not print on one line."""
    return source if source.isprintable() else shown(source, 200)
