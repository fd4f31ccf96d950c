"""Scores on images that were trained on are named: held-out images move between the splits when a folder changes."""

import shutil

import numpy as np
import pytest
from PIL import Image

from conftest import CONFIGS, SHORT, SMALL
from gen_experiments.callbacks.changes import training_images
from gen_experiments.data.datamodule import ImageDataModule
from gen_experiments.data.sources.folder import ImageFolder

WORDS = "the checkpoint was trained on other images"
OPTIONS = [
    *SMALL["vqvae"],
    *SHORT,
    f"--config={CONFIGS / 'data' / 'folder.yaml'}",
    "--data.source.root=pictures",
    "--data.size=16",
    "--data.batch_size=2",
    "--evaluation.extractor=null",
    "--trainer.logger=MetricsCSV",
]
RUN = "runs/vqvae/version_0"
MOVED = "so that scores flatter it"


def draw(folder, count, first=0):
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(first, first + count):
        pixels = np.random.default_rng([number, *folder.name.encode()]).integers(0, 256, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")


@pytest.fixture
def trained(experiment, capsys, tmp_path):
    """A run on a folder of two classes."""
    for name in ("cats", "dogs"):
        draw(tmp_path / "pictures" / name, 6)
    assert experiment("fit", *OPTIONS) == 0
    assert WORDS not in "".join(capsys.readouterr())


def test_of_many_pictures_the_last_counts_too(tmp_path):
    """Of more than 64 only some are compared, spread over all of them."""

    def seen():
        source = ImageFolder(str(tmp_path / "pictures"), channels=3)
        return training_images(ImageDataModule(source=source, size=16, crop="none"))

    for split, count in {"train": 80, "val": 1, "test": 1}.items():
        draw(tmp_path / "pictures" / split, count)
    before = seen()
    assert before == seen()
    last = tmp_path / "pictures" / "train" / "9.png"  # by its name
    Image.fromarray(255 - np.asarray(Image.open(last))).save(last)
    assert seen() != before


def said(experiment, capsys, *words):
    assert experiment(*words) == 0
    captured = capsys.readouterr()
    return captured.out + captured.err


def test_a_picture_more_is_said_by_all_that_use_the_splits(trained, experiment, capsys, tmp_path):
    # A copy is no change, although its files are younger. One held-out picture is enough for PSNR.
    shutil.move(tmp_path / "pictures", tmp_path / "before")
    shutil.copytree(tmp_path / "before", tmp_path / "pictures", copy_function=shutil.copyfile)
    assert WORDS not in said(experiment, capsys, "evaluate", RUN)
    draw(tmp_path / "pictures" / "cats", 1, first=9)
    with pytest.warns(UserWarning, match=MOVED):
        assert experiment("evaluate", RUN) == 0
    capsys.readouterr()
    assert MOVED in said(experiment, capsys, "validate", *OPTIONS, "--ckpt_path=best")
    going_on = [*OPTIONS, "--ckpt_path=last", "--trainer.max_steps=6"]
    assert MOVED in said(experiment, capsys, "fit", *going_on)
    # Also once it has trained on the new images: it has seen the old ones too.
    with pytest.warns(UserWarning, match=MOVED):
        assert experiment("evaluate", f"{RUN}/checkpoints/last.ckpt") == 0


def test_as_many_pictures_of_other_classes_are_said(trained, experiment, capsys, tmp_path):
    shutil.move(tmp_path / "pictures" / "dogs", tmp_path / "pictures" / "foxes")
    going_on = ("fit", *OPTIONS, "--ckpt_path=last")
    text = said(experiment, capsys, *going_on, "--trainer.max_steps=6")
    assert WORDS not in text
    assert "classes were cats, dogs and are cats, foxes" in text
    # In another order, others are held out.
    shutil.move(tmp_path / "pictures" / "foxes", tmp_path / "pictures" / "ants")
    assert WORDS in said(experiment, capsys, *going_on, "--trainer.max_steps=8")


def test_splits_of_their_own_hold_nothing_that_was_trained_on(experiment, capsys, tmp_path):
    for split, count in {"train": 6, "val": 2, "test": 2}.items():
        draw(tmp_path / "pictures" / split, count)
    assert experiment("fit", *OPTIONS) == 0
    draw(tmp_path / "pictures" / "train", 1, first=9)
    text = said(experiment, capsys, "fit", *OPTIONS, "--ckpt_path=last", "--trainer.max_steps=6")
    assert WORDS in text
    assert MOVED not in text
