"""What a source of the user's own returns is checked before it is cached."""

import numpy as np
import pytest

from gen_experiments.data.cache import cached_split
from gen_experiments.data.sources import Decoded, Source
from gen_experiments.errors import UserError

IMAGES = np.zeros((5, 1, 8, 8), dtype=np.uint8)
LABELS = np.array([0, 1, 2, 0, 1])


class Mine(Source):
    channels, num_classes = 1, 3

    def __init__(self, images, labels):
        self.returned = Decoded(images, labels)

    def splits(self):
        return {"train"}

    def key(self, split):
        return "mine"

    def decode(self, split, size):
        return self.returned


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (IMAGES / 255, LABELS, r"images as a uint8 array \(N, 1, 8, 8\), not float64 of shape \(5, 1, 8, 8\)"),
        (IMAGES[:, 0], LABELS, r"not uint8 of shape \(5, 8, 8\)"),
        (IMAGES.transpose(0, 2, 3, 1), LABELS, r"not uint8 of shape \(5, 8, 8, 1\)"),
        (IMAGES[:0], LABELS[:0], r"not uint8 of shape \(0, 1, 8, 8\)"),
        (IMAGES.tolist(), LABELS, r"not list of shape"),
        (IMAGES, None, r"labels as an int64 array \(5,\), one an image, not None"),
        (IMAGES, LABELS[:4], r"not int64 of shape \(4,\)"),
        (IMAGES, LABELS.astype(np.float32), r"not float32 of shape \(5,\)"),
        (IMAGES, LABELS + 1, r"returns labels from 1 to 3: they must be in 0 \.\.\. 2"),
        (IMAGES, LABELS - 1, r"returns labels from -1 to 1"),
    ],
)
def test_what_cannot_be_images_with_labels_is_refused(tmp_path, monkeypatch, images, labels, message):
    monkeypatch.setenv("GEN_EXPERIMENTS_CACHE", str(tmp_path))
    with pytest.raises(UserError, match=r"Mine\.decode\('train', 8\).*" + message):
        cached_split(Mine(images, labels), "train", 8)
    assert not list(tmp_path.rglob("*.npy"))


def test_what_can_be_is_taken(tmp_path, monkeypatch):
    monkeypatch.setenv("GEN_EXPERIMENTS_CACHE", str(tmp_path))
    taken = cached_split(Mine(IMAGES, LABELS), "train", 8)
    assert taken.labels(np.arange(5)).tolist() == LABELS.tolist()
