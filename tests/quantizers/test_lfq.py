import pytest
import torch

from gen_experiments.errors import UserError
from gen_experiments.quantizers.lfq import LFQ


def _latents(dim):
    return torch.randn(8, dim, 2, 2, generator=torch.Generator().manual_seed(0))


def _entropy(p):
    return torch.special.entr(p).sum(-1)


@pytest.mark.parametrize("dim", [1, 2, 5])
def test_entropies_agree_with_the_softmax_over_all_codes(dim):
    quantizer = LFQ(dim, commitment=0, entropy=2.0, diversity=0.7, temperature=1.5)
    z = _latents(dim)
    rows = z.movedim(1, -1).flatten(0, -2).double()
    codes = quantizer.decode(torch.arange(2**dim)[None, None])[0, :, 0].T.double()
    p = (-torch.cdist(rows, codes).square() / 1.5).softmax(1)
    expected = 2.0 * (_entropy(p).mean() - 0.7 * _entropy(p.mean(0)))
    assert quantizer(z).loss.item() == pytest.approx(expected.item(), rel=1e-5)


def test_signs_and_indices_by_hand():
    z = torch.tensor([[0.5, -2.0], [-0.1, -3.0], [4.0, 1.0]]).reshape(1, 3, 1, 2)
    quantized = LFQ(3, entropy=0, commitment=1.0)(z)
    assert quantized.indices.flatten().tolist() == [0b101, 0b001]
    assert quantized.values[0, :, 0].T.tolist() == [[1, -1, 1], [-1, -1, 1]]
    assert LFQ(3)(torch.zeros(1, 3, 1, 1)).indices.item() == 0  # at 0 a channel counts as negative
    squares = [0.5**2, 0.9**2, 3.0**2, 1.0**2, 2.0**2, 0.0]
    assert quantized.loss.item() == pytest.approx(sum(squares) / 6)


@pytest.mark.parametrize("wrong", [{"dim": 0}, {"dim": 25}, {"temperature": 0.0}])
def test_senseless_numbers_are_refused(wrong):
    with pytest.raises(UserError):
        LFQ(**wrong)


def test_an_evaluation_in_smaller_batches_has_a_larger_loss_and_equal_codes():
    """As the class says: the entropy of a batch's mean is smaller than that of all latents together."""
    quantizer = LFQ(dim=10).eval()
    latents = 0.05 * torch.randn(64, 10, 4, 4, generator=torch.Generator().manual_seed(0))
    found = {size: [quantizer(part) for part in latents.split(size)] for size in (64, 16, 4)}
    losses = [float(torch.stack([each.loss for each in parts]).mean()) for parts in found.values()]
    assert losses == sorted(losses)
    assert losses[-1] - losses[0] > 0.1
    for parts in found.values():
        assert torch.equal(torch.cat([each.indices for each in parts]), found[64][0].indices)
