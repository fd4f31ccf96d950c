"""The error of a file that is damaged or hostile, and which file is being built from its description."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from gen_experiments.errors import quoted

building: ContextVar[str | None] = ContextVar("building", default=None)


class Unreadable(Exception):  # noqa: N818 - callers turn it into an error of their own
    """A file is damaged or hostile; the message is one line."""


def being_built() -> str | None:
    """Returns the file whose description is being built, if any: it must not cause another file to be read."""
    return building.get()


@contextmanager
def refusing_damage() -> Iterator[None]:
    """Turns whatever a damaged file makes its reader raise into `Unreadable`."""
    try:
        yield
    except Unreadable:
        raise
    except Exception as error:
        raise Unreadable(quoted(error) or type(error).__name__) from error
