import pytest
import torch

import two_processes
from gen_experiments import distributed, randomness
from gen_experiments.losses.lecam import LeCam


def _mean(images):
    """A discriminator whose logit is the image's mean."""
    return images.mean(dim=(1, 2, 3))


def _constant(*logits):
    return torch.tensor(logits).reshape(-1, 1, 1, 1).expand(-1, 1, 2, 2)


def _apply(penalty, real, fake):
    return penalty(_mean, real, fake, randomness.generator("cpu", 0))


def test_two_calls_by_hand():
    penalty = LeCam(weight=2.0, every=3, decay=0.75)
    # The first averages are the first means: 2 for real, -1 for fake.
    first = _apply(penalty, _constant(1.0, 3.0), _constant(-2.0, 0.0))
    assert first.item() == pytest.approx(6 * ((4 + 16) / 2 + (16 + 4) / 2))
    second = _apply(penalty, _constant(5.0), _constant(1.0))
    of_real = (0.75 * 2 + 5) / 1.75
    of_fake = (0.75 * -1 + 1) / 1.75
    assert second.item() == pytest.approx(6 * ((5 - of_fake) ** 2 + (1 - of_real) ** 2))


@pytest.mark.parametrize("clipped", [True, False])
def test_a_logit_beyond_the_others_average(clipped):
    """Of real images 1 and 5, of generated ones 2 and 4, about averages of 3: by the code and by equation 6."""
    penalty = LeCam(weight=1.0, decay=0.5, clipped=clipped)
    value = _apply(penalty, _constant(1.0, 5.0), _constant(2.0, 4.0)).item()
    assert value == pytest.approx((4 + 1) / 2 if clipped else (4 + 4 + 1 + 1) / 2)


def test_the_averages_are_not_differentiated():
    real, fake = _constant(1.0, 2.0).clone().requires_grad_(), _constant(0.0, 0.0)
    (gradient,) = torch.autograd.grad(_apply(LeCam(weight=1.0), real, fake), real)
    assert gradient.sum(dim=(1, 2, 3)).tolist() == pytest.approx([2 * 1 / 2, 2 * 2 / 2])


def test_the_averages_are_saved_and_restored():
    one, other = LeCam(), LeCam()
    _apply(one, _constant(1.0), _constant(-1.0))
    other.load_state_dict(one.state_dict())
    batch = _constant(0.5), _constant(0.0)
    assert torch.equal(_apply(one, *batch), _apply(other, *batch))


def _on_half_of_the_batch():
    penalty = LeCam()
    rows = slice(2 * distributed.rank(), 2 * distributed.rank() + 2)
    _apply(penalty, _constant(1.0, 2.0, 3.0, 8.0)[rows], _constant(-1.0, 0.0, 5.0, 0.0)[rows])
    return penalty.averages


def test_two_processes_average_over_both(tmp_path):
    whole = LeCam()
    _apply(whole, _constant(1.0, 2.0, 3.0, 8.0), _constant(-1.0, 0.0, 5.0, 0.0))
    for averages in two_processes.run(_on_half_of_the_batch, tmp_path):
        assert torch.allclose(averages, whole.averages)
