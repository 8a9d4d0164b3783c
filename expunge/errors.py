"""The root of every error that is raised on purpose, so that each has its exit code wherever it comes from."""


class ExpungeError(Exception):
    """Base of every expected failure: its message names what is wrong and the cure.

    `exit_code` is what the command line returns for it; 1 stands for what nobody expects.
    """

    exit_code: int = 1
