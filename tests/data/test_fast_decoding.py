"""Fast decoding: off unless it is asked for, and then near to the pixels of the plain way."""

import io
import sys

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_image

from gen_experiments.data.cache import cached_split, decoded_as_read
from gen_experiments.data.datamodule import ImageDataModule
from gen_experiments.data.fast_decoding import resize_pixels
from gen_experiments.data.framing import Framing
from gen_experiments.data.pairs import Edges
from gen_experiments.data.picture_decoding import Encoded, decode_one
from gen_experiments.data.sources import MNIST, Digits, ImageFolder
from gen_experiments.errors import UserError
from pictures_on_disk import write_pictures

PHOTOGRAPHS = ("china.jpg", "flower.jpg")  # of 640x427 pixels


def jpeg(pixels, orientation=None, **options):
    """The picture in a file, 4:2:0 unless said otherwise."""
    file = io.BytesIO()
    if orientation is not None:
        options["exif"] = Image.Exif()
        options["exif"][274] = orientation
    Image.fromarray(pixels).save(file, "JPEG", quality=90, **options)
    return Encoded("photograph", file.getvalue())


def apart(picture, size, channels=3):
    """How far the fast way is from the plain one, of 255: the mean, and the largest."""
    plain, fast = (decode_one(picture, size, channels, Framing(fast=fast)).astype(int) for fast in (False, True))
    assert plain.shape == fast.shape == (channels, size, size)
    difference = np.abs(plain - fast)
    return difference.mean(), difference.max()


@pytest.mark.parametrize("photograph", PHOTOGRAPHS)
@pytest.mark.parametrize("size", [256, 128, 64])
def test_photographs_are_near_to_the_plain_way(photograph, size):
    """Within 2.1 of 255 on average, where the plain way crops at whole pixels."""
    mean, largest = apart(jpeg(load_sample_image(photograph)[:, 1:]), size)
    assert mean < 2.1
    assert largest < 40


@pytest.mark.parametrize("upright", [False, True])
@pytest.mark.parametrize("photograph", PHOTOGRAPHS)
def test_photographs_whose_sides_differ_by_an_odd_number_are_not_displaced(photograph, upright):
    """The plain way crops them at half pixels; cut half a pixel beside the middle they would be 4 of 255 apart."""
    pixels = load_sample_image(photograph)
    mean, largest = apart(jpeg(pixels.swapaxes(0, 1) if upright else pixels), 256)
    assert mean < 2.7
    assert largest < 60


@pytest.mark.parametrize("crop", ["centre", "random"])
@pytest.mark.parametrize("shape", [(30, 41), (41, 30), (31, 40), (40, 40)])
def test_the_middle_is_kept_of_any_picture(shape, crop):
    """A picture that equals its mirror images still does."""
    picture = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    picture = np.maximum(picture, picture[::-1])
    picture = np.maximum(picture, picture[:, ::-1])
    kept = resize_pixels(picture, 16, Framing(crop, fast=True)).astype(int)
    assert np.abs(kept - kept[:, :, ::-1]).max() <= 1
    assert np.abs(kept - kept[:, ::-1]).max() <= 1


def test_grey_photographs_and_those_of_one_size_too():
    pixels = load_sample_image("china.jpg")[:, 1:]
    assert apart(jpeg(pixels), 128, channels=1)[0] < 1
    assert apart(jpeg(pixels[:256, :256]), 256)[0] < 2.1
    assert apart(jpeg(pixels[..., 0]), 128)[0] < 1


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_upright(orientation):
    pixels = load_sample_image("flower.jpg")[:, 1:]
    assert apart(jpeg(pixels, orientation), 64)[0] < 2.5


@pytest.mark.parametrize("options", [{"progressive": True}, {"subsampling": 0}, {"restart_marker_rows": 1}], ids=str)
def test_other_kinds_of_jpeg_too(options):
    pixels = load_sample_image("china.jpg")[:, 1:]
    usual, other = jpeg(pixels), jpeg(pixels, **options)
    assert usual.data != other.data
    assert apart(other, 128)[0] < 1.2


def segment(marker, contents):
    return b"\xff" + marker + (len(contents) + 2).to_bytes(2, "big") + contents


def test_the_orientation_is_found_behind_other_segments_and_in_xmp():
    """A comment may hold what would elsewhere mark the beginning of the pixels."""
    pixels = load_sample_image("flower.jpg")[:, 1:]
    behind = jpeg(pixels, orientation=6).data
    xmp = b'http://ns.adobe.com/xap/1.0/\0<x tiff:Orientation="6"/>'
    for data in (
        behind[:2] + segment(b"\xfe", b"\xff\xda") + behind[2:],
        behind[:2] + segment(b"\xe1", xmp) + jpeg(pixels).data[2:],
    ):
        assert apart(Encoded("photograph", data), 64)[0] < 2.5
        turned = decode_one(Encoded("photograph", data), 64, 3, Framing(fast=True))
        assert np.array_equal(turned, decode_one(jpeg(pixels, 6), 64, 3, Framing(fast=True)))


