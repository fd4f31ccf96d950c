import torch

from formula_weights import CLOSE, prepared, waves
from gen_experiments.networks.projector import PatchProjector, draw_places


def test_vectors_at_places_by_hand():
    """CUT's PatchSampleF with its multilayer perceptrons: Linear, ReLU, Linear, length one."""
    network, weights = prepared(PatchProjector([3, 2], width=4))
    maps = [waves(2, 3, 4, 5), waves(2, 2, 2, 2)]
    places = [torch.tensor([7, 0, 19]), torch.tensor([3])]
    for found, values, at in zip(network(*maps, places=places), maps, places, strict=True):
        first, bias, second, last = (next(weights) for _ in range(4))
        for image in range(2):
            for number, place in enumerate(at.tolist()):
                row, column = divmod(place, values.shape[3])
                hidden = (first @ values[image, :, row, column] + bias).clamp_min(0)
                vector = second @ hidden + last
                torch.testing.assert_close(found[image, number], vector / vector.norm(), **CLOSE)


def test_places_are_different_ones():
    maps = [torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 2, 2)]
    places = draw_places(maps, 10, torch.Generator().manual_seed(0))
    assert [len(set(at.tolist())) for at in places] == [10, 4]
    assert [int(at.max()) for at in places] <= [15, 3]
