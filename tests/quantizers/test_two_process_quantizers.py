"""Two processes of half a batch do what one process of the whole batch does, and agree bit for bit."""

from functools import partial

import pytest
import torch

import two_processes
from gen_experiments import distributed, randomness
from gen_experiments.quantizers import codebook
from gen_experiments.quantizers.ema import EMAQuantizer
from gen_experiments.quantizers.gradient import GradientQuantizer
from gen_experiments.quantizers.lfq import LFQ
from gen_experiments.quantizers.residual import ResidualQuantizer

EMA_LEVEL = partial(EMAQuantizer, 12, 3, revive_below=0.6)
MAKERS = {
    "ema": partial(EMAQuantizer, 24, 3, revive_below=0.6),
    "ema, online": partial(EMAQuantizer, 24, 3, online_clustering=True),
    "ema, cosine": partial(EMAQuantizer, 24, 3, cosine=True, revive_below=0.6),
    "gradient": partial(GradientQuantizer, 24, 3, revive_below=0.6),
    "gradient, online": partial(GradientQuantizer, 24, 3, online_clustering=True),
    "lfq": partial(LFQ, 3, temperature=1.0),
    "residual": partial(ResidualQuantizer, EMA_LEVEL, depth=2, dropout=0.5),
    "residual, shared": partial(ResidualQuantizer, EMA_LEVEL, depth=2, shared=True),
}


def _source(seed):
    return randomness.generator("cpu", seed)


def _own(batch):
    return batch.chunk(distributed.world_size())[distributed.rank()]


def _mean(tensor):
    return distributed.all_reduce_sum(tensor.detach()) / distributed.world_size()


def _functions():
    z = torch.randn(24, 5, generator=_source(1))
    rows = _own(z)
    counts, sums = codebook.totals(rows, rows[:, 0].long().abs() % 4, 4)
    means, sizes = codebook.kmeans(rows, 3, _source(2), torch.clone)
    return {
        "counts": counts,
        "sums": sums,
        "hits": codebook.hits(rows[:, 0].long().abs() % 4, 4),
        "drawn": codebook.draw(rows, 9, _source(3)),
        "anchors": codebook.anchors(torch.randn(7, 5, generator=_source(4)), rows),
        "means": means,
        "sizes": sizes,
    }


def _train(make):
    """Three steps; loss, values, gradient of the latents' shift, and state after each."""
    torch.manual_seed(0)
    quantizer = make()
    shift = torch.zeros(3, 1, 1, requires_grad=True)
    optimizer = torch.optim.SGD([*quantizer.parameters(), shift], lr=0.1)
    seen = {}
    for step in range(3):
        optimizer.zero_grad()
        quantized = quantizer(_own(torch.randn(8, 3, 4, 4, generator=_source(step))) + shift)
        (quantized.loss + quantized.values.square().mean()).backward()
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                parameter.grad = _mean(parameter.grad)
        optimizer.step()
        results = {
            "loss": _mean(quantized.loss),
            "values": distributed.all_gather_rows(quantized.values),
            "gradient": shift.grad,
            **quantizer.state_dict(),
        }
        seen |= {f"{step} {name}": value.detach().clone() for name, value in results.items()}
    return seen


def _everything():
    return {"functions": _functions()} | {name: _train(make) for name, make in MAKERS.items()}


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Of one process, and of each of two."""
    return _everything(), *two_processes.run(_everything, tmp_path_factory.mktemp("gloo"))


@pytest.mark.parametrize("name", ["functions", *MAKERS])
def test_two_processes_are_one(results, name):
    one, first, second = (result[name] for result in results)
    assert one.keys() == first.keys() == second.keys()
    for key, expected in one.items():
        assert torch.equal(first[key], second[key]), key
        assert torch.allclose(first[key], expected, rtol=1e-4, atol=1e-5), key


def test_the_same_rows_are_drawn(results):
    one, first, _ = results
    assert torch.equal(first["functions"]["drawn"], one["functions"]["drawn"])
