import pytest
import torch

from gen_experiments.losses.reconstruction import L1, MSE

IMAGES = torch.tensor([[[[-1.0, 1.0]]], [[[0.0, 0.5]]]])
RECONSTRUCTION = torch.tensor([[[[-0.5, 1.0]]], [[[-1.0, 1.0]]]])


def test_distances_by_hand():
    assert MSE()(RECONSTRUCTION, IMAGES).item() == pytest.approx((0.25 + 0 + 1 + 0.25) / 4)
    assert L1()(RECONSTRUCTION, IMAGES).item() == pytest.approx((0.5 + 0 + 1 + 0.5) / 4)


@pytest.mark.parametrize("kind", [MSE, L1])
def test_the_weight_is_a_factor(kind):
    assert kind(weight=3.0)(RECONSTRUCTION, IMAGES).item() == pytest.approx(3 * kind()(RECONSTRUCTION, IMAGES).item())


@pytest.mark.parametrize("kind", [MSE, L1])
def test_half_precision_reconstructions_are_compared_in_full(kind):
    loss = kind()(RECONSTRUCTION.bfloat16(), IMAGES)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(kind()(RECONSTRUCTION, IMAGES).item())
