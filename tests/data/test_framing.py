"""What is kept of pictures of other proportions, and by which filter they are resized."""

import hashlib

import numpy as np
import pytest
from PIL import Image, ImageOps
from test_own_source import IMAGES, LABELS, Mine

from conftest import SHORT, SMALL
from gen_experiments.data.cache import cached_split, decoded_as_read
from gen_experiments.data.datamodule import ImageDataModule
from gen_experiments.data.framing import Framing, Place
from gen_experiments.data.pair_folders import PairedFolders
from gen_experiments.data.pairs import Edges
from gen_experiments.data.picture_decoding import decode_one
from gen_experiments.data.sources import Digits, ImageFolder
from gen_experiments.errors import UserError
from pictures_on_disk import write_pictures

HEIGHT, LONG = 8, 24


def pixels(path, size, *options, **framing):
    return decode_one(path, size, 3, Framing(**framing), *options).transpose(1, 2, 0)


def module(folder, crop="random", **options):
    options = {"size": HEIGHT, "batch_size": 4, "val_size": 2, "test_size": 2, "workers": 1} | options
    return ImageDataModule(ImageFolder(str(folder), channels=1), crop=crop, **options)


@pytest.mark.parametrize("size", [64, (48, 96)])
def test_what_nobody_chose_is_what_it_always_was(photograph, size):
    wanted = (size, size) if isinstance(size, int) else size[::-1]
    expected = ImageOps.fit(Image.open(photograph), wanted, Image.Resampling.BICUBIC)
    assert np.array_equal(pixels(photograph, size), np.array(expected))


@pytest.mark.parametrize("name", ["nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"])
def test_each_filter_is_pillows_of_that_name(photograph, name):
    method, picture = Image.Resampling[name.upper()], Image.open(photograph)
    assert np.array_equal(pixels(photograph, (48, 96), filter=name), np.array(ImageOps.fit(picture, (96, 48), method)))
    assert np.array_equal(
        pixels(photograph, (48, 96), filter=name, crop="none"), np.array(picture.resize((96, 48), method))
    )


def test_padding_keeps_all_of_a_picture_on_a_white_ground(tmp_path):
    Image.new("RGB", (40, 10), (255, 0, 0)).save(tmp_path / "red.png")
    padded = pixels(tmp_path / "red.png", 16, crop="pad")
    # 40 × 10 become 16 × 4, in rows 6 to 9.
    assert (padded[6:10] == (255, 0, 0)).all()
    assert (padded[:6] == 255).all()
    assert (padded[10:] == 255).all()


def test_a_place_says_which_part_is_kept(ramps):
    path = ramps / "00.png"
    for place, first in ((Place(0.5, 0.0), 0), (Place(0.5, 0.5), 8), (Place(0.5, 1.0), 16)):
        assert pixels(path, HEIGHT, place, crop="random")[0, :, 0].tolist() == [
            10 * (first + column) for column in range(HEIGHT)
        ]


