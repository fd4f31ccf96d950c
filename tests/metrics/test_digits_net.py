"""What the classifier of digits sees of an image."""

import numpy as np
import pytest
import torch
from PIL import Image

from gen_experiments.metrics.digits_net import DigitsNet


def test_colours_turn_grey_by_their_luminance():
    """ITU-R BT.601: red 0.299, green 0.587, blue 0.114; 255 falls on 1."""
    colours = torch.eye(3, dtype=torch.uint8)[:, :, None, None].expand(3, 3, 32, 32) * 255
    grey = DigitsNet.prepare(colours)[:, 0, 0, 0]
    assert grey.tolist() == pytest.approx([2 * 0.299 - 1, 2 * 0.587 - 1, 2 * 0.114 - 1], abs=1e-6)


def test_large_images_are_resized_as_pillow_does_it():
    """Bilinearly with antialiasing: Pillow's own filter, which rounds to bytes."""
    pixels = np.random.default_rng(0).integers(0, 256, (100, 100), dtype=np.uint8)
    expected = np.asarray(Image.fromarray(pixels).resize((32, 32), Image.Resampling.BILINEAR)).astype(float)
    resized = DigitsNet.prepare(torch.from_numpy(pixels)[None, None])[0, 0]
    assert np.abs((resized.numpy() + 1) * 127.5 - expected).max() < 1.1
