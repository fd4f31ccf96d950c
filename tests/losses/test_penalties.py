import pytest
import torch
from torch import nn

from gen_experiments import randomness
from gen_experiments.errors import UserError
from gen_experiments.losses.penalties import DRAGAN, R1, R2, GradientPenalty, squared_gradient_norms

SHAPE = (3, 2, 4, 4)


def _source():
    return randomness.generator("cpu", 1)


def _critic():
    """A smooth discriminator of a single image in double precision."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(32, 5), nn.Tanh(), nn.Linear(5, 1), nn.Flatten(0)).double()
    return network


def _images(seed):
    return torch.randn(SHAPE, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def _finite_difference(network, images, step=1e-6):
    """‖∇D(x)‖² of each image, by central differences over its pixels."""
    squares = torch.zeros(len(images), dtype=images.dtype)
    with torch.no_grad():
        for index in range(images[0].numel()):
            nudge = torch.zeros_like(images).flatten(1)
            nudge[:, index] = step
            nudge = nudge.reshape(images.shape)
            squares += ((network(images + nudge) - network(images - nudge)) / (2 * step)) ** 2
    return squares


def test_gradient_norms_agree_with_finite_differences():
    network, images = _critic(), _images(1)
    expected = _finite_difference(network, images)
    assert torch.allclose(squared_gradient_norms(network, images), expected, rtol=1e-7)


def test_r1_and_r2_agree_with_finite_differences():
    network, real, fake = _critic(), _images(1), _images(2)
    for kind, images in ((R1, real), (R2, fake)):
        penalty = kind(weight=3.0, every=4)(network, real, fake, _source())
        assert penalty.item() == pytest.approx(3 / 2 * 4 * _finite_difference(network, images).mean().item(), rel=1e-7)


def test_gradient_penalty_agrees_with_finite_differences():
    network, real, fake = _critic(), _images(1), _images(2)
    mix = randomness.rand_rows(3, 1, 1, 1, rng=_source())
    norms = _finite_difference(network, mix * real + (1 - mix) * fake).sqrt()
    penalty = GradientPenalty(weight=10.0, every=2)(network, real, fake, _source())
    assert penalty.item() == pytest.approx(20 * ((norms - 1) ** 2).mean().item(), rel=1e-7)


@pytest.mark.parametrize(("options", "deviation"), [({"deviation": 0.5}, 0.5), ({}, 0.25)])
def test_dragan_agrees_with_finite_differences(options, deviation):
    network, real = _critic(), _images(1)
    noise = randomness.randn_rows(*SHAPE, rng=_source())
    norms = _finite_difference(network, real + deviation * noise).sqrt()
    penalty = DRAGAN(weight=4.0, every=3, **options)(network, real, _images(2), _source())
    assert penalty.item() == pytest.approx(12 * ((norms - 1) ** 2).mean().item(), rel=1e-7)


def test_a_linear_discriminator_by_hand():
    # D(x) = Σ 3x has the gradient 3 at each of the 32 pixels: ‖∇D‖² = 288 for every image.
    def linear(images):
        return 3 * images.sum(dim=(1, 2, 3))

    real, fake = _images(1), _images(2)
    for squared in (R1(weight=1.0), R2(weight=1.0)):
        assert squared(linear, real, fake, _source()).item() == pytest.approx(144)
    for rooted in (GradientPenalty(), DRAGAN()):
        assert rooted(linear, real, fake, _source()).item() == pytest.approx(10 * (288**0.5 - 1) ** 2)


PENALTIES = [R1(), R2(), GradientPenalty(), DRAGAN()]


@pytest.mark.parametrize("penalty", PENALTIES)
def test_the_second_derivative_reaches_the_parameters(penalty):
    network, real, fake = _critic(), _images(1), _images(2)
    weight = network[1].weight
    (gradient,) = torch.autograd.grad(penalty(network, real, fake, _source()), weight)
    step = 1e-6
    with torch.no_grad():
        weight[2, 7] += step
    above = penalty(network, real, fake, _source()).item()
    with torch.no_grad():
        weight[2, 7] -= 2 * step
    below = penalty(network, real, fake, _source()).item()
    assert gradient[2, 7].item() == pytest.approx((above - below) / (2 * step), rel=1e-5)


@pytest.mark.parametrize("penalty", PENALTIES)
def test_a_flat_discriminator_gives_finite_gradients(penalty):
    network = _critic().float()
    nn.init.zeros_(network[3].weight)
    penalty(network, _images(1).float(), _images(2).float(), _source()).backward()
    assert all(torch.isfinite(p.grad).all() for p in network.parameters() if p.grad is not None)


@pytest.mark.parametrize("penalty", PENALTIES)
def test_autocast_does_not_reach_a_penalty(penalty):
    network, real, fake = _critic().float(), _images(1).float(), _images(2).bfloat16()
    expected = penalty(network, real, fake.float(), _source())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = penalty(network, real, fake, _source())
    assert inside.dtype == torch.float32
    assert inside.item() == pytest.approx(expected.item(), rel=1e-6)


@pytest.mark.parametrize("kind", [R1, R2, GradientPenalty, DRAGAN])
def test_an_interval_below_one_is_refused(kind):
    with pytest.raises(UserError, match="every"):
        kind(every=0)
