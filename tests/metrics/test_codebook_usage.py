import math

import pytest
import torch

import two_processes
from gen_experiments.metrics.codebook import BATCH_CODES, BatchPerplexity, CodebookUsage, perplexity, usage


def test_perplexity_by_hand():
    assert float(perplexity(torch.tensor([5, 5, 5, 5]))) == pytest.approx(4)
    assert float(perplexity(torch.tensor([7, 0, 0]))) == pytest.approx(1)
    assert float(perplexity(torch.tensor([1, 3]))) == pytest.approx(
        math.exp(0.25 * math.log(4) + 0.75 * math.log(4 / 3))
    )


def test_usage_is_the_share_of_codes_that_were_met():
    assert float(usage(torch.tensor([3, 0, 1, 0]))) == 0.5


@pytest.mark.filterwarnings("ignore:The ``compute`` method .* was called before the ``update`` method")
def test_counts_add_up_over_batches():
    metric = CodebookUsage(4)
    metric.update(torch.tensor([[[0, 1], [1, 3]]]))
    metric.update(torch.tensor([[[3]]]))
    assert metric.compute().tolist() == [1, 2, 0, 2]
    metric.reset()
    assert metric.compute().tolist() == [0, 0, 0, 0]


def counts_of_a_process():
    import torch.distributed as dist

    metric = CodebookUsage(3)
    metric.update(torch.tensor([0, 1]) if dist.get_rank() == 0 else torch.tensor([1, 1, 2]))
    return metric.compute()


def test_counts_add_up_over_processes(tmp_path):
    for counts in two_processes.run(counts_of_a_process, tmp_path):
        assert counts.tolist() == [1, 3, 1]


def test_the_mean_over_batches_is_that_of_full_batches_of_2048_codes():
    """One batch of a single code, one of two codes in equal parts; what is left over counts for nothing."""
    assert BATCH_CODES == 32 * 8 * 8
    codes = torch.cat([torch.full((2048,), 5), torch.tensor([0, 9]).repeat(1024), torch.arange(100)])
    metric, images = BatchPerplexity(), codes.view(-1, 2, 2)
    for part in torch.arange(len(images)).split(75):
        metric.update(images[part], part)
    assert float(metric.compute()) == pytest.approx((1 + 2) / 2)
    metric.update(torch.tensor([0, 9]).repeat(1024).view(1, -1), torch.tensor([0]))
    assert float(metric.compute()) == pytest.approx(2)
    metric.update(torch.zeros(1, 2047, dtype=torch.int64), torch.tensor([0]))
    assert metric.compute().isnan()


def batch_perplexity_of_a_process():
    import torch.distributed as dist

    # Of three images of 1,024 codes and a fourth the first two and the last are here: one code, then four, then two.
    images = torch.stack([torch.zeros(1024), torch.zeros(1024), torch.arange(1024) % 4, torch.arange(1024) % 2]).long()
    metric, own = BatchPerplexity(), torch.tensor([[0, 1, 3], [2]][dist.get_rank()])
    metric.update(images[own], own)
    return metric.compute()


@pytest.mark.long
def test_the_mean_over_batches_is_that_of_one_process(tmp_path):
    of_the_last = float(perplexity(torch.tensor([768, 768, 256, 256])))
    for value in two_processes.run(batch_perplexity_of_a_process, tmp_path):
        assert float(value) == pytest.approx((1 + of_the_last) / 2)
