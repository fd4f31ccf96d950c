import pytest
import torch
from torch import nn

from gen_experiments.training.ema import EMA


def moved(network, by):
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += by


def test_after_its_half_life_half_of_the_old_weights_remain():
    network = nn.Linear(3, 2)
    ema = EMA(network)
    before = ema.module.weight.clone()
    moved(network, 1.0)
    ema.update(network, images=100, half_life=100.0)
    torch.testing.assert_close(ema.module.weight, before + 0.5)


@pytest.mark.parametrize("batch", [10, 50, 100])
def test_the_decay_over_the_same_images_does_not_depend_on_the_batch(batch):
    network = nn.Linear(3, 2)
    ema = EMA(network)
    before = ema.module.weight.clone()
    moved(network, 1.0)
    for _ in range(200 // batch):
        ema.update(network, images=batch, half_life=100.0)
    torch.testing.assert_close(ema.module.weight, before + 0.75)


def test_a_half_life_of_zero_copies():
    network = nn.Linear(3, 2)
    ema = EMA(network)
    moved(network, 1.0)
    ema.update(network, images=1, half_life=0.0)
    torch.testing.assert_close(ema.module.weight, network.weight)


def test_buffers_are_copied_and_evaluation_mode_stays():
    network = nn.BatchNorm2d(2)
    ema = EMA(network)
    assert not ema.module.training  # so that an untrained model, made in Python, samples as a loaded one
    network(torch.randn(4, 2, 3, 3) + 5)
    ema.update(network, images=4, half_life=1e9)
    ema.train()
    torch.testing.assert_close(ema.module.running_mean, network.running_mean)
    assert ema.module.num_batches_tracked == 1
    assert not ema.module.training


def test_buffers_of_real_numbers_are_averaged_where_asked():
    network = nn.BatchNorm2d(2)
    ema = EMA(network, average_buffers=True)
    network(torch.full((4, 2, 3, 3), 5.0))
    ema.update(network, images=4, half_life=4.0)
    torch.testing.assert_close(ema.module.running_mean, network.running_mean / 2)
    assert ema.module.num_batches_tracked == 1


def test_the_average_is_saved_but_not_trained():
    network = nn.Linear(3, 2)
    ema = EMA(network)
    assert set(ema.state_dict()) == {"module.weight", "module.bias"}
    assert not any(parameter.requires_grad for parameter in ema.parameters())
    assert all(parameter.requires_grad for parameter in network.parameters())