def test_a_scale_says_how_much_of_the_largest_part_is_kept(tmp_path, ramps):
    for place, first in ((Place(0.5, 0.0, 0.5), 0), (Place(0.5, 0.5, 0.5), 10), (Place(0.5, 1.0, 0.5), 20)):
        # Four columns of the eight that fit, each twice.
        expected = [10 * (first + column // 2) for column in range(HEIGHT)]
        assert pixels(ramps / "00.png", HEIGHT, place, crop="random", filter="nearest")[0, :, 0].tolist() == expected
    square = np.arange(64, dtype=np.uint8).reshape(8, 8)
    Image.fromarray(square).save(tmp_path / "square.png")
    kept = pixels(tmp_path / "square.png", 8, Place(1.0, 0.0, 0.25), crop="random", filter="nearest")[..., 0]
    assert np.array_equal(kept, square[6:, :2].repeat(4, 0).repeat(4, 1))


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_beyond_the_picture_is_ground_on_the_sides_that_the_place_says(tmp_path, channels, depth):
    # Of 4 rows and 8 columns; twice the largest square is one of 8, of which the picture fills all columns.
    square = np.arange(32, dtype=np.uint8).reshape(4, 8)
    Image.fromarray(square).save(tmp_path / "wide.png")
    framing = Framing("random", "nearest", crop_scale=(1.0, 4.0), depth=depth)
    for down, top in ((0.0, 0), (0.5, 2), (1.0, 4)):
        kept = decode_one(tmp_path / "wide.png", 8, channels, framing, Place(down, 0.3, 2.0))
        kept = kept if depth == 8 else kept // 257
        alpha = kept[3] if channels == 4 else None
        expected = np.full((8, 8), 255)
        expected[top : top + 4] = square
        for plane in kept[:3]:
            shown = plane if alpha is None else np.where(alpha == 0, 255, plane)
            assert np.array_equal(shown, expected)
        if alpha is not None:
            assert (alpha == np.where(expected == 255, 0, 255)).all()
    # A square and a half of it: four of its columns, no more, and rows of ground above alone.
    kept = decode_one(tmp_path / "wide.png", 6, channels, framing, Place(1.0, 1.0, 1.5))[0]
    kept = kept if depth == 8 else kept // 257
    assert np.array_equal(kept[2:], square[:, 2:])


def test_fingerprints_are_those_of_the_pixels(ramps):
    source = ImageFolder(str(ramps), channels=1)
    usual = cached_split(source, "train", HEIGHT).fingerprint
    # As runs from before there was a choice wrote it.
    assert usual == hashlib.sha256(f"2|ImageFolder|{source.key('train')}|train|8".encode()).hexdigest()
    others = [Framing(crop="none"), Framing(crop="pad"), Framing(filter="lanczos"), Framing("none", "box")]
    found = [cached_split(source, "train", HEIGHT, framing).fingerprint for framing in others]
    assert len({usual, *found}) == 5
    assert found == [decoded_as_read(source, "train", HEIGHT, 1, framing).fingerprint for framing in others]
    # Where nothing is drawn a random crop is the centre.
    kept = [module(ramps, crop).facts()["train"]["fingerprint"] for crop in ("centre", "random")]
    assert kept[0] == kept[1]


@pytest.mark.parametrize(
    ("crop", "name", "place"),
    [
        ("none", "bilinear", None),
        ("centre", "bilinear", None),
        ("random", "bicubic", Place(0.5, 0.2)),
        ("random", "bicubic", Place(0.0, 0.0, 0.45)),
    ],
)
def test_the_fast_way_knows_them_too(photograph, crop, name, place):
    path = photograph.with_suffix(".jpg")
    Image.open(photograph).crop((1, 0, 640, 427)).save(path, quality=90)
    plain, fast = (pixels(path, (64, 80), place, crop=crop, filter=name, fast=fast) for fast in (False, True))
    assert np.abs(plain.astype(int) - fast).mean() < 3


def test_arrays_and_pairs_are_framed_as_files_are(tmp_path):
    wide = ImageDataModule(Digits(), size=(8, 16), crop="none", filter="nearest").split("train")
    plain = ImageDataModule(Digits(), size=8).split("train")
    assert np.array_equal(wide.read(np.arange(5)), plain.read(np.arange(5)).numpy().repeat(2, axis=3))
    for side in "ab":
        write_pictures(tmp_path / side, 4, size=(20, 10))
    data = ImageDataModule(
        PairedFolders(str(tmp_path / "a"), str(tmp_path / "b")), size=20, crop="pad", val_size=0, test_size=1
    )
    padded = data.split("test").read(np.arange(1))[0]
    assert (padded[:, :5] == 255).all()
    assert (padded[:, 15:] == 255).all()
    assert not (padded[:, 5:15] == 255).all()


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: ImageDataModule(Digits(), crop="random"), "data.crop=random is for picture files .* Digits"),
        (lambda: ImageDataModule(Mine(IMAGES, LABELS), crop="none"), "Mine brings its images to their size itself"),
        (lambda: ImageDataModule(Edges(Mine(IMAGES, LABELS)), filter="box"), "Mine brings its images to their size"),
        (lambda: Framing(crop="pad", fast=True), "fast_decoding knows the crops centre, random and none"),
        (
            lambda: Framing(crop_scale=(0.5, 1.0)),
            "data.crop_scale is of random crops, not of centre: set data.crop=ran",
        ),
        (
            lambda: Framing("random", crop_scale=(0.0, 1.0)),
            r"must be \[least, most\], shares of an area in \(0, 4\], not",
        ),
        (lambda: Framing("random", crop_scale=(0.9, 0.5)), r"not \[0.9, 0.5\]"),
        (lambda: Framing("random", crop_scale=(0.5, 4.5)), r"not \[0.5, 4.5\]"),
        (
            lambda: Framing("random", fast=True, crop_scale=(1.0, 1.5)),
            "fast_decoding knows no crops beyond the picture",
        ),
        (lambda: Framing(filter="lanczos", fast=True), "the filters bilinear and bicubic, not centre with lanczos"),
    ],
)
def test_what_cannot_be_framed_so_is_refused(build, message):
    with pytest.raises(UserError, match=message):
        build()


def test_commands_frame_the_pictures_of_a_folder_as_the_run_did(experiment, tmp_path):
    write_pictures(tmp_path / "in", 40, size=(60, 20), mode="L")
    data = ["--data.source=ImageFolder", f"--data.source.root={tmp_path / 'in'}", "--data.source.channels=1"]
    data += ["--data.size=16", "--data.crop=none", "--data.filter=box", "--evaluation.extractor=null"]
    assert experiment("fit", *SMALL["vqvae"], *SHORT, *data, "--trainer.max_steps=1") == 0
    assert (
        experiment(
            "reconstruct",
            tmp_path / "runs" / "vqvae" / "version_0" / "checkpoints" / "last.ckpt",
            f"--images={tmp_path / 'in'}",
        )
        == 0
    )
    sheet = np.array(Image.open(tmp_path / "reconstructions.png"))
    expected = Image.open(tmp_path / "in" / "000.png").resize((16, 16), Image.Resampling.BOX)
    assert np.array_equal(sheet[2:18, 2:18], np.array(expected))


def test_a_command_line_names_the_policy(experiment, capsys, ramps):
    arguments = ["fit", "--data.source=ImageFolder", f"--data.source.root={ramps}", "--data.crop=centered"]
    assert experiment(*arguments) != 0
    assert "crop" in capsys.readouterr().err
