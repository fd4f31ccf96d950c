"""Pairs of pictures that differ in size: compared as they are seen, and brought to one size."""

import numpy as np
import pytest
from PIL import Image

from gen_experiments.data.framing import Framing
from gen_experiments.data.pair_folders import PairedFolders
from gen_experiments.errors import UserError


def one_pair(root, a, b):
    """Two folders of one black picture each, of these sizes."""
    for side, size in (("a", a), ("b", b)):
        (root / side).mkdir()
        Image.new("RGB", size).save(root / side / "1.png")
    return PairedFolders(str(root / "a"), str(root / "b"))


def test_pictures_of_a_pair_may_differ_in_size(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (8, 12, 3), dtype=np.uint8)
    for side, factor in (("a", 1), ("b", 2)):
        (tmp_path / side).mkdir()
        Image.fromarray(pixels.repeat(factor, axis=0).repeat(factor, axis=1)).save(tmp_path / side / "1.png")
    source = PairedFolders(str(tmp_path / "a"), str(tmp_path / "b"))
    pair = source.decode("train", 4, Framing(filter="box")).images[0]
    # The central square of A, of which four pixels become one.
    means = pixels[:, 2:10].reshape(4, 2, 4, 2, 3).mean((1, 3)).transpose(2, 0, 1)
    assert np.abs(pair[:3] - means).max() <= 1
    assert np.array_equal(pair[:3], pair[3:])


@pytest.mark.parametrize(
    ("a", "b", "alike"),
    [
        ((50, 33), (101, 66), True),  # halved, 50.5 and 33
        ((160, 91), (16, 9), True),
        ((16, 9), (160, 91), True),
        ((9, 16), (91, 160), True),
        ((8, 8), (8, 9), False),
        ((40, 20), (20, 40), False),
        ((32, 32), (64, 60), False),
    ],
)
def test_pictures_of_a_pair_have_one_proportion_but_for_rounding(tmp_path, a, b, alike):
    source = one_pair(tmp_path, a, b)
    if alike:
        assert source.decode("train", 8).images.shape == (1, 6, 8, 8)
    else:
        with pytest.raises(UserError, match=f"1.png has {a[0]}x{a[1]} pixels and .* {b[0]}x{b[1]}: .* proportions"):
            source.decode("train", 8)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".webp"])
def test_pictures_of_a_pair_are_compared_upright(tmp_path, suffix):
    picture, turned = Image.new("RGB", (20, 40)), Image.Exif()
    picture.paste("red", (0, 0, 20, 20))
    turned[274] = 6  # of a camera that was held upright: stored lying on its left side
    for side in "ab":
        (tmp_path / side).mkdir()
    picture.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "a" / f"1{suffix}", exif=turned)
    picture.save(tmp_path / "b" / "1.bmp")
    source = PairedFolders(str(tmp_path / "a"), str(tmp_path / "b"))
    a, b = source.decode("train", (40, 20)).images.reshape(2, 3, 40, 20).astype(int)
    assert abs(a - b).mean() < 3
    picture.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "b" / "1.bmp")
    with pytest.raises(UserError, match=r"1\.\w+ has 20x40 pixels and .*1\.bmp 40x20"):
        source.decode("train", 8)


def test_a_picture_that_no_memory_holds_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(UserError, match=r"a/1\.png cannot be decoded .*exceeds limit"):
        one_pair(tmp_path, (30, 30), (30, 30)).decode("train", 8)
