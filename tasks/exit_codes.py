"""One exit code for each kind of failure, wherever it comes from."""

from engine.errors import ConceptError, DigestMismatch, EditError, ModelFormatError, SettingError, UnknownArchitecture
from policies import PolicyError, PolicyErrors
from tasks.errors import ExpungeError
from tasks.receipts import LedgerError


def exit_code_of(error: Exception) -> int:
    """What the command line returns: 3 for a policy, 6 for integrity, a task's own code, 1 for the unexpected.

    An edit that cannot be computed (`EditError`) is refused like one that reaches too far, 4.
    """
    if isinstance(error, ExpungeError):
        return error.exit_code
    if isinstance(error, PolicyError | PolicyErrors | ConceptError | SettingError | UnknownArchitecture):
        return 3
    if isinstance(error, EditError):
        return 4
    return 6 if isinstance(error, DigestMismatch | ModelFormatError | LedgerError) else 1
