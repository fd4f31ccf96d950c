"""What is kept of pictures of other proportions, and by which filter they are resized."""

import hashlib
import itertools

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from sklearn.datasets import load_sample_image
from test_own_source import IMAGES, LABELS, Mine

from conftest import SHORT, SMALL, SMALL_PRIOR
from gen_experiments.data.cache import decoded, decoded_as_read
from gen_experiments.data.datamodule import ImageDataModule
from gen_experiments.data.framing import Framing, Place
from gen_experiments.data.pair_folders import PairedFolders
from gen_experiments.data.pairs import Edges
from gen_experiments.data.pictures import decode_one
from gen_experiments.data.sources import Digits, ImageFolder
from gen_experiments.errors import UserError
from pictures_on_disk import write_pictures

HEIGHT, LONG = 8, 24


@pytest.fixture
def photograph(tmp_path):
    Image.fromarray(load_sample_image("china.jpg")).save(tmp_path / "photograph.png")
    return tmp_path / "photograph.png"


@pytest.fixture
def ramps(tmp_path):
    """A folder of 12 pictures of 8 × 24, the value of a pixel ten times its column."""
    (tmp_path / "ramps").mkdir()
    ramp = np.tile(10 * np.arange(LONG, dtype=np.uint8), (HEIGHT, 1))
    for number in range(12):
        Image.fromarray(ramp).save(tmp_path / "ramps" / f"{number:02d}.png")
    return tmp_path / "ramps"


def pixels(path, size, *options, **framing):
    return decode_one(path, size, 3, Framing(**framing), *options).transpose(1, 2, 0)


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


@pytest.mark.parametrize(("row", "column"), [(0, 0), (7, 23), (30, 30)])
def test_a_scale_makes_the_random_crops_of_pix2pix(photograph, row, column):
    # https://arxiv.org/abs/1611.07004, 6.2: resized to 286 pixels, of which 256 are kept.
    Image.open(photograph).crop((100, 50, 356, 306)).save(photograph)
    resized = np.array(Image.open(photograph).resize((286, 286), Image.Resampling.BICUBIC))
    kept = pixels(photograph, 256, Place(row / 30, column / 30, 256 / 286), crop="random")
    assert np.abs(kept.astype(int) - resized[row : row + 256, column : column + 256]).max() <= 1


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


def test_random_parts_are_as_large_as_those_of_torchvision(tmp_path):
    from torchvision.transforms import RandomResizedCrop

    side = 240
    rows, columns = np.mgrid[:side, :side].astype(np.uint8)
    (tmp_path / "in").mkdir()
    for number in range(12):
        Image.fromarray(np.stack([rows, columns, columns], 2)).save(tmp_path / "in" / f"{number:02d}.png")
    options = {"size": HEIGHT, "batch_size": 8, "val_size": 2, "test_size": 2, "workers": 1, "filter": "box"}
    data = ImageDataModule(ImageFolder(str(tmp_path / "in")), crop="random", crop_scale=(0.25, 1.0), **options)
    batches = itertools.islice(itertools.chain.from_iterable(itertools.repeat(data.train_dataloader())), 60)
    seen = torch.cat([batch.images for batch in batches]).double()
    # Between the middles of the outer pixels lie seven eighths of a part.
    spans = seen[:, 0, -1, 0] - seen[:, 0, 0, 0], seen[:, 1, 0, -1] - seen[:, 1, 0, 0]
    height, width = ((8 / 7 * span).numpy() for span in spans)
    assert np.abs(height - width).max() < 3
    torch.manual_seed(0)
    theirs = [RandomResizedCrop.get_params(torch.zeros(1, side, side), [0.25, 1], [1, 1])[2:] for _ in range(3000)]
    ranks = np.linspace(0.02, 0.98, 25)
    expected = np.quantile(np.prod(theirs, axis=1), ranks)
    # Of 480 the largest distance between the quantiles of a uniform share is 0.06 with a chance of 5%.
    assert np.abs(np.quantile(height * width, ranks) - expected).max() / side**2 < 0.06 * 0.75 + 0.02
    for first, length in ((seen[:, 0, 0, 0].numpy(), height), (seen[:, 1, 0, 0].numpy(), width)):
        small = length < 200
        at = (first - length / 16)[small] / (side - length)[small]
        assert at.min() > -0.05
        assert at.max() < 1.05
        assert abs(at.mean() - 0.5) < 0.06
        assert abs(at.std() - 12**-0.5) < 0.05
    # What is compared is the whole.
    plain = ImageDataModule(ImageFolder(str(tmp_path / "in")), **options)
    assert data.facts() == plain.facts()
    for split in ("train", "val"):
        assert torch.equal(data.split(split).read(np.arange(2)), plain.split(split).read(np.arange(2)))


