from math import exp, log

import pytest
import torch

from gen_experiments.losses.adversarial import (
    Hinge,
    LeastSquares,
    NonSaturating,
    RelativisticPaired,
    Saturating,
    Wasserstein,
)

REAL = torch.tensor([2.0, -0.5], dtype=torch.float64)
FAKE = torch.tensor([-3.0, 1.0], dtype=torch.float64)


def _s(x):
    """Softplus."""
    return log(1 + exp(x))


BY_HAND = [
    (NonSaturating(), (_s(-2) + _s(0.5)) / 2 + (_s(-3) + _s(1)) / 2, (_s(3) + _s(-1)) / 2),
    (Hinge(), (0 + 1.5) / 2 + (0 + 2) / 2, (3 - 1) / 2),
    (Saturating(), (_s(-2) + _s(0.5)) / 2 + (_s(-3) + _s(1)) / 2, -(_s(-3) + _s(1)) / 2),
    (LeastSquares(), (1 + 2.25) / 4 + (9 + 1) / 4, (16 + 0) / 4),
    (RelativisticPaired(), (_s(-5) + _s(1.5)) / 2, (_s(5) + _s(-1.5)) / 2),
    (Wasserstein(), (-3 + 1) / 2 - (2 - 0.5) / 2, (3 - 1) / 2),
]


@pytest.mark.parametrize(("loss", "discriminator", "generator"), BY_HAND)
def test_losses_by_hand(loss, discriminator, generator):
    assert loss.discriminator(REAL, FAKE).item() == pytest.approx(discriminator, rel=1e-12)
    assert loss.generator(REAL if loss.paired else None, FAKE).item() == pytest.approx(generator, rel=1e-12)


@pytest.mark.parametrize("loss", [loss for loss, _, _ in BY_HAND])
def test_the_two_pull_in_opposite_directions(loss):
    real, fake = (torch.full((4,), 0.5, requires_grad=True) for _ in range(2))
    d_real, d_fake = torch.autograd.grad(loss.discriminator(real, fake), (real, fake))
    (g_fake,) = torch.autograd.grad(loss.generator(real if loss.paired else None, fake), fake)
    assert (d_real < 0).all()
    assert (d_fake > 0).all()
    assert (g_fake < 0).all()


@pytest.mark.parametrize("loss", [loss for loss, _, _ in BY_HAND])
def test_far_logits_stay_finite(loss):
    far = torch.tensor([1e4, -1e4])
    assert torch.isfinite(loss.discriminator(far, -far))
    assert torch.isfinite(loss.generator(far if loss.paired else None, -far))
