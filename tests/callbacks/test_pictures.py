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


def test_a_column_for_each_class():
    images, columns = Pictures(count=8)._samples(Labelled(3))
    assert columns == 3
    assert images[:, 0, 0, 0].tolist() == [0, 1, 2, 0, 1, 2]


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
    options = ["--trainer.max_steps=1", f"--data.eval_batch_size={batch}", "--evaluation.extractor=null"]
    torch.manual_seed(0)
    assert experiment("fit", *SMALL["vqvae"], *SHORT, *folder, *options) == 0
    (picture,) = (tmp_path / "runs" / "vqvae" / "version_0" / "images").glob("reconstructions-*.png")
    originals = np.asarray(Image.open(picture))[2::WIDTH][::2, 2::WIDTH]
    counts = dict(zip(*np.unique(originals, return_counts=True), strict=True))
    assert [counts.get(shade, 0) for shade in (10, 90, 170, 250)] == [8] * 4
