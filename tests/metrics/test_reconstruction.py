import numpy as np
import pytest
import torch

import independent
from gen_experiments.errors import UserError
from gen_experiments.metrics.reconstruction import ms_ssim, psnr, ssim


def pair(size=32, channels=1, noise=20):
    source = np.random.default_rng(0)
    a = source.integers(0, 256, (3, channels, size, size))
    b = (a + source.normal(0, noise, a.shape)).round().clip(0, 255)
    return torch.from_numpy(a.astype(np.uint8)), torch.from_numpy(b.astype(np.uint8))


def test_psnr_by_hand():
    a = torch.zeros(2, 1, 4, 4, dtype=torch.uint8)
    b = a.clone()
    b[1] = 51  # a fifth of the range: 10 log10(25)
    torch.testing.assert_close(psnr(a, b), torch.tensor([100.0, 13.9794]))


def test_psnr_is_symmetric_and_not_of_the_mean_error():
    a, b = pair()
    torch.testing.assert_close(psnr(a, b), psnr(b, a))
    assert psnr(a, b).shape == (3,)


@pytest.mark.parametrize(("size", "channels"), [(28, 1), (32, 3)])
def test_ssim_agrees_with_an_independent_implementation(size, channels):
    a, b = pair(size, channels)
    np.testing.assert_allclose(ssim(b, a).numpy(), independent.ssim(a, b), atol=2e-4)


@pytest.mark.parametrize("size", [176, 192])
def test_ms_ssim_agrees_with_an_independent_implementation(size):
    a, b = pair(size, 3, noise=60)
    np.testing.assert_allclose(ms_ssim(b, a).numpy(), independent.ms_ssim(a, b), atol=1e-3)
    assert len(ms_ssim(b, a)) == 3


def test_ssim_of_equal_images_is_one():
    a, _ = pair()
    torch.testing.assert_close(ssim(a, a), torch.ones(3))


def test_ssim_of_tiny_images_is_refused():
    a, b = pair(8)
    with pytest.raises(UserError, match=r"at least 11 pixels"):
        ssim(a, b)
