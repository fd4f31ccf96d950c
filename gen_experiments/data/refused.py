"""All pictures that cannot be decoded, named at once: a large folder would be decoded anew for each of them."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from gen_experiments.errors import UserError, quoted

if TYPE_CHECKING:
    from gen_experiments.data.pictures import Pictures

MOST_NAMED = 10
PART = 256  # pictures that are tried before it is asked whether enough have been found


def refusal(first: UserError, pictures: "Pictures", decode: Callable[[int], object], numbers: range) -> UserError:
    """Returns the error of pictures of which one was refused, with the names of others beside it.

    Args:
        first: why that one was refused.
        pictures: all of them.
        decode: decodes one by its number; raises `UserError` where it refuses it.
        numbers: those that are not known to be good, that one among them.

    Returns:
        `first` where it is the only one, else an error that names up to `MOST_NAMED` others.
    """

    def refused(number: int) -> str | None:
        try:
            decode(number)
        except UserError as error:
            return str(error)
        return None

    reasons: dict[str, str] = {}
    tried = 0
    with ThreadPoolExecutor() as pool:
        while tried < len(numbers) and len(reasons) <= MOST_NAMED:
            part = numbers[tried : tried + PART]
            found = zip(part, pool.map(refused, part), strict=True)
            reasons |= {str(pictures[number]): reason for number, reason in found if reason is not None}
            tried += len(part)
    if len(reasons) < 2:
        return first
    others = list(reasons)[1:]
    at_least = "at least " if tried < len(numbers) else ""
    more = ", …" if len(others) > MOST_NAMED else ""
    names = ", ".join(map(quoted, others[:MOST_NAMED]))
    return UserError(f"{next(iter(reasons.values()))}; {at_least}{len(others)} more are refused: {names}{more}")
