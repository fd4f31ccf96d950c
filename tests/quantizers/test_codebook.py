import pytest
import torch

from gen_experiments import randomness
from gen_experiments.quantizers import codebook


def _source(seed=0):
    return randomness.generator("cpu", seed)


def _as_it_is(means):
    return means


def test_totals_count_and_sum_by_code():
    z = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    counts, sums = codebook.totals(z, torch.tensor([2, 0, 2]), 4)
    assert counts.tolist() == [1, 0, 2, 0]
    assert sums.tolist() == [[3, 4], [0, 0], [6, 8], [0, 0]]
    assert codebook.hits(torch.tensor([2, 0, 2]), 4).tolist() == [1, 0, 2, 0]


def test_rows_are_drawn_without_repetition_as_long_as_there_are_others():
    z = torch.arange(10.0)[:, None]
    assert sorted(codebook.draw(z, 10, _source()).flatten().tolist()) == list(range(10))
    assert len(set(codebook.draw(z, 6, _source()).flatten().tolist())) == 6
    drawn = codebook.draw(z, 25, _source()).flatten().long()
    assert set(torch.bincount(drawn).tolist()) == {2, 3}


def test_kmeans_of_two_clusters_by_hand():
    z = torch.tensor([[0.0], [1.0], [2.0], [10.0], [12.0]])
    means, counts = codebook.kmeans(z, 2, _source(), _as_it_is)
    order = means.flatten().argsort()
    assert means[order].tolist() == [[1.0], [11.0]]
    assert counts[order].tolist() == [3.0, 2.0]


def test_an_empty_cluster_keeps_its_mean():
    z = torch.tensor([[0.0], [0.0], [6.0]])
    means, counts = codebook.kmeans(z, 3, _source(), _as_it_is)
    assert sorted(means.flatten().tolist()) == [0.0, 0.0, 6.0]
    assert sorted(counts.tolist()) == [0.0, 1.0, 2.0]


def test_more_codes_than_rows_are_said_and_differ():
    with pytest.warns(UserWarning, match="8 codes start from a first batch of only 3 latents"):
        means, counts = codebook.kmeans(torch.tensor([[0.0], [1.0], [5.0]]), 8, _source(1), _as_it_is)
    assert len(means.unique()) == 8
    assert counts.sum() == 3


def test_repeated_rows_differ_by_a_hundredth_of_their_spread():
    rows = torch.tensor([[0.0], [1.0], [5.0]])
    with pytest.warns(UserWarning, match="first batch of only 3"):
        means, _ = codebook.kmeans(rows, 600, _source(1), _as_it_is)
    moved = (means - rows.T).abs().min(1).values
    assert float(moved.square().mean().sqrt() / rows.std(correction=0)) == pytest.approx(0.01, rel=0.15)


def test_anchors_are_the_nearest_rows():
    z = torch.tensor([[0.0, 0.0], [4.0, 4.0], [9.0, 9.0]])
    codes = torch.tensor([[8.0, 9.0], [-5.0, 0.0]])
    assert codebook.anchors(codes, z).tolist() == [[9.0, 9.0], [0.0, 0.0]]
