import math

import numpy as np
import pytest
import torch

from gen_experiments.data.datamodule import ImageDataModule
from gen_experiments.data.sources import Digits
from gen_experiments.metrics.features import DigitsFeatures
from gen_experiments.metrics.memorisation import farther_p_value, near_copies, nearer_p_value
from gen_experiments.metrics.neighbours import CHUNK, nearest


def drawn(count, seed):
    return torch.randn(count, 8, generator=torch.Generator().manual_seed(seed))


def test_the_nearest_by_hand_over_several_chunks():
    references = torch.tensor([[0.0, 0.0], [10.0, 0.0]])
    queries = torch.tensor([[3.0, 4.0], [10.0, 1.0]]).repeat(CHUNK, 1)
    distances, numbers = nearest(queries, references)
    assert distances[:2].tolist() == pytest.approx([5.0, 1.0])
    assert numbers.tolist() == [0, 1] * CHUNK
    assert distances.shape == (2 * CHUNK,)


def test_planted_copies_are_found_and_fresh_images_are_not():
    trained_on, held_out, fresh = drawn(2000, 0), drawn(1000, 1), drawn(1000, 2)
    baseline, _ = nearest(held_out, trained_on)
    copied = trained_on[:500] + 1e-3 * drawn(500, 3)
    distances, numbers = nearest(copied, trained_on)
    assert near_copies(distances, baseline, 0.01)[0].all()
    assert numbers.tolist() == list(range(500))
    assert nearer_p_value(distances, baseline, 0.01) < 1e-6
    unseen, _ = nearest(fresh, trained_on)
    assert 0 <= float(near_copies(unseen, baseline, 0.01)[0].float().mean()) < 0.03
    assert nearer_p_value(unseen, baseline, 0.01) > 0.025


def test_the_threshold_is_an_order_statistic_of_the_held_out_distances():
    held_out = torch.arange(1.0, 1000.0).flip(0)
    near, expected = near_copies(torch.tensor([49.0, 50.0, 51.0]), held_out, 0.05)
    assert near.tolist() == [True, False, False]
    assert expected == pytest.approx(50 / 1000)
    assert near_copies(torch.tensor([0.0, 2.0]), held_out[-180:], 0.001)[1] == pytest.approx(1 / 181)
    assert near_copies(held_out, held_out[-2:], 0.5)[1] == pytest.approx(1 / 3)


def test_the_p_value_by_hand():
    """Three of three smallest distances are generated, of three generated and thirty held-out ones."""
    held_out = torch.arange(10.0, 40.0)
    generated = torch.tensor([1.0, 2.0, 3.0])
    # One of 33 could not accuse at 2.5%, two can.
    assert nearer_p_value(generated, held_out, 0.001) == pytest.approx(math.comb(3, 2) / math.comb(33, 2))
    assert nearer_p_value(generated, held_out, 3 / 33) == pytest.approx(1 / math.comb(33, 3))
    assert nearer_p_value(torch.tensor([1.0, 50.0, 60.0]), held_out, 3 / 33) == pytest.approx(
        1 - math.comb(30, 3) / math.comb(33, 3)
    )
    assert nearer_p_value(torch.zeros(2), torch.ones(2), 0.1) is None
    assert nearer_p_value(torch.ones(30) + 1, torch.ones(30), 0.1) == 1.0
    # Equal distances do not accuse.
    assert nearer_p_value(torch.ones(20), torch.ones(20), 0.1) == 1.0


def test_images_far_from_the_data_are_seen_to_be():
    trained_on, held_out, fresh = drawn(500, 0), drawn(200, 1), drawn(200, 2)
    baseline, _ = nearest(held_out, trained_on)
    assert farther_p_value(nearest(fresh, trained_on)[0], baseline) > 0.025
    assert farther_p_value(nearest(3 * fresh, trained_on)[0], baseline) < 1e-6


@pytest.mark.long
def test_unseen_digits_are_accused_as_seldom_as_the_level_says():
    """1,000 splits of the 1,797 digits into training images, held-out ones, and as many that play generated ones."""
    data = ImageDataModule(Digits(), val_size=0, test_size=1)
    images = data.split("train").read(np.arange(1796))
    features = torch.cat([DigitsFeatures()(part) for part in images.split(500)])
    distances = torch.cdist(features, features)
    source = torch.Generator().manual_seed(0)
    accused = caught = 0
    for _ in range(1000):
        order = torch.randperm(1796, generator=source)
        unseen = distances[order[:360]][:, order[360:]].amin(1)
        generated, held_out = unseen.chunk(2)
        accused += nearer_p_value(generated, held_out, 0.01) <= 0.025
        # Of ten copies among 180 images.
        caught += nearer_p_value(generated.index_fill(0, torch.arange(10), 0.0), held_out, 0.01) <= 0.025
    # Three standard deviations above 2.5%; the test is discrete, and so accuses more seldom.
    assert accused / 1000 < 0.025 + 3 * (0.025 * 0.975 / 1000) ** 0.5
    assert accused > 0
    assert caught > 900
