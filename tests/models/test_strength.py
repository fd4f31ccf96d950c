import pytest
import torch

import two_processes
from gen_experiments import distributed
from gen_experiments.errors import UserError
from gen_experiments.models.strength import AdaptiveStrength


def test_adaptive_strength_by_hand():
    strength = AdaptiveStrength(target=0.6, images=100, every=2)
    sure, unsure = torch.tensor([1.0, 2.0, 3.0, 0.5, -1.0]), torch.tensor([1.0, -2.0, 3.0, 0.5, -1.0])

    def after(*batches):
        for iteration, batch in enumerate(batches):
            strength.update(batch, iteration)
        return strength.p.item()

    assert after(sure) == 0  # only every second iteration
    strength.sums.zero_()
    assert after(sure.abs(), sure) == pytest.approx(0.1)  # r = 0.8: up by 10 of 100 images
    assert after(sure, unsure) == pytest.approx(0.0)  # r = 0.4: down
    assert after(unsure, unsure) == 0  # and not below 0
    for _ in range(20):
        after(sure.abs(), sure.abs())
    assert strength.p.item() == 1


def test_by_default_it_takes_half_a_million_images_in_steps_of_four_iterations():
    strength = AdaptiveStrength()
    for iteration, signs in enumerate([1.0, 1.0, 1.0, -0.1]):  # r = 0.5 at last, below the 0.6 that is wanted
        assert strength.p.item() == 0
        strength.update(torch.full((1000,), signs), iteration)
    assert strength.p.item() == 0
    for iteration in range(4):
        strength.update(torch.ones(1000), iteration)
    assert strength.p.item() == pytest.approx(4000 / 500_000)


def test_an_image_of_several_patches_counts_once():
    strength = AdaptiveStrength(target=0.4, images=100, every=1)
    strength.update(torch.tensor([[1.0, 2.0, 3.0, 4.0], [1.0, 2.0, -3.0, 4.0]]), 0)
    assert strength.p.item() == pytest.approx(0.02)  # r = 0.75: up by 2 of 100 images


def _adaptive_in_two():
    strength = AdaptiveStrength(target=0.0, images=40, every=2)
    rank = distributed.rank()
    # Each process alone would move p elsewhere than both do together.
    logits = torch.tensor([[1.0, 1.0, 1.0], [-1.0, -1.0, 1.0]])[rank]
    held = []
    for iteration in range(5):
        strength.update(logits, iteration)
        held.append(torch.cat([strength.p[None], strength.sums]))
    return torch.stack(held)


def test_two_processes_adapt_as_one(tmp_path):
    first, second = two_processes.run(_adaptive_in_two, tmp_path)
    assert torch.equal(first, second)
    expected = [[0, 2, 6], [0.3, 0, 0], [0.3, 2, 6], [0.6, 0, 0], [0.6, 2, 6]]
    torch.testing.assert_close(first, torch.tensor(expected))


@pytest.mark.parametrize("options", [{"target": 1.0}, {"images": 0}, {"every": 0}])
def test_impossible_adaptation_is_refused(options):
    with pytest.raises(UserError, match="must be"):
        AdaptiveStrength(**options)
