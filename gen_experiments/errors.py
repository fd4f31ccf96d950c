"""How a command ends other than by reaching its end."""


class UserError(Exception):
    """A mistake of the user's, told in one line that says what to do.

    The command line prints the message without a traceback and exits with a non-zero code.
    """


class Stopped(Exception):  # noqa: N818 - it is no error
    """A signal asked the command to stop, and what it had done was saved.

    The command line prints the message and exits with `code`.

    Args:
        message: one line that says what was saved and how to go on.
        code: the exit code: 128 + the signal's number, or 0 in a process that leaves the code to the first one.
    """

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code
