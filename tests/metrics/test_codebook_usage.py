import math

import pytest
import torch

import two_processes
from gen_experiments.metrics.codebook import CodebookUsage, perplexity, usage


def test_perplexity_by_hand():
    assert float(perplexity(torch.tensor([5, 5, 5, 5]))) == pytest.approx(4)
    assert float(perplexity(torch.tensor([7, 0, 0]))) == pytest.approx(1)
    assert float(perplexity(torch.tensor([1, 3]))) == pytest.approx(
        math.exp(0.25 * math.log(4) + 0.75 * math.log(4 / 3))
    )


def test_usage_is_the_share_of_codes_that_were_met():
    assert float(usage(torch.tensor([3, 0, 1, 0]))) == 0.5


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
