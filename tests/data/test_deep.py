"""Pictures of more than 8 bits with a stated range, .npy files, and 16 bits that are kept up to the losses."""

import hashlib

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_sample_image

from gen_experiments.data.cache import cached_split, decoded_as_read
from gen_experiments.data.codes import cached_codes
from gen_experiments.data.damage_parts import GaussianNoise
from gen_experiments.data.datamodule import ImageDataModule
from gen_experiments.data.framing import Framing, Place
from gen_experiments.data.pairs import Edges
from gen_experiments.data.picture_decoding import decode_one
from gen_experiments.data.sources import Digits, ImageFolder
from gen_experiments.errors import UserError
from gen_experiments.images import to_float
from pictures_on_disk import write_pictures, write_png16, write_tiff

# Below black, black, the middle and beyond white of the range [100, 300].
NUMBERS, RANGE, EIGHT, SIXTEEN = [[50, 100], [200, 400]], (100.0, 300.0), [[0, 0], [128, 255]], [[0, 0], [32768, 65535]]
WRITERS = {
    "float.tif": lambda path, a: Image.fromarray(a.astype(np.float32)).save(path),
    "16_bits.tif": lambda path, a: Image.fromarray(a.astype(np.uint16)).save(path),
    "32_bits.tif": lambda path, a: Image.fromarray(a.astype(np.int32)).save(path),
    "sign.tif": lambda path, a: write_tiff(path, a.astype(np.int16), sample_format=2),
    "16_bits.png": lambda path, a: Image.fromarray(a.astype(np.uint16)).save(path),
    "12_bits_as_16.pgm": lambda path, a: path.write_bytes(b"P5 2 2 65535\n" + a.astype(">u2").tobytes()),
    "colour.png": lambda path, a: write_png16(path, a.astype(np.uint16)[..., None].repeat(3, axis=2)),
    "floats.npy": lambda path, a: np.save(path, a.astype(np.float64)),
    "whole.npy": lambda path, a: np.save(path, a.astype(np.int32)),
    "one_channel.npy": lambda path, a: np.save(path, a.astype(np.uint16)[..., None]),
}


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("channels", [1, 3])
def test_a_stated_range_says_what_is_black_and_white(tmp_path, name, channels):
    WRITERS[name](tmp_path / name, np.array(NUMBERS))
    for depth, expected in ((8, EIGHT), (16, SIXTEEN)):
        made = decode_one(tmp_path / name, 2, channels, Framing(value_range=RANGE, depth=depth))
        assert made.dtype == (np.uint8 if depth == 8 else np.uint16)
        assert made.tolist() == [expected] * channels


def test_numbers_of_which_white_is_zero_are_turned_round(tmp_path):
    write_tiff(tmp_path / "a.tif", np.array(NUMBERS, dtype=np.uint16), white_is_zero=True)
    made = decode_one(tmp_path / "a.tif", 2, 1, Framing(value_range=RANGE, depth=16))
    assert made.tolist() == [[[65535, 65535], [32768, 0]]]


def test_pictures_of_8_bits_have_no_other_range(tmp_path):
    Image.fromarray(np.array([[0, 51], [102, 255]], dtype=np.uint8)).save(tmp_path / "a.png")
    np.save(tmp_path / "a.npy", np.array([[0, 51], [102, 255]], dtype=np.uint8))
    for name in ("a.png", "a.npy"):
        for framing in (Framing(), Framing(value_range=(0, 100))):
            assert decode_one(tmp_path / name, 2, 1, framing).tolist() == [[[0, 51], [102, 255]]]
        assert decode_one(tmp_path / name, 2, 1, Framing(depth=16)).tolist() == [[[0, 13107], [26214, 65535]]]


def test_16_bits_are_those_of_the_file(tmp_path):
    numbers = np.random.default_rng(0).integers(0, 65536, (5, 7, 4), dtype=np.uint16)
    for channels in (1, 2, 3, 4):
        path = tmp_path / f"{channels}.png"
        write_png16(path, numbers[..., :channels])
        made = decode_one(path, (5, 7), channels, Framing(depth=16))
        assert np.array_equal(made, numbers[..., :channels].transpose(2, 0, 1))


def test_what_is_transparent_in_16_bits_is_white_or_stays_so(tmp_path):
    numbers = np.full((2, 2, 4), 65535, dtype=np.uint16)
    numbers[0] = (65535, 0, 0, 0)
    numbers[1, 1, :3] = 30000
    write_png16(tmp_path / "a.png", numbers)
    assert decode_one(tmp_path / "a.png", 2, 3, Framing(depth=16))[0].tolist() == [[65535, 65535], [65535, 30000]]
    assert decode_one(tmp_path / "a.png", 2, 4, Framing(depth=16))[3].tolist() == [[0, 0], [65535, 65535]]


