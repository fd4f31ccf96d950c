"""Held-out images that are also among the training images."""

import shutil

import numpy as np
import pytest

from gen_experiments.data import repetitions
from gen_experiments.data.datamodule import ImageDataModule
from gen_experiments.data.sources import Decoded, ImageFolder, Source
from gen_experiments.data.sources.base import PictureSource
from pictures_on_disk import write_pictures

pytestmark = pytest.mark.usefixtures("cache")
SAID = "also among the training images, pixel by pixel: "


def said(data, capsys):
    data.setup("fit")
    return [line.removeprefix(SAID) for line in capsys.readouterr().out.splitlines() if line.startswith(SAID)]


@pytest.fixture
def folder(tmp_path):
    """Three splits of different pictures, with the folder of one."""
    for seed, split in enumerate(("train", "val", "test")):
        write_pictures(tmp_path / "set" / split, 5, seed=seed)
    return tmp_path / "set"


def test_copies_of_training_pictures_are_named_for_each_split(folder, capsys):
    shutil.copy(folder / "train" / "002.png", folder / "val" / "x y.png")
    for number in range(4):
        shutil.copy(folder / "train" / "001.png", folder / "test" / f"copy{number}.png")
    shutil.copy(folder / "val" / "000.png", folder / "test" / "of_val.png")  # no training picture
    assert said(ImageDataModule(ImageFolder(str(folder)), size=8), capsys) == [
        "1 of val (val/x y.png); 4 of test (test/copy0.png, test/copy1.png, test/copy2.png, …)"
    ]


def test_copies_in_no_folder_have_their_whole_names(folder, capsys):
    class Listed(PictureSource):
        channels, num_classes = 3, None

        def splits(self):
            return {"train", "val", "test"}

        def key(self, split):
            return "listed"

        def pictures(self, split):
            return sorted((folder / split).iterdir())

        def labels(self, split):
            return None

    shutil.copy(folder / "train" / "002.png", folder / "val" / "same.png")
    assert said(ImageDataModule(Listed(), size=8), capsys) == [f"1 of val ({folder}/val/same.png)"]


def test_nothing_is_said_of_different_pictures(folder, capsys):
    shutil.copy(folder / "train" / "002.png", folder / "train" / "twice.png")
    assert said(ImageDataModule(ImageFolder(str(folder)), size=8), capsys) == []


def test_one_pixel_makes_a_difference(capsys):
    class Almost(Source):
        channels, num_classes = 1, None

        def splits(self):
            return {"train", "test"}

        def key(self, split):
            return "almost"

        def decode(self, split, size):
            images = np.zeros((3, 1, size, size), dtype=np.uint8)
            if split == "test":
                images[0, 0, -1, -1] = images[2, 0, 0, 0] = 1
            return Decoded(images, None)

    assert said(ImageDataModule(Almost(), size=4, val_size=1), capsys) == ["1 of val; 1 of test"]


def test_pictures_held_out_of_train_are_named_too(tmp_path, capsys):
    train = tmp_path / "set" / "train"
    write_pictures(train, 20)
    for number in range(20):
        shutil.copy(train / f"{number:03d}.png", train / f"{number:03d}b.png")
    write_pictures(tmp_path / "set" / "test", 2, seed=1)
    data = ImageDataModule(ImageFolder(str(tmp_path / "set")), size=8, val_size=3)
    [line] = said(data, capsys)
    names = [str(data.source.pictures("train")[i].name) for i in data.split("val").members]
    twins = [name for name in names if (name[:3] + ".png" in names) + (name[:3] + "b.png" in names) == 1]
    assert line == f"{len(twins)} of val ({', '.join(f'train/{name}' for name in twins)})"


@pytest.mark.parametrize("how", ["as read", "large"])
def test_pictures_that_are_not_in_memory_for_long_are_not_compared(folder, capsys, monkeypatch, how):
    shutil.copy(folder / "train" / "002.png", folder / "val" / "same.png")
    if how == "large":  # 16 pictures of 192 bytes
        monkeypatch.setattr(repetitions, "MOST_BYTES", 16 * 192 - 1)
    data = ImageDataModule(ImageFolder(str(folder)), size=8, cache_limit=0 if how == "as read" else 8)
    assert said(data, capsys) == []
    monkeypatch.setattr(repetitions, "MOST_BYTES", 16 * 192)
    assert len(said(ImageDataModule(ImageFolder(str(folder)), size=8), capsys)) == 1
