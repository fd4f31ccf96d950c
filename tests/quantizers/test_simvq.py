import pytest
import torch

from gen_experiments.quantizers.simvq import SimVQ


def test_one_latent_moves_every_code():
    torch.manual_seed(0)
    quantizer = SimVQ(16, 4)
    before = quantizer.codes().detach().clone()
    frozen = quantizer.frozen.clone()
    optimizer = torch.optim.SGD(quantizer.parameters(), lr=0.1)
    quantizer(torch.randn(1, 4, 1, 1)).loss.backward()
    optimizer.step()
    assert (quantizer.codes() != before).any(dim=1).all()
    assert torch.equal(quantizer.frozen, frozen)


def test_the_table_is_drawn_with_a_variance_of_one_over_its_width():
    assert SimVQ(512, 64).frozen.square().mean().item() == pytest.approx(1 / 64, rel=0.05)


def test_codes_are_the_table_through_the_map():
    quantizer = SimVQ(5, 3)
    decoded = quantizer.decode(torch.arange(5).reshape(1, 1, 5))[0, :, 0].T
    assert torch.allclose(decoded, quantizer.frozen @ quantizer.map.weight.T, atol=1e-6)
