"""The distance in the features of a classifier of one's own images."""

import copy
import pickle

import numpy as np
import pytest
import torch
from torch import nn

from gen_experiments.errors import UserError
from gen_experiments.images import to_float
from gen_experiments.losses.reconstruction import L1, MSE
from gen_experiments.losses.trained_perceptual import TrainedPerceptual, feature_distance
from small_models import write_classifier


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return tmp_path_factory.mktemp("classifier") / "own.ckpt"


@pytest.fixture(scope="module")
def network(file):
    return write_classifier(file)


@pytest.fixture
def loss(file, network):
    return TrainedPerceptual(str(file), L1(weight=0.0))


def _pictures(count=3, channels=3, size=16, seed=0):
    return torch.rand(2, count, channels, size, size, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def test_the_distance_by_hand():
    # One image, two channels, two places: the first place points the same way in both, the second at right angles.
    first = torch.tensor([[[[2.0, 3.0]], [[0.0, 4.0]]]])
    second = torch.tensor([[[[5.0, 4.0]], [[0.0, -3.0]]]])
    # At right angles two directions of length 1 are at the squared distance 2; the mean of 0 and 2 is 1.
    torch.testing.assert_close(feature_distance([first], [second]), torch.tensor([1.0]))
    torch.testing.assert_close(feature_distance([first, first], [second, second]), torch.tensor([2.0]))


def test_it_is_the_formula_of_lpips_over_what_the_blocks_convolve(loss, network):
    """In NumPy, of what a hook sees enter each block's first convolution, and the mean."""
    pair = _pictures()
    seen = []

    def keep(module, given):
        seen.append(given[0].detach().numpy())

    entrances = [part.convolutions[0] for part in network.layers if hasattr(part, "convolutions")]
    entrances += [part for part in network.layers if isinstance(part, nn.AdaptiveAvgPool2d)]
    for part in entrances:
        part.register_forward_pre_hook(keep)
    for images in pair:
        network(images)
    assert len(seen) == 2 * len(entrances) == 2 * 4
    expected = np.zeros(3)
    for one, other in zip(seen[:4], seen[4:], strict=True):
        units = [values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-4) for values in (one, other)]
        expected += ((units[0] - units[1]) ** 2).sum(1).mean((1, 2))
    assert expected.min() > 0.1
    np.testing.assert_allclose(loss.distances(*pair).numpy(), expected, rtol=1e-4)


def test_weights_and_the_distance_of_pixels(file, loss):
    made, images = _pictures()
    apart = loss.distances(made, images).mean()
    torch.testing.assert_close(TrainedPerceptual(str(file))(made, images), apart + (made - images).abs().mean())
    both = TrainedPerceptual(str(file), MSE(weight=3.0), weight=0.5)
    torch.testing.assert_close(both(made, images), 0.5 * apart + 3 * (made - images).square().mean())


def test_pictures_are_brought_to_the_size_of_the_classifier_as_in_a_score(loss, network):
    generator = torch.Generator().manual_seed(1)
    pixels = torch.randint(0, 256, (2, 2, 3, 40, 24), generator=generator, dtype=torch.uint8)
    first, second = (network.activations(network.prepare(each)) for each in pixels)
    torch.testing.assert_close(loss.distances(*map(to_float, pixels)), feature_distance(first, second).detach())
    grey = _pictures(channels=1)
    torch.testing.assert_close(loss.distances(*grey), loss.distances(*(each.repeat(1, 3, 1, 1) for each in grey)))


def test_gradients_reach_the_pictures_and_descend(loss):
    made, images = _pictures()
    same = images.clone().requires_grad_()
    value = loss(same, images)
    value.backward()
    assert value.item() == 0
    assert not same.grad.any()
    with torch.inference_mode():
        loss(made, images)  # as in a validation before the training
    made.requires_grad_()
    before = loss(made, images)
    before.backward()
    assert all(each.any() for each in made.grad)
    assert loss(made - 0.01 * made.grad.sign(), images) < before


def test_features_that_are_all_zero_have_a_gradient():
    zeros = torch.zeros(1, 2, 1, 1, requires_grad=True)
    feature_distance([zeros], [torch.ones(1, 2, 1, 1)]).sum().backward()
    assert zeros.grad.isfinite().all()


def test_autocast_does_not_reach_it(loss):
    made, images = _pictures()
    expected = loss(made, images)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(loss(made, images), expected)
    assert loss(made.bfloat16(), images).dtype == torch.float32


def test_a_model_that_holds_it_holds_none_of_its_weights_and_draws_nothing(file, loss):
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.reconstruction = TrainedPerceptual(str(file))

    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    model = Model().train()
    value = model.reconstruction(*_pictures())
    assert torch.equal(torch.rand(3), expected)
    assert not model.state_dict()
    # It stays in evaluation mode: neither batch statistics nor dropout.
    assert torch.equal(model.reconstruction(*_pictures()), value)
    for twin in (copy.deepcopy(model.reconstruction), pickle.loads(pickle.dumps(model.reconstruction))):
        assert torch.equal(twin(*_pictures()), value)


def test_what_cannot_be_compared_is_refused_in_one_line(file, network, tmp_path, checkpoints):
    with pytest.raises(UserError, match=r"compares images of 1 or 3 channels, not 2: train one on images like these"):
        TrainedPerceptual(str(file))(*_pictures(channels=2))
    with pytest.raises(UserError, match="there is no checkpoint of a classifier"):
        TrainedPerceptual(str(tmp_path / "nowhere.ckpt"))(*_pictures())
    with pytest.raises(UserError, match="holds no classifier"):
        TrainedPerceptual(str(checkpoints["gan"]))(*_pictures())
    with pytest.raises(UserError, match=r"weight must be >= 0, not -1\.0"):
        TrainedPerceptual(str(file), weight=-1.0)
