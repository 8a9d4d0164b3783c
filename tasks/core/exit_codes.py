"""One exit code for each kind of failure, wherever it comes from."""

import errno

from expunge.engine.errors import is_out_of_memory
from expunge.errors import ExpungeError
from expunge.tasks.core.errors import NoRoom

UNEXPECTED = ExpungeError.exit_code
REFUSED_BY_DISK = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT)
"""No rights, a disk that is only read, no room: what whoever runs the command can cure."""


def exit_code_of(error: BaseException) -> int:
    """Return what the command line returns: the code of an expected error, that of no room, or 1 for the unexpected."""
    if isinstance(error, OSError) and error.errno in REFUSED_BY_DISK:
        return NoRoom.exit_code
    if isinstance(error, ExpungeError) and error.exit_code != UNEXPECTED:
        return error.exit_code
    return NoRoom.exit_code if is_out_of_memory(error) else UNEXPECTED
