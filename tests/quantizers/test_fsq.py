import math

import pytest
import torch

from gen_experiments.errors import UserError
from gen_experiments.quantizers.fsq import FSQ

LEVELS = [(2,), (3,), (8, 6, 5), (7, 2, 4)]


@pytest.mark.parametrize("levels", LEVELS)
def test_every_index_is_decoded_to_its_own_code_and_found_again(levels):
    quantizer = FSQ(levels)
    indices = torch.arange(quantizer.codebook_size).reshape(1, 1, -1)
    codes = quantizer.decode(indices)
    assert len(codes[0, :, 0].T.unique(dim=0)) == quantizer.codebook_size
    # A latent in the middle of what is rounded to the code.
    half = (quantizer.sizes - 1)[:, None, None] * 1.001 / 2
    offset = torch.where(quantizer.sizes % 2 == 0, 0.5, 0.0)[:, None, None]
    width = (quantizer.sizes // 2)[:, None, None]
    z = torch.atanh(((codes * width + offset) / half).clamp(-0.9999, 0.9999)) - torch.atanh(offset / half)
    quantized = quantizer(z)
    assert torch.equal(quantized.indices, indices)
    assert torch.equal(quantized.values, codes)


@pytest.mark.parametrize("levels", LEVELS)
def test_extreme_latents_stay_in_range(levels):
    quantizer = FSQ(levels)
    z = torch.tensor([-1e9, 1e9]).reshape(1, 1, 1, 2).repeat(1, quantizer.dim, 1, 1)
    indices = quantizer(z).indices
    assert indices.flatten().tolist() == [0, quantizer.codebook_size - 1]


@pytest.mark.parametrize("levels", LEVELS)
def test_values_and_gradients_by_the_papers_appendix(levels):
    """Its listing in plain numbers: bound by (1 - ε)(L - 1)/2, shifted by tan(offset / half), rounded, and divided."""
    z = torch.linspace(-3, 3, 101)[:, None].repeat(1, len(levels)) + 0.01 * torch.arange(len(levels))
    latents = z.T.reshape(1, len(levels), 1, 101).requires_grad_()
    quantized = FSQ(levels)(latents)
    (gradient,) = torch.autograd.grad(quantized.values.sum(), latents)
    for i, row in enumerate(z.double().tolist()):
        index, basis = 0, 1
        for channel, (value, count) in enumerate(zip(row, levels, strict=True)):
            half = (count - 1) * (1 - 0.001) / 2
            offset = 0 if count % 2 else 0.5
            through = math.tanh(value + math.tan(offset / half))
            rounded = round(through * half - offset)
            assert quantized.values[0, channel, 0, i].item() == pytest.approx(rounded / (count // 2))
            slope = half * (1 - through**2) / (count // 2)
            assert gradient[0, channel, 0, i].item() == pytest.approx(slope, rel=1e-3, abs=1e-6)
            index, basis = index + (rounded + count // 2) * basis, basis * count
        assert quantized.indices[0, 0, i].item() == index


def test_values_by_hand():
    quantizer = FSQ((3, 4))
    # Three levels: tanh(z)·1.001 rounds to -1, 0, 1. Four: zero sits on the code zero, of digit two.
    quantized = quantizer(torch.tensor([[0.0, 0.4, 2.0], [0.0, 0.0, 0.0]]).reshape(1, 2, 1, 3))
    assert quantized.values[0, 0, 0].tolist() == [0.0, 0.0, 1.0]
    assert quantized.values[0, 1, 0].tolist() == [0.0, 0.0, 0.0]
    assert quantized.indices.flatten().tolist() == [1 + 2 * 3, 1 + 2 * 3, 2 + 2 * 3]
    assert quantized.loss == 0


@pytest.mark.parametrize("levels", [(), (5, 1), (8,) * 8 + (2,)])
def test_fewer_than_two_levels_and_more_than_16_million_codes_are_refused(levels):
    with pytest.raises(UserError, match="two levels"):
        FSQ(levels)
    assert FSQ((8,) * 8).codebook_size == 2**24
