"""Pictures of a validation show all classes, whatever the order of the images."""

import numpy as np
import pytest
import torch
from PIL import Image

from conftest import SHORT, SMALL
from gen_experiments.callbacks.pictures import MAX_CLASSES, Pictures

WIDTH = 34  # of a picture and the border beside it


class Labelled:
    """Samples whose pixels are their class."""

    def __init__(self, num_classes):
        self.num_classes = num_classes

    def sample(self, first, count, seed=0, labels=None, truncation=1.0):
        return ((labels + first) / 127.5 - 1).view(-1, 1, 1, 1).expand(count, 1, 2, 2)


@pytest.mark.parametrize(
    ("classes", "rows"),
    [
        (3, [[0, 0, 1, 1, 2, 2]] * 2),  # not three columns of four pictures: with 64 pictures they are a ribbon
        (1, [[0] * 8] * 2),
        (8, [list(range(8))] * 2),
        (10, [list(range(10))]),
    ],
)
def test_columns_of_each_class_fill_the_row(classes, rows):
    images, columns = Pictures(count=16)._samples(Labelled(classes))
    assert images[:, 0, 0, 0].view(-1, columns).tolist() == rows


def test_a_grid_of_classes_and_its_caption_agree(experiment, tmp_path, monkeypatch):
    for shade in (10, 90, 170):
        (tmp_path / "set" / f"grey{shade}").mkdir(parents=True)
        for number in range(8):
            Image.fromarray(np.full((32, 32), shade, dtype=np.uint8)).save(tmp_path / f"set/grey{shade}/{number}.png")
    captions = []
    monkeypatch.setattr("gen_experiments.callbacks.pictures._log_image", lambda *parts: captions.append(parts[-1]))
    data = ["--data.source=ImageFolder", "--data.source.root=set", "--data.source.channels=1"]
    model = ["--model.generator.conditional=true", "--model.discriminator.conditional=true"]
    options = ["--trainer.max_steps=1", "--data.batch_size=4", "--evaluation.extractor=null"]
    assert experiment("fit", *SMALL["gan"], *SHORT, *data, *model, *options) == 0
    (picture,) = (tmp_path / "runs" / "gan" / "version_0" / "images").glob("samples-*.png")
    assert Image.open(picture).size == (2 + 6 * WIDTH, 2 + 10 * WIDTH)
    assert set(captions) == {"step 1, 4 images seen: 2 columns for each of grey10, grey170, grey90"}


def test_of_many_classes_some_of_all_the_range():
    images, columns = Pictures(count=1)._samples(Labelled(200))
    shown = images[:, 0, 0, 0].tolist()
    assert columns == len(set(shown)) == MAX_CLASSES
    assert shown == sorted(shown)
    assert shown[-1] >= 200 - 2 * 200 / MAX_CLASSES


@pytest.mark.parametrize("batch", [7, 250])
def test_reconstructions_are_of_images_from_all_folders(experiment, tmp_path, batch):
    for split, count in (("train", 20), ("val", 40)):
        for shade in (10, 90, 170, 250):
            (tmp_path / "set" / split / str(shade)).mkdir(parents=True)
            for number in range(count):
                pixels = np.full((32, 32), shade, dtype=np.uint8)
                Image.fromarray(pixels).save(tmp_path / "set" / split / str(shade) / f"{number}.png")
    folder = ["--data.source=ImageFolder", "--data.source.root=set", "--data.source.channels=1", "--data.batch_size=8"]
    options = ["--trainer.max_steps=2", "--trainer.val_check_interval=1", "--evaluation.extractor=null"]
    options += [f"--data.eval_batch_size={batch}"]
    torch.manual_seed(0)
    assert experiment("fit", *SMALL["vqvae"], *SHORT, *folder, *options) == 0
    first, picture = sorted((tmp_path / "runs" / "vqvae" / "version_0" / "images").glob("reconstructions-*.png"))
    assert first.read_bytes() != picture.read_bytes()  # the second one is of the second validation
    originals = np.asarray(Image.open(picture))[2::WIDTH][::2, 2::WIDTH]
    counts = dict(zip(*np.unique(originals, return_counts=True), strict=True))
    assert [counts.get(shade, 0) for shade in (10, 90, 170, 250)] == [8] * 4
