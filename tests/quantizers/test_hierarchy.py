import pytest
import torch
from torch.nn import functional as F

from formula_weights import prepared, waves
from gen_experiments.errors import UserError
from gen_experiments.quantizers.ema import EMAQuantizer
from gen_experiments.quantizers.fsq import FSQ
from gen_experiments.quantizers.gradient import GradientQuantizer
from gen_experiments.quantizers.hierarchy import HierarchicalQuantizer
from gen_experiments.quantizers.residual import ResidualQuantizer


def latents(seed=0, side=4):
    return torch.randn(3, 6, side, side, generator=torch.Generator().manual_seed(seed), requires_grad=True)


@pytest.fixture(params=[EMAQuantizer, GradientQuantizer])
def quantizer(request):
    torch.manual_seed(0)
    hierarchy = HierarchicalQuantizer(request.param(8, 6), request.param(8, 6))
    hierarchy(latents())
    return hierarchy


def test_codes_of_both_grids_decode_to_the_values(quantizer):
    quantized = quantizer.eval()(latents(1))
    assert quantized.values.shape == (3, 6, 4, 4)
    assert quantized.indices.shape == (3, 2 * 2 + 4 * 4)
    assert quantizer.grids(4, 4) == ((2, 2), (4, 4))
    torch.testing.assert_close(quantizer.decode(quantized.indices), quantized.values)


def test_a_code_of_the_top_reaches_further_than_one_of_the_bottom(quantizer):
    codes = quantizer.eval()(latents(1, side=16)).indices
    plain = quantizer.decode(codes)
    reach = []
    for position in (0, 8 * 8):  # the first of the top's, the first of the bottom's
        changed = codes.clone()
        changed[:, position] = (changed[:, position] + 1) % 8
        difference = (quantizer.decode(changed) - plain).abs().sum(dim=(0, 1)) > 1e-6
        reach.append(int(difference.sum()))
    assert reach == [9, 1]


@pytest.mark.parametrize("side", [4, 6])
def test_both_levels_by_the_papers_algorithm(side):
    """Algorithm 1 of VQ-VAE-2: the top is coded first, the bottom's encoder sees what the decoder makes of it."""
    hierarchy, weights = prepared(HierarchicalQuantizer(GradientQuantizer(5, 3), GradientQuantizer(5, 3)).eval())
    top, bottom, down, down_bias, up, up_bias, joined, joined_bias = weights

    def coded(latents, codebook):
        vectors = latents.movedim(1, -1)
        indices = (vectors[..., None, :] - codebook).square().sum(-1).argmin(-1)
        return codebook[indices].movedim(-1, 1), indices

    z = waves(2, 3, side, side).float()  # quantizers keep to single precision
    above = F.conv2d(z.relu(), down, down_bias, stride=2, padding=1)
    coarse, of_top = coded(above, top)
    raised = F.conv_transpose2d(coarse, up, up_bias, stride=2, padding=1)
    below = F.conv2d(torch.cat([z, raised], 1), joined, joined_bias)
    fine, of_bottom = coded(below, bottom)
    quantized = hierarchy(z)
    assert len(of_top.unique()) > 1
    assert len(of_bottom.unique()) > 1
    assert torch.equal(quantized.indices, torch.cat([of_top.flatten(1), of_bottom.flatten(1)], 1))
    torch.testing.assert_close(quantized.values, fine + raised, rtol=1e-5, atol=1e-5)
    # Codebook and commitment (0.25) of each level.
    loss = 1.25 * (F.mse_loss(above, coarse) + F.mse_loss(below, fine))
    torch.testing.assert_close(quantized.loss, loss, rtol=1e-5, atol=1e-5)


def test_both_levels_learn(quantizer):
    z = latents(1)
    quantized = quantizer.train()(z)
    (quantized.values.square().sum() + quantized.loss).backward()
    assert z.grad.abs().sum() > 0
    assert all(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in quantizer.down.parameters())
    assert all(weight.grad.abs().sum() > 0 for weight in quantizer.up.parameters())


def test_levels_that_do_not_fit_are_refused():
    with pytest.raises(UserError, match="equal dim and codebook size"):
        HierarchicalQuantizer(EMAQuantizer(8, 6), EMAQuantizer(16, 6))
    with pytest.raises(UserError, match="single quantizers"):
        HierarchicalQuantizer(ResidualQuantizer(lambda: EMAQuantizer(8, 6), 2), EMAQuantizer(8, 6))
    with pytest.raises(UserError, match="single quantizers"):
        HierarchicalQuantizer(FSQ(), HierarchicalQuantizer(FSQ(), FSQ()))
    with pytest.raises(UserError, match="5x5"):
        HierarchicalQuantizer(EMAQuantizer(8, 6), EMAQuantizer(8, 6))(latents(side=5))


def test_any_quantizer_serves():
    hierarchy = HierarchicalQuantizer(FSQ([3, 3]), FSQ([3, 3]))
    z = torch.randn(2, 2, 4, 4)
    quantized = hierarchy(z)
    torch.testing.assert_close(hierarchy.decode(quantized.indices), quantized.values)
