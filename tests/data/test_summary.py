"""What is said of the data before the first step."""

import numpy as np
import pytest

from conftest import SHORT, SMALL, SMALL_PRIOR
from gen_experiments.data.datamodule import ImageDataModule
from gen_experiments.data.sources import MNIST, Decoded, Digits, ImageFolder, Source
from pictures_on_disk import write_mnist, write_pictures

pytestmark = pytest.mark.usefixtures("cache")


@pytest.fixture
def said(capsys):
    """The lines that a data module says when a fit is set up; nothing is said for other ends."""

    def run(data):
        for stage in ("validate", "test", "predict"):
            data.setup(stage)
        assert capsys.readouterr().out == ""
        data.setup("fit")
        return capsys.readouterr().out.splitlines()

    return run


def test_held_out_images_are_no_longer_training_images(said):
    data = ImageDataModule(Digits(), size=8, val_size=0.2, test_size=100)
    counts = np.bincount(data.split("train").labels(np.arange(1338)).numpy())
    assert said(data) == [
        "images: 1797 of 8x8 pixels, grey, from Digits",
        f"classes: 10 (training images: {', '.join(f'{name} {count}' for name, count in enumerate(counts))})",
        "splits: train 1338 (the source's own, the rest), val 359 (held out of train by data.val_size=0.2), "
        "test 100 (held out of train by data.test_size=100)",
    ]


def test_validation_on_the_training_images_counts_them_once(said, tmp_path):
    write_mnist(tmp_path)
    images, _, splits = said(ImageDataModule(MNIST(str(tmp_path)), size=28, val_size=0))
    assert images == f"images: 50 of 28x28 pixels, grey, from MNIST in {tmp_path}"
    assert splits == (
        "splits: train 40 (the source's own), val 40 (the training images, as data.val_size=0), "
        "test 10 (the source's own)"
    )


def test_what_is_passed_over_is_named(said, tmp_path):
    root = tmp_path / "set"
    for seed, (folder, count) in enumerate((("train/cats", 3), ("train/dogs", 2), ("Valid/dogs", 1), ("test", 4))):
        write_pictures(root / folder, count, seed=seed)
    for number in range(5):
        (root / "train" / "cats" / f"._{number}.png").write_bytes(b"")
    for number in range(3):
        (root / f"Thumbs{number}.db").write_bytes(b"")
    assert said(ImageDataModule(ImageFolder(str(root)), size=8)) == [
        f"images: 10 of 8x8 pixels, RGB, from ImageFolder in {root}",
        "classes: 2 (training images: cats 3, dogs 2)",
        f"splits: train 5 (folder {root}/train), val 1 (folder {root}/Valid), "
        f"test 4 (folder {root}/test, without labels)",
        "passed over: 5 hidden (train/cats/._0.png, train/cats/._1.png, train/cats/._2.png, …); "
        "3 no picture by their ending (Thumbs0.db, Thumbs1.db, Thumbs2.db)",
        f"pixels: decoded once, 0.00183 MiB in {tmp_path / 'cache' / 'images'}",
    ]


def test_pictures_without_labels_have_no_classes(said, tmp_path):
    write_pictures(tmp_path / "set", 20)
    assert said(ImageDataModule(ImageFolder(str(tmp_path / "set")), size=8))[1] == "classes: none"


class Many(Source):
    channels, num_classes = 1, 40

    def splits(self):
        return {"train"}

    def key(self, split):
        return "many"

    def decode(self, split, size):
        labels = np.arange(41, dtype=np.int64) % 40
        return Decoded(np.zeros((41, 1, size, size), dtype=np.uint8), labels)


def test_many_classes_are_abbreviated(said):
    classes = said(ImageDataModule(Many(), size=2, val_size=0, test_size=1))[1]
    assert classes.startswith("classes: 40 (training images: 00 2, 01 1, ")
    assert classes.endswith("11 1, … of 0 to 2 each)") or classes.endswith("11 1, … of 1 to 2 each)")
    assert "12 1" not in classes


def test_it_is_said_before_the_first_step(experiment, capsys):
    assert experiment("fit", *SMALL["vqvae"], *SHORT, "--trainer.max_steps=1") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines[:3]] == ["images", "classes", "splits"]
    assert "passed over" not in "\n".join(lines)
    assert experiment("fit", *SMALL["vqvae"], *SHORT, "--trainer.max_steps=2", "--ckpt_path=last") == 0
    assert "images: 1797" in capsys.readouterr().out


FOLDER = [
    "--data.source=ImageFolder",
    "--data.source.root=set",
    "--data.source.channels=1",
    "--data.batch_size=4",
    "--evaluation.extractor=null",
]


def test_a_test_split_without_labels_is_scored_where_none_are_needed(experiment, tmp_path, capsys):
    for folder in ("train/a", "train/b", "val/a", "test"):
        write_pictures(tmp_path / "set" / folder, 8, size=(32, 32))
    assert experiment("fit", *SMALL["vqvae"], *SHORT, *FOLDER, "--trainer.max_steps=1") == 0
    assert "test 8 (folder set/test, without labels)" in capsys.readouterr().out
    assert experiment("test", *SMALL["vqvae"], *SHORT, *FOLDER, "--ckpt_path=last") == 0


def test_where_labels_are_needed_it_is_refused(experiment, tmp_path, capsys, checkpoints):
    for folder in ("train/a", "train/b", "val"):
        write_pictures(tmp_path / "set" / folder, 8, size=(32, 32))
    prior = [*SMALL_PRIOR, *SHORT, *FOLDER, f"--model.vqvae={checkpoints['vqvae']}"]
    assert experiment("fit", *prior) == 1
    assert "the val images have no labels, and a prior of classes" in capsys.readouterr().err
