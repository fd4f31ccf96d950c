import math

import pytest
import torch

from gen_experiments.errors import UserError
from gen_experiments.metrics import neighbours
from gen_experiments.metrics.neighbours import nearest, overlap


def drawn(count, seed, dim=3, scale=1.0, offset=0.0):
    return scale * torch.randn(count, dim, generator=torch.Generator().manual_seed(seed)) + offset


def by_loops(generated, real, k, wide):
    """The definitions, one pair of images at a time."""

    def radius(rows, index, k):
        return sorted(math.dist(rows[index], other) for j, other in enumerate(rows) if j != index)[k - 1]

    generated, real = generated.double().tolist(), real.double().tolist()
    own = [radius(generated, i, k) for i in range(len(generated))]
    near = [radius(real, j, k) for j in range(len(real))]
    far = [radius(real, j, wide) for j in range(len(real))]
    distance = [[math.dist(g, r) for r in real] for g in generated]
    rows, columns = range(len(generated)), range(len(real))
    return (
        sum(any(distance[i][j] <= near[j] for j in columns) for i in rows) / len(rows),
        sum(any(distance[i][j] <= own[i] for i in rows) for j in columns) / len(columns),
        sum(distance[i][j] < far[j] for i in rows for j in columns) / (wide * len(rows)),
        sum(any(distance[i][j] < far[j] for i in rows) for j in columns) / len(columns),
    )


@pytest.mark.parametrize("chunk", [1024, 7])
def test_four_scores_by_their_definitions(monkeypatch, chunk):
    monkeypatch.setattr(neighbours, "CHUNK", chunk)
    generated, real = drawn(40, 0, scale=0.7, offset=0.4), drawn(50, 1)
    found = overlap(generated, real)
    assert found[:4] == pytest.approx(by_loops(generated, real, 3, 5), abs=1e-12)
    assert len({round(score, 3) for score in found[:4]}) == 4
    assert overlap(generated, real, 1, 2)[:4] == pytest.approx(by_loops(generated, real, 1, 2), abs=1e-12)


def test_on_the_surface_of_a_ball_an_image_is_precise_and_covers_nothing():
    """Both balls around 0 and 1 have the radius 1: −1 and 2 lie on them."""
    inner, outer = torch.tensor([[0.0], [1.0]]), torch.tensor([[-1.0], [2.0]])
    found = overlap(outer, inner, 1, 1)
    assert (found.precision, found.density, found.coverage) == (1, 0, 0)
    assert overlap(inner, outer, 1, 1).recall == 1


def test_precision_and_recall_are_torch_fidelitys():
    from torch_fidelity.metric_prc import prc_features_to_metric

    generated, real = drawn(300, 0, 8, scale=0.6, offset=0.3), drawn(400, 1, 8)
    theirs = prc_features_to_metric(generated.double(), real.double(), save_cpu_ram=True, verbose=False)
    found = overlap(generated, real)
    assert found.precision == pytest.approx(theirs["precision"], rel=1e-6)
    assert found.recall == pytest.approx(theirs["recall"], rel=1e-6)
    assert found.precision > found.recall + 0.1


def test_copies_are_found_far_from_the_origin():
    """Features of a network may lie close together and far from 0; a copy has no distance from its original."""
    real, others = (drawn(500, seed, dim=512, scale=0.1, offset=30.0) for seed in (0, 1))
    distances, rows = nearest(torch.cat([real[:100], others]), real)
    assert distances[:100].max() == 0
    assert rows[:100].tolist() == [*range(100)]
    expected = torch.stack([(other.double() - real.double()).norm(dim=1) for other in others]).min(dim=1)
    assert rows[100:].tolist() == expected.indices.tolist()
    torch.testing.assert_close(distances[100:].double(), expected.values, rtol=1e-5, atol=0.0)


def test_one_place_made_often_is_precise_and_covers_little():
    real = drawn(200, 0)
    found = overlap(real[:1] + 1e-4 * drawn(100, 1), real)
    assert found.precision == 1
    assert found.recall < 0.05
    assert found.coverage < 0.1


def test_features_far_from_the_origin_score_the_same():
    generated, real = drawn(40, 0).double(), drawn(50, 1).double()
    assert overlap(generated + 1e8, real + 1e8)[:4] == pytest.approx(overlap(generated, real)[:4], abs=1e-12)


@pytest.mark.parametrize("counts", [(5, 50), (50, 5)])
def test_too_few_images_have_no_neighbours(counts):
    with pytest.raises(UserError, match="5 neighbours need more than 5 images"):
        overlap(drawn(counts[0], 0), drawn(counts[1], 1))
