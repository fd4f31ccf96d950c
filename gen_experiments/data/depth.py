"""Pictures of more than 8 bits: scaled by their range, or refused if the file does not state the range."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gen_experiments.errors import UserError

if TYPE_CHECKING:
    from PIL.Image import Image

# Tags of TIFF 6.0.
BITS_PER_SAMPLE, PHOTOMETRIC, MAX_SAMPLE_VALUE, SIGNED_MAX_SAMPLE_VALUE = 258, 262, 281, 341
WHITE_IS_ZERO = 0
SIXTEEN_BITS = 65535
# The largest number of a picture of 12 bits, which would be almost black as 16 bits.
TWELVE_BITS = 4095
NOT_FINITE = "its numbers are not all finite: mend or remove it"
REMEDY = "save it with 8 bits, or scaled to 16, or state the range by data.value_range=[black, white]"


class Depth:
    """The range of a picture's numbers according to its file; made before Pillow reads the pixels.

    Args:
        picture: as `PIL.Image.open` returns it.
    """

    def __init__(self, picture: "Image") -> None:
        tags: Any = getattr(picture, "tag_v2", {})
        tiles: Any = getattr(picture, "tile", ())  # a picture that was made in memory has none
        arguments = tiles[0][3] if tiles and len(tiles[0]) > 3 else ()
        arguments = arguments if isinstance(arguments, tuple) else (arguments,)
        # Pillow's name of the stored format, such as `RGB;16B`.
        stored = str(arguments[0]) if arguments else ""
        self._sixteen = ";16" in stored or (picture.format == "PPM" and SIXTEEN_BITS in arguments)
        self._signed = stored.endswith("S")
        self._inverted = tags.get(PHOTOMETRIC) == WHITE_IS_ZERO
        self._declared = _first(tags.get(MAX_SAMPLE_VALUE) or tags.get(SIGNED_MAX_SAMPLE_VALUE))
        bits = _first(tags.get(BITS_PER_SAMPLE))
        if self._declared is None and bits is not None and 8 < bits < 16:
            self._declared = 2**bits - 1
        if picture.mode == "I" and picture.format == "PPM" and not self._sixteen:
            # Pillow brings what the file says is the largest number to 16 bits.
            self._declared = SIXTEEN_BITS

    def sixteen_bit_colours(self, picture: "Image") -> bool:
        """Returns whether the file has 16 bits per channel with colours or alpha, of which Pillow keeps 8."""
        return self._sixteen and picture.mode in ("RGB", "RGBA", "LA")

    def shares(self, picture: "Image", value_range: tuple[float, float] | None = None) -> NDArray[np.float32] | None:
        """Returns a grey picture of more than 8 bits as (h, w), 0 for black and 1 for white; None for other pictures.

        Args:
            picture: as Pillow read it.
            value_range: the user's [black, white]; other numbers are clamped. None takes the range of `to_eight_bits`.

        Raises:
            UserError: as for `to_eight_bits`, but with a range only for numbers that are not finite.
        """
        if picture.mode != "F" and not picture.mode.startswith("I"):
            return None
        numbers = np.asarray(picture)
        if value_range is not None:
            shares = within(numbers, value_range)
        else:
            white = _white_of_floats(numbers) if picture.mode == "F" else self._white(numbers)
            shares = numbers.astype(np.float32) / np.float32(white)
        return 1 - shares if self._inverted else shares

    def to_eight_bits(self, picture: "Image") -> "Image":
        """Returns a picture in a mode of 8 bits per channel.

        Floating-point numbers must lie in [0, 1], where 1 is white. For integers, white is the value that the file
        declares (TIFF's MaxSampleValue, or fewer than 16 BitsPerSample), or else 65535 for 16 bits.

        Raises:
            UserError: the file does not say which number is white, or holds others than it may; or it has 16 bits and
                no number above 4095, and so may well have 12. The file is not named.
        """
        from PIL import Image

        shares = self.shares(picture)
        if shares is not None:
            return Image.fromarray(np.rint(255 * shares).astype(np.uint8))
        if self.sixteen_bit_colours(picture):
            # Pillow keeps the upper byte, in which 12 bits leave 15 at most.
            colours = np.asarray(picture)[..., : 3 if picture.mode.startswith("RGB") else 1]
            if colours.max() <= TWELVE_BITS >> 8:
                raise UserError(too_dark())
        return picture

    def _white(self, numbers: NDArray[Any]) -> float:
        least, most = int(numbers.min()), int(numbers.max())
        if self._declared is not None:
            if least < 0 or most > self._declared:
                raise UserError(
                    f"its numbers lie in [{least}, {most}], not in [0, {self._declared}] as it says: {REMEDY}"
                )
            return float(self._declared)
        if not self._sixteen or self._signed:
            raise UserError(
                f"its numbers, in [{least}, {most}], have 32 bits or a sign, and it does not say which is white: "
                f"{REMEDY}"
            )
        if 0 < most <= TWELVE_BITS:
            raise UserError(too_dark())
        return float(SIXTEEN_BITS)


def within(numbers: NDArray[Any], value_range: tuple[float, float]) -> NDArray[np.float32]:
    """Returns the positions of numbers between black (0) and white (1), clamped.

    Raises:
        UserError: not all are finite.
    """
    low, high = value_range
    if not np.isfinite(numbers).all():
        raise UserError(NOT_FINITE)
    shares: NDArray[np.float32] = ((numbers.astype(np.float64) - low) / (high - low)).clip(0, 1).astype(np.float32)
    return shares


def _white_of_floats(numbers: NDArray[Any]) -> float:
    if not np.isfinite(numbers).all():
        raise UserError(NOT_FINITE)
    least, most = numbers.min(), numbers.max()
    if least < 0 or most > 1:
        raise UserError(
            f"its numbers lie in [{least:.4g}, {most:.4g}], and a picture in floating point must be in [0, 1]: scale "
            f"it, or {REMEDY}"
        )
    return 1.0


def too_dark() -> str:
    """Returns the error text for a picture of 16 bits that probably has 12."""
    return (
        f"it has 16 bits and no number above {TWELVE_BITS} of {SIXTEEN_BITS}, and would come out black: if it has 12 "
        f"bits, {REMEDY}, or have a TIFF say so (MaxSampleValue)"
    )


def _first(value: Any) -> int | None:
    """Returns the first number of a tag."""
    value = value[0] if isinstance(value, tuple) and value else value
    return int(value) if isinstance(value, (int, float)) else None


def in_eight_bits(numbers: NDArray[np.unsignedinteger[Any]]) -> NDArray[np.uint8]:
    """Returns pixels as uint8, rounded from 16 bits if necessary."""
    if numbers.dtype == np.uint8:
        return numbers.astype(np.uint8, copy=False)
    return ((numbers + 128.0) // 257).astype(np.uint8)