@pytest.mark.parametrize("crop", ["centre", "none", "pad"])
def test_resizing_in_floating_point_is_that_of_8_bits_but_finer(tmp_path, crop):
    Image.fromarray(load_sample_image("flower.jpg")).save(tmp_path / "flower.png")
    eight = decode_one(tmp_path / "flower.png", 64, 3, Framing(crop, "bilinear"))
    sixteen = decode_one(tmp_path / "flower.png", 64, 3, Framing(crop, "bilinear", depth=16))
    # Pillow rounds between the passes over rows and columns; by filters that overshoot it cuts off there, too.
    assert np.abs(sixteen / 257 - eight).max() < 1.1
    assert len(np.unique(sixteen)) > 400


@pytest.mark.parametrize("name", ["16_bits.png", "8_bits.png", "16_bits.npy"])
def test_the_part_that_is_drawn_is_that_of_the_place(tmp_path, name):
    path, ramp = tmp_path / name, np.arange(8 * 24, dtype=np.uint8).reshape(8, 24)
    numbers = ramp if name.startswith("8") else ramp.astype(np.uint16) * 257
    np.save(path, numbers) if name.endswith("npy") else Image.fromarray(numbers).save(path)
    framing = Framing("random", value_range=None if name.startswith("8") else (0.0, 65535.0), depth=16)
    for place, first in ((Place(0.5, 0.0), 0), (Place(0.5, 0.5), 8), (Place(0.5, 1.0), 16)):
        made = decode_one(path, 8, 1, framing, place)
        assert np.array_equal(made[0], ramp[:, first : first + 8].astype(np.uint16) * 257)


def write_deep(folder, count=20, kind="png"):
    """Smooth pictures, all of whose numbers lie within a 256th of the scale."""
    folder.mkdir(parents=True)
    for number in range(count):
        array = (30000 + number + 10 * np.arange(16)[:, None] + np.arange(16)).astype(np.uint16)
        path = folder / f"{number:02d}.{kind}"
        np.save(path, array) if kind == "npy" else Image.fromarray(array).save(path)


@pytest.mark.parametrize("limit", [32, 0])
@pytest.mark.parametrize("kind", ["png", "npy"])
def test_training_and_validation_see_16_bits_and_files_and_scores_8(tmp_path, kind, limit):
    write_deep(tmp_path / "in", kind=kind)
    source = ImageFolder(str(tmp_path / "in"), channels=1, arrays=True)
    options = {"size": 16, "batch_size": 4, "val_size": 4, "test_size": 4, "cache_limit": limit, "workers": 1}
    data = ImageDataModule(source, depth=16, value_range=(0, 65535) if kind == "npy" else None, **options)
    for loader, split in ((data.train_dataloader(), "train"), (data.val_dataloader(), "val")):
        batch = next(iter(loader))
        images = data.on_after_batch_transfer(batch, 0).images
        names = data.split(split).members[batch.indices.numpy()]
        expected = 30000 + names[:, None, None] + 10 * np.arange(16)[:, None] + np.arange(16)
        assert batch.images.dtype == torch.uint16
        torch.testing.assert_close(images[:, 0].double(), torch.tensor(expected / 32767.5 - 1), atol=1e-6, rtol=0)
    read = data.split("train").read(np.arange(3))
    assert read.dtype == torch.uint8
    assert set(read.unique().tolist()) == {117}  # 30000 / 257 is 116.7
    assert data.split("train").kept(np.arange(3)).dtype == torch.uint16


def test_the_sources_of_a_split_are_those_of_its_validation_with_16_bits_too(tmp_path):
    write_deep(tmp_path / "in")
    source, noise = ImageFolder(str(tmp_path / "in"), channels=1), GaussianNoise((0.1, 0.1))
    data = ImageDataModule(source, 16, batch_size=4, val_size=4, test_size=4, depth=16, damage=[noise])
    (batch,) = data.val_dataloader()
    assert torch.equal(data.source_images("val", np.arange(4)), data.on_after_batch_transfer(batch, 0).source_images)