def module(folder, crop="random", **options):
    options = {"size": HEIGHT, "batch_size": 4, "val_size": 2, "test_size": 2, "workers": 1} | options
    return ImageDataModule(ImageFolder(str(folder), channels=1), crop=crop, **options)


def firsts(loader, count):
    """The first column and the number of each image of so many batches."""
    batches = itertools.chain.from_iterable(itertools.repeat(loader))
    return [
        [(round(int(image[0, 0, 0]) / 10, 1), int(number)) for image, number in zip(*batch_of, strict=True)]
        for batch_of in ((batch.images, batch.indices) for batch in itertools.islice(batches, count))
    ]


@pytest.mark.parametrize("limit", [32, 0])
def test_training_sees_another_part_in_each_epoch_and_validation_the_middle(ramps, limit):
    data = module(ramps, cache_limit=limit)
    seen = firsts(data.train_dataloader(), 40)
    places = {number: [at for batch in seen for at, of in batch if of == number] for number in range(8)}
    # 20 epochs of 8 images: no image stays where it was, and all of the room of 16 columns is used.
    assert all(len(set(of_image)) > 8 for of_image in places.values())
    every = np.concatenate(list(places.values()))
    assert every.min() < 1.5
    assert every.max() > 14.5
    assert abs(every.mean() - 8) < 1
    assert firsts(module(ramps, cache_limit=limit).train_dataloader(), 40) == seen
    for loader in (data.val_dataloader(), data.test_dataloader()):
        assert all(at == 8 for batch in firsts(loader, 1) for at, _ in batch)
    assert (data.split("train").read(np.arange(8))[:, 0, 0, 0] == 80).all()


@pytest.mark.parametrize("scale", [(1.0, 1.0), (0.2, 0.8)])
def test_random_parts_are_taken_up_in_the_middle_of_an_epoch(ramps, scale):
    whole = firsts(module(ramps, crop_scale=scale).train_dataloader(), 9)
    before, after = (module(ramps, crop_scale=scale, workers=workers).train_dataloader() for workers in (1, 3))
    assert firsts(before, 3) == whole[:3]
    after.load_state_dict(before.state_dict())
    assert firsts(after, 6) == whole[3:]


def test_fingerprints_are_those_of_the_pixels(ramps):
    source = ImageFolder(str(ramps), channels=1)
    usual = decoded(source, "train", HEIGHT).fingerprint
    # As runs from before there was a choice wrote it.
    assert usual == hashlib.sha256(f"2|ImageFolder|{source.key('train')}|train|8".encode()).hexdigest()
    others = [Framing(crop="none"), Framing(crop="pad"), Framing(filter="lanczos"), Framing("none", "box")]
    found = [decoded(source, "train", HEIGHT, framing).fingerprint for framing in others]
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


def test_a_prior_learns_the_codes_of_the_parts_that_are_drawn(experiment, checkpoints, tmp_path, monkeypatch):
    monkeypatch.setenv("GEN_EXPERIMENTS_CACHE", str(tmp_path / "cache"))
    write_pictures(tmp_path / "set", 40, size=(60, 40), mode="L")
    data = ["--data.source=ImageFolder", f"--data.source.root={tmp_path / 'set'}", "--data.source.channels=1"]
    arguments = ["fit", *SMALL_PRIOR, *SHORT, *data, f"--model.vqvae={checkpoints['vqvae']}"]
    arguments += ["--evaluation.extractor=null", "--trainer.max_steps=2"]
    encoded = []
    for crop in ("random", "centre"):
        assert experiment(*arguments, f"--data.crop={crop}", f"--run.name={crop}") == 0
        encoded.append(len(list((tmp_path / "cache" / "codes").glob("*.npy"))))
    # Of random parts only the codes of the validation are kept.
    assert encoded == [1, 2]


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


def test_random_parts_are_cut_out_of_what_was_decoded_before_the_start(ramps, tmp_path, monkeypatch):
    monkeypatch.setenv("GEN_EXPERIMENTS_CACHE", str(tmp_path / "cache"))
    data = module(ramps)
    data.prepare_data()
    kept = {path.name for path in (tmp_path / "cache" / "images").iterdir()}
    list(data.train_dataloader())
    list(data.val_dataloader())
    assert {path.name for path in (tmp_path / "cache" / "images").iterdir()} == kept
