"""A latent that is not finite, which a step that is skipped may bring, must not stay in a codebook."""

import pytest
import torch

from gen_experiments import randomness
from gen_experiments.quantizers import codebook
from gen_experiments.quantizers.ema import EMAQuantizer
from gen_experiments.quantizers.gradient import GradientQuantizer

MAKERS = {
    "ema": lambda: EMAQuantizer(8, 4, revive_below=0),
    "cosine": lambda: EMAQuantizer(8, 4, cosine=True, revive_below=0),
    "revived": lambda: EMAQuantizer(8, 4, revive_below=0.9),
    "online": lambda: EMAQuantizer(8, 4, online_clustering=True),
    "gradient, revived": lambda: GradientQuantizer(8, 4, revive_below=0.9),
    "gradient, online": lambda: GradientQuantizer(8, 4, online_clustering=True),
}
WHICH = [torch.nan, torch.inf, -torch.inf]


def latents(seed):
    return torch.randn(4, 4, 3, 3, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("maker", MAKERS)
@pytest.mark.parametrize("value", WHICH)
@pytest.mark.parametrize("when", [0, 1])
@pytest.mark.parametrize("whole", [False, True], ids=["one latent", "all latents"])
def test_a_codebook_recovers(maker, value, when, whole):
    torch.manual_seed(0)
    quantizer = MAKERS[maker]()
    for step in range(4):
        z = latents(step)
        if step == when:
            (z if whole else z[0, :, 0, 0]).fill_(value)
        quantizer(z)
    assert all(tensor.isfinite().all() for tensor in quantizer.state_dict().values())
    quantized = quantizer.eval()(latents(9))
    assert quantized.values.isfinite().all()
    assert len(quantized.indices.unique()) > 1


@pytest.mark.parametrize("maker", MAKERS)
def test_a_first_batch_without_a_number_is_no_start(maker):
    torch.manual_seed(0)
    with_nan = MAKERS[maker]()
    torch.manual_seed(0)
    without = MAKERS[maker]()
    with_nan(latents(0) * torch.nan)
    assert with_nan.steps == 0
    assert all(torch.equal(value, without.state_dict()[name]) for name, value in with_nan.state_dict().items())
    for quantizer in (with_nan, without):
        quantizer(latents(1))
        assert quantizer.steps == 1
    assert torch.equal(with_nan.codes(), without.codes())


def test_a_first_batch_that_fails_is_no_start():
    torch.manual_seed(0)
    quantizer = EMAQuantizer(8, 4)
    estimator, quantizer.estimator = quantizer.estimator, lambda z, codes: 1 / 0
    with pytest.raises(ZeroDivisionError):
        quantizer(latents(0) * torch.nan)
    quantizer.estimator = estimator
    quantizer(latents(1))
    # The latents of the batch are as far apart as those of a standard normal; codes that were not started are tiny.
    assert quantizer.codes().std() > 0.3


def test_the_other_codes_move_as_if_the_latent_were_not_there():
    with_nan, without = (EMAQuantizer(2, 1, kmeans_start=False, revive_below=0) for _ in range(2))
    with_nan.codebook.copy_(torch.tensor([[0.0], [10.0]]))
    with_nan.sums.copy_(torch.tensor([[0.0], [10.0]]))
    with_nan.hits.fill_(1.0)
    without.load_state_dict(with_nan.state_dict())
    with_nan(torch.tensor([torch.nan, 9.0, 11.5]).reshape(1, 1, 1, 3))
    without(torch.tensor([9.0, 11.5]).reshape(1, 1, 1, 2))
    assert torch.equal(with_nan.sums, without.sums)
    assert torch.equal(with_nan.hits, without.hits)


def test_totals_leave_out_a_code_that_was_given_it():
    z = torch.tensor([[1.0], [torch.nan], [3.0], [4.0]])
    counts, sums = codebook.totals(z, torch.tensor([0, 0, 1, 1]), 3)
    assert counts.tolist() == [0.0, 2.0, 0.0]
    assert sums.tolist() == [[0.0], [7.0], [0.0]]


def test_k_means_of_a_batch_with_one():
    z = torch.tensor([[0.0], [0.2], [9.0], [9.2], [torch.nan]])
    means, counts = codebook.kmeans(z, 2, randomness.generator("cpu", 0), lambda means: means)
    assert means.isfinite().all()
    assert counts.sum() <= 4