def test_fingerprints_tell_ranges_and_depths_apart(tmp_path):
    write_deep(tmp_path / "in")
    source = ImageFolder(str(tmp_path / "in"), channels=1)
    framings = [Framing(), Framing(depth=16), Framing(value_range=(0, 65535)), Framing(value_range=(0, 40000))]
    found = [cached_split(source, "train", 16, framing).fingerprint for framing in framings]
    assert len(set(found)) == 4
    assert found[0] == hashlib.sha256(f"2|ImageFolder|{source.key('train')}|train|16".encode()).hexdigest()
    assert found == [decoded_as_read(source, "train", 16, 1, framing).fingerprint for framing in framings]


def test_codes_are_of_the_depth_that_is_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("GEN_EXPERIMENTS_CACHE", str(tmp_path / "cache"))
    write_deep(tmp_path / "in", 3)
    images = cached_split(ImageFolder(str(tmp_path / "in"), channels=1), "train", 16, Framing(depth=16))
    codes = cached_codes(
        images,
        lambda x: ((x[:, 0, 0, :1] + 1) * 32767.5).round().long(),
        encoder="any",
        length=1,
        num_codes=65536,
        device=torch.device("cpu"),
    )
    assert codes[:, 0].tolist() == [30000, 30001, 30002]


def test_both_ends_of_16_bits_fall_on_the_ends():
    ends = torch.from_numpy(np.array([0, 65535], dtype=np.uint16))
    assert to_float(ends).tolist() == [-1.0, 1.0]


def test_arrays_are_pictures_only_where_they_are_asked_for(tmp_path):
    write_pictures(tmp_path / "in", 3, size=(8, 8), mode="L")
    before = ImageFolder(str(tmp_path / "in"), channels=1).key("train")
    np.save(tmp_path / "in" / "labels.npy", np.zeros((8, 8), dtype=np.uint8))
    assert ImageFolder(str(tmp_path / "in"), channels=1).key("train") == before
    assert len(ImageFolder(str(tmp_path / "in"), channels=1, arrays=True).pictures("train")) == 4


def test_two_stains_are_two_channels(tmp_path):
    stains = np.random.default_rng(0).integers(0, 4096, (6, 6, 2)).astype(np.uint16)
    np.save(tmp_path / "a.npy", stains)
    made = decode_one(tmp_path / "a.npy", 6, 2, Framing(value_range=(0, 4095), depth=16))
    assert np.array_equal(made, np.rint(stains / 4095 * 65535).astype(np.uint16).transpose(2, 0, 1))


REFUSED = {
    "no_range.npy": (lambda path: np.save(path, np.ones((2, 2), np.float32)), "float32: say by data.value_range"),
    "shape.npy": (lambda path: np.save(path, np.ones((2, 2, 5), np.uint8)), r"an array of shape \(2, 2, 5\)"),
    "line.npy": (lambda path: np.save(path, np.ones(4, np.uint8)), r"an array of shape \(4,\)"),
    "stains.npy": (lambda path: np.save(path, np.ones((2, 2, 2), np.uint8)), "set data.source.channels=2"),
    "complex.npy": (lambda path: np.save(path, np.ones((2, 2), complex)), "complex128, which are no numbers"),
    "pickle.npy": (lambda path: np.save(path, np.array([[{}]]), allow_pickle=True), "cannot be decoded"),
    "cut.npy": (lambda path: path.write_bytes(b"\x93NUMPY"), "cannot be decoded"),
    "nan.npy": (lambda path: np.save(path, np.array([[np.nan, 1]])), "not all finite"),
    "colour.tif": (lambda path: write_tiff(path, np.full((2, 2, 3), 9999, np.uint16)), "from PNG and .npy files"),
    "dark.png": (lambda path: write_png16(path, np.full((2, 2, 3), 4000)), "value_range"),
    "unknown.tif": (lambda path: Image.fromarray(np.full((2, 2), 1000, np.int32)).save(path), "value_range"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_no_one_says_is_not_guessed(tmp_path, name):
    write, message = REFUSED[name]
    framing = Framing(depth=16, value_range=(0, 1) if name.startswith("nan") else None)
    write(tmp_path / name)
    with pytest.raises(UserError, match=message) as refusal:
        decode_one(tmp_path / name, 2, 1, framing)
    assert str(refusal.value).startswith(str(tmp_path / name))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Framing(value_range=(5, 5)), r"must be \[black, white\], the first below the second, not \[5, 5\]"),
        (lambda: Framing(fast=True, depth=16), "fast_decoding is for pictures of 8 bits"),
        (lambda: ImageDataModule(Digits(), value_range=(0, 1)), "data.value_range is for picture files"),
        (lambda: ImageDataModule(Edges(), depth=16), "data.depth=16 is for picture files"),
    ],
)
def test_settings_that_mean_nothing_are_refused(build, message):
    with pytest.raises(UserError, match=message):
        build()
