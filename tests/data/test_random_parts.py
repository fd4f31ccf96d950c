"""The parts of pictures that are drawn anew for each epoch."""

import itertools

import numpy as np
import pytest
import torch
from PIL import Image
from test_framing import HEIGHT, module, pixels

from conftest import SHORT, SMALL_PRIOR
from gen_experiments.data.datamodule import ImageDataModule
from gen_experiments.data.framing import Place
from gen_experiments.data.sources import ImageFolder
from pictures_on_disk import write_pictures


@pytest.mark.parametrize(("row", "column"), [(0, 0), (7, 23), (30, 30)])
def test_a_scale_makes_the_random_crops_of_pix2pix(photograph, row, column):
    # https://arxiv.org/abs/1611.07004, 6.2: resized to 286 pixels, of which 256 are kept.
    Image.open(photograph).crop((100, 50, 356, 306)).save(photograph)
    resized = np.array(Image.open(photograph).resize((286, 286), Image.Resampling.BICUBIC))
    kept = pixels(photograph, 256, Place(row / 30, column / 30, 256 / 286), crop="random")
    assert np.abs(kept.astype(int) - resized[row : row + 256, column : column + 256]).max() <= 1


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


def firsts(loader, count):
    """The first column and the number of each image of so many batches."""
    batches = itertools.chain.from_iterable(itertools.repeat(loader))
    return [
        [(round(int(image[0, 0, 0]) / 10, 1), int(number)) for image, number in zip(*batch_of, strict=True)]
        for batch_of in ((batch.images, batch.indices) for batch in itertools.islice(batches, count))
    ]


@pytest.mark.parametrize(
    ("options", "area", "kept"),
    [
        ({}, "", "other pixels: decoded once, "),
        ({"crop_scale": (0.64, 1.0), "depth": 16}, " to 0.64 ... 1 of the largest area", " of 16 bits a channel in "),
        ({"cache_limit": 0}, "", "other pixels: decoded as they are read, by 1 thread of each process, as "),
    ],
)
def test_which_pixels_are_cropped_at_random_is_said(ramps, capsys, options, area, kept):
    module(ramps, **options).setup("fit")
    lines = capsys.readouterr().out.splitlines()
    said = f"training pixels: cropped at random{area}, decoded as they are read, by 1 thread of each process"
    assert lines[-2] == said
    assert kept in lines[-1]


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


def test_random_parts_are_cut_out_of_what_was_decoded_before_the_start(ramps, tmp_path, monkeypatch):
    monkeypatch.setenv("GEN_EXPERIMENTS_CACHE", str(tmp_path / "cache"))
    data = module(ramps)
    data.prepare_data()
    kept = {path.name for path in (tmp_path / "cache" / "images").iterdir()}
    list(data.train_dataloader())
    list(data.val_dataloader())
    assert {path.name for path in (tmp_path / "cache" / "images").iterdir()} == kept
