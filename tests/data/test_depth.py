"""Pictures of more than 8 bits, in the files that cameras and microscopes write."""

import numpy as np
import pytest
from PIL import Image

from gen_experiments.data.framing import Framing
from gen_experiments.data.picture_decoding import decode_one
from gen_experiments.errors import UserError
from pictures_on_disk import write_png16, write_tiff

# Of the largest number: black, a fifth, two fifths, white.
SHARES = np.array([[0, 0.2], [0.4, 1.0]])
EXPECTED = [[0, 51], [102, 255]]


def whole(largest, dtype):
    return np.rint(SHARES * largest).astype(dtype)


WRITERS = {
    "float.tif": lambda path: Image.fromarray(SHARES.astype(np.float32)).save(path),
    "compressed_float.tif": lambda path: Image.fromarray(SHARES.astype(np.float32)).save(path, compression="tiff_lzw"),
    "16_bits.tif": lambda path: Image.fromarray(whole(65535, np.uint16)).save(path),
    "compressed_16_bits.tif": lambda path: Image.fromarray(whole(65535, np.uint16)).save(path, compression="tiff_lzw"),
    "16_bits.png": lambda path: Image.fromarray(whole(65535, np.uint16)).save(path),
    "16_bits.pgm": lambda path: path.write_bytes(b"P5 2 2 65535\n" + whole(65535, ">u2").tobytes()),
    "12_bits.pgm": lambda path: path.write_bytes(b"P5 2 2 4095\n" + whole(4095, ">u2").tobytes()),
    "12_bits_that_say_so.tif": lambda path: write_tiff(path, whole(4095, np.uint16), largest=4095),
    "14_bits_that_say_so.tif": lambda path: write_tiff(path, whole(16383, np.uint16), largest=16383),
    "32_bits_that_say_so.tif": lambda path: write_tiff(path, whole(1000, np.uint32), largest=1000),
    "sign_that_says_so.tif": lambda path: write_tiff(path, whole(1000, np.int16), sample_format=2, largest=1000),
    "white_is_zero.tif": lambda path: write_tiff(path, 65535 - whole(65535, np.uint16), white_is_zero=True),
    "16_bits_in_colour.png": lambda path: write_png16(path, whole(65535, np.uint16)[..., None].repeat(3, axis=2)),
    "16_bits_in_colour.tif": lambda path: write_tiff(path, whole(65535, np.uint16)[..., None].repeat(3, axis=2)),
}


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("channels", [1, 3])
def test_numbers_are_scaled_by_what_they_mean(tmp_path, name, channels):
    WRITERS[name](tmp_path / name)
    assert decode_one(tmp_path / name, 2, channels).tolist() == [EXPECTED] * channels


def test_twelve_bits_side_by_side_are_white_at_4095(tmp_path):
    """0xFFF, 0x000 in the first row, 0x333, 0x666 in the second, which are a fifth and two fifths."""
    write_tiff(tmp_path / "a.tif", np.array([[0xFF, 0xF0, 0x00], [0x33, 0x36, 0x66]], dtype=np.uint8), bits=12)
    assert decode_one(tmp_path / "a.tif", 2, 1).tolist() == [[[255, 0], [51, 102]]]
    kept = decode_one(tmp_path / "a.tif", 2, 1, Framing(depth=16))
    assert kept.tolist() == [[[65535, 0], [13107, 26214]]]


REFUSED = {
    "float_of_8_bits.tif": (
        lambda path: Image.fromarray(255 * SHARES.astype(np.float32)).save(path),
        r"lie in \[0, 255\], and a picture in floating point must be in \[0, 1\]: scale it",
    ),
    "float_below_black.tif": (lambda path: Image.fromarray(np.float32(SHARES - 0.5)).save(path), r"lie in \[-0\.5, 0"),
    "no_number.tif": (lambda path: Image.fromarray(np.float32([[np.nan, 1]])).save(path), "not all finite"),
    "32_bits.tif": (
        lambda path: Image.fromarray(whole(1000, np.int32)).save(path),
        r"in \[0, 1000\], have 32 bits or a sign, and it does not say which is white: save it with 8 bits",
    ),
    "sign.tif": (lambda path: write_tiff(path, whole(9999, np.int16), sample_format=2), "have 32 bits or a sign"),
    "more_than_it_says.tif": (
        lambda path: write_tiff(path, whole(5000, np.uint16), largest=4095),
        r"lie in \[0, 5000\], not in \[0, 4095\] as it says",
    ),
    "sign_below_black.tif": (
        lambda path: write_tiff(path, whole(1000, np.int16) - np.int16(200), sample_format=2, largest=1000),
        r"lie in \[-200, 800\], not in \[0, 1000\] as it says",
    ),
    "12_bits.tif": (
        lambda path: Image.fromarray(whole(4095, np.uint16)).save(path),
        "no number above 4095 of 65535, and would come out black: if it has 12 bits, save it .*MaxSampleValue",
    ),
    "12_bits.png": (lambda path: Image.fromarray(whole(4095, np.uint16)).save(path), "no number above 4095"),
    "12_bits_as_16.pgm": (
        lambda path: path.write_bytes(b"P5 2 2 65535\n" + whole(4095, ">u2").tobytes()),
        "no number above 4095",
    ),
    "12_bits_in_colour.png": (
        lambda path: write_png16(path, whole(4095, np.uint16)[..., None].repeat(3, axis=2)),
        "no number above 4095",
    ),
    "12_bits_with_alpha.png": (
        lambda path: write_png16(path, np.stack([whole(4095, np.uint16), np.full((2, 2), 65535)], axis=2)),
        "no number above 4095",
    ),
    "12_bits_in_colour.tif": (
        lambda path: write_tiff(path, whole(4095, np.uint16)[..., None].repeat(3, axis=2)),
        "no number above 4095",
    ),
    "float_in_colour.tif": (
        lambda path: write_tiff(path, np.float32(SHARES)[..., None].repeat(3, axis=2), sample_format=3),
        "numbers of a kind that Pillow does not read",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_the_file_does_not_say_is_not_guessed(tmp_path, name):
    write, message = REFUSED[name]
    write(tmp_path / name)
    with pytest.raises(UserError, match=message) as refusal:
        decode_one(tmp_path / name, 2, 1)
    assert str(refusal.value).startswith(str(tmp_path / name))


def test_a_picture_that_is_black_all_over_is_black(tmp_path):
    Image.fromarray(np.zeros((2, 2), dtype=np.uint16)).save(tmp_path / "a.png")
    assert decode_one(tmp_path / "a.png", 2, 1).tolist() == [[[0, 0], [0, 0]]]
