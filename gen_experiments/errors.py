"""Mistakes that a user can mend."""


class UserError(Exception):
    """A mistake of the user's, told in one line that says what to do.

    The command line prints the message without a traceback and exits with a non-zero code.
    """