@pytest.mark.parametrize("fast", [False, True])
def test_a_picture_of_too_many_pixels_is_refused_before_it_is_decoded(fast):
    """20,000 by 20,000 by its header."""
    data = jpeg(np.zeros((48, 48, 3), dtype=np.uint8)).data
    large = data.replace(bytes([8, 0, 48, 0, 48, 3]), bytes([8, 78, 32, 78, 32, 3]))
    with pytest.raises(UserError, match="decompression bomb"):
        decode_one(Encoded("photograph", large), 64, 3, Framing(fast=fast))


@pytest.mark.parametrize("times", [1, 2, 4, 8])
def test_smaller_scales_are_of_the_whole_picture(times):
    """A picture that is so much larger than twice its size is decoded at a half, a quarter and an eighth."""
    pixels = np.full((64 * times, 64 * times, 3), 30, dtype=np.uint8)
    pixels[: 32 * times, 32 * times :] = (200, 100, 50)
    assert apart(jpeg(pixels), 32)[0] < 2.5


@pytest.mark.parametrize("suffix", [".png", ".webp"])
def test_other_formats_differ_by_their_resizing_alone(tmp_path, suffix):
    Image.fromarray(load_sample_image("china.jpg")[:, 1:]).save(tmp_path / f"a{suffix}")
    assert apart(tmp_path / f"a{suffix}", 128)[0] < 0.05


def test_colours_for_print_are_read_in_the_plain_way():
    file = io.BytesIO()
    Image.fromarray(load_sample_image("china.jpg")[:, 1:]).convert("CMYK").save(file, "JPEG")
    assert apart(Encoded("print", file.getvalue()), 128)[0] < 0.05


def test_a_damaged_picture_is_named():
    whole = jpeg(load_sample_image("china.jpg"))
    with pytest.raises(UserError, match="photograph cannot be decoded"):
        decode_one(Encoded(whole.name, whole.data[:20_000]), 64, 3, Framing(fast=True))


def test_it_has_a_cache_and_a_fingerprint_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setenv("GEN_EXPERIMENTS_CACHE", str(tmp_path / "cache"))
    write_pictures(tmp_path / "set", 20, size=(70, 50), suffix=".jpg")
    source = ImageFolder(str(tmp_path / "set"))
    plain, fast = (cached_split(source, "train", 16, Framing(fast=choice)) for choice in (False, True))
    assert (
        fast.fingerprint == decoded_as_read(source, "train", 16, 1, Framing(fast=True)).fingerprint != plain.fingerprint
    )
    for limit in (32, 0):
        data = ImageDataModule(source, size=16, fast_decoding=True, val_size=0, test_size=1, cache_limit=limit)
        train = data.split("train")
        assert np.array_equal(train.read(np.arange(19)).numpy(), fast.pixels[train.members])
    assert not np.array_equal(plain.pixels, fast.pixels)


@pytest.mark.parametrize("source", [Digits(), Edges(Digits()), MNIST("nowhere")], ids=["digits", "edges", "mnist"])
def test_what_reads_no_picture_files_refuses_it(source):
    name = "MNIST" if isinstance(source, MNIST) else "Digits"
    for option in ({"fast_decoding": True}, {"value_range": (0, 1)}):
        (key,) = option
        with pytest.raises(UserError, match=f"data.{key} is for picture files, and {name} has none: leave it out"):
            ImageDataModule(source, **option)


@pytest.mark.parametrize("channels", [1, 4])
def test_a_line_says_that_pictures_with_alpha_are_decoded_in_the_plain_way(tmp_path, capsys, channels):
    write_pictures(tmp_path / "set", 20, size=(70, 50), suffix=".jpg")
    data = ImageDataModule(ImageFolder(str(tmp_path / "set"), channels=channels), size=16, fast_decoding=True)
    data.setup("fit")
    said = "data.fast_decoding changes nothing: pictures with alpha are decoded in the plain way"
    assert (said in capsys.readouterr().out) == (channels == 4)


def test_a_library_that_is_missing_is_named(monkeypatch, tmp_path):
    write_pictures(tmp_path, 1)
    monkeypatch.setitem(sys.modules, "simplejpeg", None)
    with pytest.raises(UserError, match=r"pip install 'gen-experiments\[fast\]'"):
        ImageDataModule(ImageFolder(str(tmp_path)), fast_decoding=True)
