import math

import pytest
import torch

from gen_experiments.losses.reconstruction import L1, MSE, NegativePSNR

IMAGES = torch.tensor([[[[-1.0, 1.0]]], [[[0.0, 0.5]]]])
RECONSTRUCTION = torch.tensor([[[[-0.5, 1.0]]], [[[-1.0, 1.0]]]])


def test_distances_by_hand():
    assert MSE()(RECONSTRUCTION, IMAGES).item() == pytest.approx((0.25 + 0 + 1 + 0.25) / 4)
    assert L1()(RECONSTRUCTION, IMAGES).item() == pytest.approx((0.5 + 0 + 1 + 0.5) / 4)


def test_minus_the_psnr_of_each_image_by_hand():
    errors = torch.tensor([(0.25 + 0) / 2, (1 + 0.25) / 2]) / 4  # on a [0, 1] scale
    expected = -(-10 * errors.log10()).mean()
    assert NegativePSNR()(RECONSTRUCTION, IMAGES).item() == pytest.approx(expected.item())
    # Twice the error costs 6.02 dB however small it is.
    for scale in (1.0, 0.1):
        near, far = (NegativePSNR()(IMAGES + factor * scale * 0.1, IMAGES).item() for factor in (1, 2))
        assert far - near == pytest.approx(20 * math.log10(2), abs=0.1)


def test_minus_the_psnr_without_an_error_is_finite():
    made = IMAGES.clone().requires_grad_()
    loss = NegativePSNR()(made, IMAGES)
    loss.backward()
    assert loss.item() == pytest.approx(-80)
    assert made.grad.abs().max() == 0


@pytest.mark.parametrize("kind", [MSE, L1, NegativePSNR])
def test_the_weight_is_a_factor(kind):
    assert kind(weight=3.0)(RECONSTRUCTION, IMAGES).item() == pytest.approx(3 * kind()(RECONSTRUCTION, IMAGES).item())


@pytest.mark.parametrize("kind", [MSE, L1, NegativePSNR])
def test_half_precision_reconstructions_are_compared_in_full(kind):
    loss = kind()(RECONSTRUCTION.bfloat16(), IMAGES)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(kind()(RECONSTRUCTION, IMAGES).item())
