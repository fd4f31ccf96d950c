"""The errors that end a command, and the check of numbers that finds most mistakes."""

import re

LONGEST_WORD, LONGEST_MESSAGE = 300, 1000  # characters
LONGEST_QUOTE = 300  # characters of a file's text within a message


class UserError(Exception):
    """A user's mistake, described in one line that says what to do.

    The command line prints the message without a traceback and exits with a non-zero code.
    """


class Stopped(Exception):  # noqa: N818 - it is no error
    """A signal asked the command to stop, and its work was saved.

    The command line prints the message and exits with `code`.

    Args:
        message: one line that says what was saved and how to go on.
        code: the exit code: 128 + the signal's number, or 0 in a process that leaves the code to the first one.
    """

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


def shortened(text: object, longest: int = LONGEST_MESSAGE) -> str:
    """Returns a text as one line of limited length without control characters; an ellipsis stands for the rest.

    Args:
        text: a message, or text from a file for a message.
        longest: characters.
    """
    printable = "".join(character if character.isprintable() else " " for character in str(text)[: 8 * longest])
    line = re.sub(rf"(\S{{{LONGEST_WORD}}})\S+", r"\1…", " ".join(printable.split()))
    return line if len(line) <= longest else f"{line[:longest]} …"


def quoted(text: object) -> str:
    """Returns text from a file for a message: one line of at most 300 characters."""
    return shortened(text, LONGEST_QUOTE)


def check_interval(interval: str, **values: float | None) -> None:
    """Refuses numbers outside an interval; no interval contains NaN or null.

    Args:
        interval: in mathematical notation: "[0, 1)", "[1, inf)". An open end at infinity excludes infinity.
        values: the numbers, by the names of the user's options.

    Raises:
        UserError: the first number that lies outside, with its name and the interval.
    """
    lower, upper = (float(end) for end in interval[1:-1].split(","))
    for name, value in values.items():
        above = value is not None and (value >= lower if interval[0] == "[" else value > lower)
        below = value is not None and (value <= upper if interval[-1] == "]" else value < upper)
        if not (above and below):
            shown = "null" if value is None else value
            raise UserError(f"{name} must be {_in_words(interval)}, not {shown}")


def _in_words(interval: str) -> str:
    lower, upper = (end.strip() for end in interval[1:-1].split(","))
    if (lower, upper) == ("-inf", "inf"):
        return "finite"
    if upper == "inf":
        return f"{'>=' if interval[0] == '[' else '>'} {lower}"
    return f"in {interval}"
