"""Pictures that cannot be decoded: the error of one, and one error that names many.

With many named in one error a large folder is not decoded anew for each of them.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from gen_experiments.cores import usable_cores
from gen_experiments.errors import UserError, quoted
from gen_experiments.images import IMAGE_FORMATS

if TYPE_CHECKING:
    from gen_experiments.data.picture_decoding import Encoded, Pictures

MOST_NAMED = 10
PART = 256  # pictures that are tried at a time


@contextmanager
def naming(file: "Path | Encoded") -> Iterator[None]:
    """Turns whatever goes wrong while a picture is read into a `UserError` that names it."""
    from PIL import UnidentifiedImageError

    try:
        yield
    except UnidentifiedImageError as error:
        if (file.stat().st_size if isinstance(file, Path) else len(file.data)) == 0:
            raise UserError(f"{file} is empty: mend or remove it") from error
        raise UserError(
            f"{file} cannot be decoded (it is none of {', '.join(IMAGE_FORMATS)}, or has numbers of a kind that Pillow "
            "does not read, such as colours in floating point): mend or remove it"
        ) from error
    except UserError as error:
        raise UserError(f"{file}: {error}") from error
    # A damaged file makes Pillow's plugins fail in any way.
    except Exception as error:
        reason = quoted(error) or type(error).__name__
        raise UserError(f"{file} cannot be decoded ({reason}): mend or remove it") from error


def refusal(pictures: "Pictures", attempt: Callable[[int], object], numbers: range) -> UserError | None:
    """Tries pictures by threads, as Pillow releases the interpreter's lock; returns the error of those refused.

    Args:
        pictures: all pictures.
        attempt: tries a picture by its number; raises `UserError` if it refuses it.
        numbers: those of the pictures to try.

    Returns:
        None if no picture is refused, else the error of the first, which names up to `MOST_NAMED` others.
    """

    def refused(number: int) -> str | None:
        try:
            attempt(number)
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
    if not reasons:
        return None
    first, *others = reasons
    if not others:
        return UserError(reasons[first])
    at_least = "at least " if tried < len(numbers) else ""
    more = ", …" if len(others) > MOST_NAMED else ""
    names = ", ".join(map(quoted, others[:MOST_NAMED]))
    are = "is" if len(others) == 1 and not at_least else "are"
    return UserError(f"{reasons[first]}; {at_least}{len(others)} more {are} refused: {names}{more}")
