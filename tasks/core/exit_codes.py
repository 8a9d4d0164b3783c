"""One exit code for each kind of failure, wherever it comes from."""

import errno

from expunge.engine import errors
from expunge.policies import PolicyError, PolicyErrors
from expunge.tasks.core.errors import ExpungeError, NoRoom

CODES: dict[type[Exception], int] = {
    errors.MissingExtra: 2,
    PolicyError: 3,
    PolicyErrors: 3,
    errors.ConceptError: 3,
    errors.SettingError: 3,
    errors.UnknownArchitecture: 3,
    errors.EditError: 4,  # it cannot be computed, and is refused like one that reaches too far
    errors.QualityError: 5,
    errors.DigestMismatch: 6,
    errors.ModelFormatError: 6,
}

REFUSED_BY_DISK = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT)
"""No rights, a disk that is only read, no room: what whoever runs the command can cure."""


def exit_code_of(error: Exception) -> int:
    """What the command line returns: a task's own code, 3 for a policy, 6 for integrity, 1 for the unexpected."""
    if isinstance(error, ExpungeError):
        return error.exit_code
    if isinstance(error, OSError) and error.errno in REFUSED_BY_DISK:
        return NoRoom.exit_code
    if known := next((code for kind, code in CODES.items() if isinstance(error, kind)), None):
        return known
    return NoRoom.exit_code if errors.is_out_of_memory(error) else 1
