"""Names many undecodable pictures in one error, so that a large folder is not decoded anew for each of them."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from gen_experiments.cores import usable_cores
from gen_experiments.errors import UserError, quoted

if TYPE_CHECKING:
    from gen_experiments.data.picture_decoding import Pictures

MOST_NAMED = 10
PART = 256  # pictures that are tried at a time


def refusal(first: UserError, pictures: "Pictures", decode: Callable[[int], object], numbers: range) -> UserError:
    """Returns the error of a refused picture, with the names of other pictures that are refused too.

    Args:
        first: the error of the first refused picture.
        pictures: all pictures.
        decode: decodes a picture by its number; raises `UserError` if it refuses it.
        numbers: the pictures that were not decoded yet, the first refused one included.

    Returns:
        `first` if no other is refused, else an error that names up to `MOST_NAMED` others.
    """

    def refused(number: int) -> str | None:
        try:
            decode(number)
        except UserError as error:
            return str(error)
        return None

    reasons: dict[str, str] = {}
    tried = 0
    with ThreadPoolExecutor(usable_cores()) as pool:
        while tried < len(numbers) and len(reasons) <= MOST_NAMED:
            part = numbers[tried : tried + PART]
            results = zip(part, pool.map(refused, part), strict=True)
            reasons |= {str(pictures[number]): reason for number, reason in results if reason is not None}
            tried += len(part)
    if len(reasons) < 2:
        return first
    others = list(reasons)[1:]
    at_least = "at least " if tried < len(numbers) else ""
    more = ", …" if len(others) > MOST_NAMED else ""
    names = ", ".join(map(quoted, others[:MOST_NAMED]))
    return UserError(f"{next(iter(reasons.values()))}; {at_least}{len(others)} more are refused: {names}{more}")
