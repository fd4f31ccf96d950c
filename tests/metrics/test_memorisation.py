import pytest
import torch

from gen_experiments.metrics.memorisation import CHUNK, near_copies, nearest, wilson_interval


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
    assert near_copies(distances, baseline, 0.01).all()
    assert numbers.tolist() == list(range(500))
    rate = near_copies(nearest(fresh, trained_on)[0], baseline, 0.01).float().mean()
    assert 0 <= float(rate) < 0.03


def test_the_share_is_that_of_the_held_out_images():
    held_out = torch.arange(1000.0)
    assert int(near_copies(held_out, held_out, 0.05).sum()) == 50


@pytest.mark.parametrize(
    ("count", "total", "low", "high"),
    [(0, 10, 0.0, 0.27753), (5, 10, 0.23659, 0.76341), (10, 10, 0.72247, 1.0), (81, 263, 0.25529, 0.36617)],
)
def test_wilson_by_the_tables(count, total, low, high):
    """The last row is Newcombe's example (https://doi.org/10.1002/(SICI)1097-0258(19980430)17:8%3C857::AID-SIM777%3E3.0.CO;2-E)."""
    assert wilson_interval(count, total) == pytest.approx((low, high), abs=1e-4)
