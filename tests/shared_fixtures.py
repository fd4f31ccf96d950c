"""Fixtures of tests in several folders; `conftest` hands them to all."""

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """The test's own folder of caches, which does not exist yet."""
    monkeypatch.setenv("GEN_EXPERIMENTS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def photograph(tmp_path):
    """A PNG file of 427 × 640 pixels."""
    from sklearn.datasets import load_sample_image

    Image.fromarray(load_sample_image("china.jpg")).save(tmp_path / "photograph.png")
    return tmp_path / "photograph.png"


@pytest.fixture
def ramps(tmp_path):
    """A folder of 12 pictures of 8 × 24, the value of a pixel ten times its column."""
    (tmp_path / "ramps").mkdir()
    ramp = np.tile(10 * np.arange(24, dtype=np.uint8), (8, 1))
    for number in range(12):
        Image.fromarray(ramp).save(tmp_path / "ramps" / f"{number:02d}.png")
    return tmp_path / "ramps"
