"""Warnings of options that were given where nothing reads them."""

import inspect
from collections.abc import Sequence

from gen_experiments import distributed


def warn_of_no_effect(part: object, names: Sequence[str], why: str, prefix: str) -> None:
    """Warns of options that differ from their defaults.

    Args:
        part: whose attributes are the options.
        names: of the options that have no effect now.
        why: the reason, and what to do.
        prefix: of the names on the command line.
    """
    arguments = inspect.signature(type(part)).parameters  # a subclass of the user's own may have others
    given = [name for name in names if name in arguments and getattr(part, name) != arguments[name].default]
    if given:
        named = ", ".join(f"{prefix}.{name}" for name in given)
        distributed.warn_once(f"{named} {'has' if len(given) == 1 else 'have'} no effect {why}", 3)
