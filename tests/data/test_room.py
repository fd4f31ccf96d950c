"""A disk without room for what the cache would hold."""

import numpy as np
import pytest
import torch

from gen_experiments.data.cache import ImageArray, cached_split
from gen_experiments.data.codes import cached_codes
from gen_experiments.data.sources.base import Decoded, Source
from gen_experiments.errors import UserError

MANY = 1 << 50  # images; more bytes than any disk has
PIXELS = np.broadcast_to(np.uint8(0), (MANY, 1, 8, 8))  # without memory of their own


class TooMany(Source):
    """More images than any disk holds."""

    channels, num_classes, class_names = 1, None, None

    def splits(self):
        return {"train"}

    def key(self, split):
        return split

    def decode(self, split, size):
        return Decoded(PIXELS, None)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GEN_EXPERIMENTS_CACHE", str(tmp_path / "cache"))
    return tmp_path


def test_images_that_the_disk_cannot_hold_are_refused_before_they_are_written(cache):
    message = (
        rf"^the {MANY} decoded images of train take 6.71e\+07 GiB, and {cache} has [\d.e+]+ [GM]iB: "
        "choose another cache by GEN_EXPERIMENTS_CACHE$"
    )
    with pytest.raises(UserError, match=message):
        cached_split(TooMany(), "train", 8)
    assert list(cache.rglob("*.npy")) == []


def test_codes_that_the_disk_cannot_hold_are_refused_before_they_are_computed(cache):
    images = ImageArray(PIXELS, None, range(MANY), "f")
    with pytest.raises(UserError, match=rf"^the codes of {MANY} images take 6.71e\+07 GiB, and {cache} has "):
        cached_codes(
            images, lambda _: pytest.fail("encoded"), encoder="e", length=16, num_codes=4, device=torch.device("cpu")
        )
