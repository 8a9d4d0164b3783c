"""Errors of tasks, each with the exit code that the command line returns for it."""

import errno
from collections.abc import Collection, Mapping

from expunge.engine.errors import is_out_of_memory
from expunge.errors import ExpungeError


class IntegrityError(ExpungeError):
    """Bytes are not what their digest, manifest or record says."""

    exit_code = 6


class ServiceUnreachable(ExpungeError):
    """Prefect, MLflow or S3 does not answer, refuses the keys, or is not configured."""

    exit_code = 8


class NoRoom(ExpungeError):
    """The disk has no room for what a takedown writes; nothing was begun."""

    exit_code = 8


class LimitExceeded(ExpungeError):
    """The edit would reach, or the drawing take, more than the policies' limits allow; nothing was published."""

    exit_code = 4


EXIT_CODE_OF = {"PASS": 0, "FAIL": 4, "INCONCLUSIVE": 5, "ERROR": 5}
"""What the command line returns for a verdict."""


class VerdictNotPassed(ExpungeError):
    """The verdict is not PASS; nothing was published, and the message says why."""

    def __init__(self, outcome: str, message: str) -> None:
        super().__init__(outcome, message)
        self.outcome, self.message = outcome, message
        self.exit_code = EXIT_CODE_OF[outcome]

    def __str__(self) -> str:
        return self.message


class ChecksFailed(ExpungeError):
    """Lines that are suspect or could not be checked; the message says which and why.

    `problems`: by line what is wrong; `codes`: the exit codes of these, of which the highest counts.
    """

    def __init__(self, problems: Mapping[str, str], codes: Collection[int]) -> None:
        super().__init__("\n".join(f"{line}: {problem}" for line, problem in problems.items()))
        self.exit_code = max(codes)


class NothingOnRecord(ExpungeError):
    """A request, work or line that this record does not have."""

    exit_code = 2


class UsageError(ExpungeError):
    """An option or an environment variable has a value it cannot have."""

    exit_code = 2


class LedgerError(ExpungeError):
    """The chain does not hold; the message lists what is wrong with it."""

    exit_code = 6


UNEXPECTED = ExpungeError.exit_code
REFUSED_BY_DISK = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT)
"""No rights, a disk that is only read, no room: what whoever runs the command can cure."""


def exit_code_of(error: BaseException) -> int:
    """Return the exit code of the command line: that of an expected error or of no room, or 1 for the unexpected."""
    if isinstance(error, OSError) and error.errno in REFUSED_BY_DISK:
        return NoRoom.exit_code
    if isinstance(error, ExpungeError) and error.exit_code != UNEXPECTED:
        return error.exit_code
    return NoRoom.exit_code if is_out_of_memory(error) else UNEXPECTED
