"""Scores on images that were trained on are named: held-out images move between the splits when a folder changes."""

import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from conftest import CONFIGS, SHORT, SMALL
from gen_experiments.callbacks.changes import hash_of_images
from gen_experiments.callbacks.comparison import measured_by
from gen_experiments.callbacks.evaluation import Evaluation
from gen_experiments.data.datamodule import ImageDataModule
from gen_experiments.data.sources.folder import ImageFolder
from gen_experiments.metrics.features import DigitsFeatures
from small_models import gan, vqvae

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
ANEW = "changed since the best score, so that the best checkpoint is chosen anew"


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
        return hash_of_images(ImageDataModule(source=source, size=16, crop="none"))

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


def test_the_best_checkpoint_is_chosen_anew_where_scores_are_of_other_images(experiment, capsys, tmp_path):
    draw(tmp_path / "pictures" / "train", 6)
    for split in ("val", "test"):
        (tmp_path / "pictures" / split).mkdir()
        Image.new("RGB", (16, 16), (128, 128, 128)).save(tmp_path / "pictures" / split / "easy.png")
    watched = ("--trainer.callbacks+=StopOnDivergence", "--trainer.callbacks.monitor=val/psnr")
    options = ["fit", *OPTIONS, *watched, "--trainer.callbacks.mode=max", "--trainer.callbacks.patience=1"]
    assert ANEW not in said(experiment, capsys, *options)
    assert ANEW not in said(experiment, capsys, *options, "--ckpt_path=last", "--trainer.max_steps=6")
    easy = torch.load(f"{RUN}/checkpoints/best.ckpt", weights_only=True)
    draw(tmp_path / "pictures" / "val", 6)
    text = said(experiment, capsys, *options, "--ckpt_path=last", "--trainer.max_steps=8")
    assert f"images of val: {ANEW}; {tmp_path}" in text
    assert "is kept as best_until_step_6.ckpt" in text
    assert "diverged" not in text
    assert torch.load(f"{RUN}/checkpoints/best.ckpt", weights_only=True)["global_step"] == 8
    kept = torch.load(f"{RUN}/checkpoints/best_until_step_6.ckpt", weights_only=True)
    assert kept["global_step"] == easy["global_step"]
    # Of a protocol too; this one is not by what these scores are measured.
    resumed = ("--ckpt_path=last", "--trainer.max_steps=10", "--evaluation.samples=50")
    assert ANEW not in said(experiment, capsys, *options, *resumed)


def test_scores_of_samples_are_measured_by_their_number_and_reference_and_not_by_the_validation_images(tmp_path):
    for split in ("train", "val", "test"):
        draw(tmp_path / split, 2)
    data = ImageDataModule(source=ImageFolder(str(tmp_path), channels=3), size=16)

    def measured(model, limit=1.0, **options):
        evaluation = Evaluation(DigitsFeatures(any_images=True), **options)
        trainer = SimpleNamespace(callbacks=[evaluation], datamodule=data, limit_val_batches=limit)
        return measured_by(trainer, model)

    of_samples = measured(gan(), reference="test")
    assert measured(gan(), reference="test", samples=50) == of_samples | {"samples": 50} != of_samples
    of_reconstructions = measured(vqvae())
    assert measured(vqvae(), reference="test", samples=50) == of_reconstructions
    assert measured(gan(), 1, reference="test") == of_samples
    assert len({str(measured(vqvae(), limit)) for limit in (1.0, 1, 0.5)}) == 3
    assert of_samples["extractor"] == of_reconstructions["extractor"] == "DigitsFeatures"
    draw(tmp_path / "val", 1, first=9)
    data = ImageDataModule(source=ImageFolder(str(tmp_path), channels=3), size=16)
    assert measured(gan(), reference="test") == of_samples
    assert measured(vqvae()) != of_reconstructions
    assert measured(gan()) != of_samples  # as they are compared with the training images
